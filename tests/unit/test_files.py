from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.errors import RehomeError
from rehome.files import read_json, read_json_lines, replacing, write_whole
from rehome.planning.approval import objections, save_plan
from rehome.planning.plan import make_plan
from rehome.redirect import apply
from rehome.report.summary import Summary
from rehome.s3.capabilities import AMAZON
from rehome.s3.transport.endpoint import Credentials, Endpoint
from rehome.services import capabilities
from rehome.state import lock, outcomes
from rehome.state.completion import completed_at, record_completion
from rehome.state.delete_log import RETIRED, DeleteLog
from rehome.state.outcomes import Outcomes, export_leftover_outcomes

from tests.unit.config.test_settings import given


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(given(state_dir=str(tmp_path)))


@pytest.mark.parametrize("content", ["", "naïve\n", b"\x00\xff"])
def test_a_file_is_written_whole_for_its_owner_alone(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "file"
    path.write_text("what it held before, and longer")
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_text("half of")
        raise OSError("the disk is full")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_it_replaces_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    synced: list[tuple[bytes, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append((os.pread(fd, 9, 0), path.exists())))
    write_whole(path, "new", durable=False)
    assert synced == []
    path.unlink()
    write_whole(path, "new")
    assert synced == [(b"new", False)]


def test_a_missing_file_is_none_and_what_holds_something_else_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_json(path, dict, "Delete it") is None
    write_whole(path, '{"other": 1}')
    with pytest.raises(RehomeError, match=r"state\.json cannot be read \(KeyError: 'name'\)\. Delete it\."):
        read_json(path, lambda kept: kept["name"], "Delete it")


def test_a_file_of_another_user_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(RehomeError, match=r"cannot be read \(Permission denied\)\. Run it as the user who runs the m"):
        read_json(tmp_path / "report.json", dict, "The next run writes it again")


def test_only_a_file_that_is_appended_to_may_end_within_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n{"a": 2')
    assert list(read_json_lines(path, "Delete it", may_be_cut=True)) == [{"a": 1}]
    with pytest.raises(RehomeError, match=r"log\.jsonl: line 2 is not JSON .*Delete it\."):
        list(read_json_lines(path, "Delete it"))


def _lock(settings: Settings) -> tuple[Path, Callable[[], object]]:
    pid = os.getpid()
    lock.acquire(settings.state_dir, pid)
    return settings.state_dir / lock.FILE, lambda: lock.acquire(settings.state_dir, pid)


def _completion(settings: Settings) -> tuple[Path, Callable[[], object]]:
    record_completion(settings, "run")
    return settings.state_dir / "completion.json", lambda: completed_at(settings)


def _summary(settings: Settings) -> tuple[Path, Callable[[], object]]:
    Summary.start(settings, "run", "migrate", dry_run=True)
    return settings.state_dir / "summary.json", lambda: Summary.load(settings.state_dir)


def _capabilities(settings: Settings) -> tuple[Path, Callable[[], object]]:
    source, target = (
        Endpoint(
            "https", "s3.example.com", 443, "", side.bucket, "us-east-1", None, lambda: Credentials("AKID", "SECRET")
        )
        for side in (settings.source, settings.target)
    )
    capabilities.keep_capabilities(settings, source, target, AMAZON)
    file = settings.state_dir / capabilities.CAPABILITIES_FILE
    return file, lambda: capabilities.known_capabilities(settings, source, target)


def _redirect(settings: Settings) -> tuple[Path, Callable[[], object]]:
    apply._save(settings, apply._Ours([{"Redirect": {"HostName": "a.example"}}], made=True))
    return settings.state_dir / apply.FILE, lambda: apply._load(settings)


def _plan(settings: Settings) -> tuple[Path, Callable[[], object]]:
    catalog = Catalog.create(settings.state_dir / "catalog.duckdb", {})
    plan = make_plan(catalog, settings)
    save_plan(catalog, settings, plan)
    catalog.run("INSERT INTO source_objects VALUES ('9.png', 5, 'e', '', 'STANDARD', '', '', NULL)")
    other = make_plan(catalog, settings)
    approving = read_settings(given(state_dir=str(settings.state_dir), approved_plan=plan.sha256))
    return settings.state_dir / "plans" / plan.sha256 / "plan.json", lambda: objections(catalog, approving, other)


def _begun(settings: Settings) -> tuple[Path, Callable[[], object]]:
    path = settings.state_dir / "catalog.duckdb"
    with Catalog.create(path, {}) as catalog:
        Outcomes(catalog, settings).begin([("a.png", 1, "e1"), ("b.png", 2, "e2")])
    (file,) = (settings.state_dir / outcomes.FOLDER).iterdir()
    return file, lambda: export_leftover_outcomes(path, settings.state_dir)


def test_an_end_of_the_migration_without_a_time_zone_counts_as_damaged(settings: Settings) -> None:
    file, read = _completion(settings)
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"completed_at": kept["completed_at"].partition("+")[0]}))
    with pytest.raises(RehomeError, match=r"completion\.json cannot be read .*Delete it"):
        read()


@pytest.mark.parametrize("kept", [_lock, _completion, _summary, _capabilities, _redirect, _plan, _begun])
def test_a_state_file_that_is_cut_short_ends_in_one_message(
    settings: Settings, kept: Callable[[Settings], tuple[Path, Callable[[], object]]]
) -> None:
    file, read = kept(settings)
    whole = file.read_bytes()
    json.loads(whole)
    # an empty file of JSON lines has no line to complain of; without its last newline a file of JSON is whole
    shortest = 1 if kept is _begun else 0
    for length in {*range(shortest, len(whole.rstrip()), 5), len(whole.rstrip()) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(RehomeError) as caught:
            read()
        assert str(caught.value).startswith(str(file))
        assert re.search("[Dd]elete|Run the playbook from its beginning", str(caught.value))
    file.write_bytes(whole)
    read()


def test_a_damaged_record_of_deletes_ends_in_one_message(settings: Settings) -> None:
    catalog = Catalog.create(settings.state_dir / "catalog.duckdb", {})
    folder = settings.state_dir / RETIRED
    with DeleteLog(folder, "legacy-s3", catalog) as deletions:
        deletions.record("intended", [("image/a.png", "e1", None), ("image/b.png", "e2", None)])
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for length in {*range(0, len(whole), 5), len(whole) - 1, len(whole)}:
        file.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        assert len(DeleteLog(folder, "legacy-s3", catalog).unresolved()) == max(lines - 1, 0)
    file.write_bytes(whole.replace(b'"image/a.png"', b'"image/a'))
    with pytest.raises(RehomeError, match=r"\.jsonl: line 2 is not JSON"):
        DeleteLog(folder, "legacy-s3", catalog)
