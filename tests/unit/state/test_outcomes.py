from __future__ import annotations

import json
import os
import time
from pathlib import Path

import duckdb
import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.errors import RehomeError
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyJob, CopyOutcome
from rehome.state import outcomes
from rehome.state.outcomes import FOLDER, Outcomes, export_leftover_outcomes, load_made_copies, load_proofs

from tests.unit.config.test_settings import given


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(given(state_dir=str(tmp_path)))


def new_catalog(settings: Settings, file: str = "catalog.duckdb") -> Catalog:
    return Catalog.create(settings.state_dir / file, {})


def outcome(number: int, evidence: Evidence = Evidence.ETAG) -> CopyOutcome:
    job = CopyJob(f"image/o'{number}.png", f"e{number}", number, f"avatar/o'{number}.png")
    return CopyOutcome(job, "copied", f"t{number}", evidence, duration_s=0.25)


def kept(settings: Settings) -> list[tuple[object, ...]]:
    files = str(settings.state_dir / FOLDER / "*.parquet")
    statement = "SELECT key, target_key, size, etag, result, evidence, attempts, duration_s FROM read_parquet(?)"
    return duckdb.execute(statement + " ORDER BY size", [files]).fetchall()


def test_every_outcome_is_in_a_file_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "PART_ROWS", 10)
    monkeypatch.setattr(outcomes, "FLUSH_ROWS", 3)
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        for number in range(25):
            record.add(outcome(number))
        record.close()
    assert len(list((settings.state_dir / FOLDER).iterdir())) == 3
    assert kept(settings) == [
        (f"image/o'{n}.png", f"avatar/o'{n}.png", n, f"e{n}", "copied", "etag", 1, 0.25) for n in range(25)
    ]


def test_what_is_kept_elsewhere_becomes_a_file_from_time_to_time_and_is_handed_over_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "PART_S", 0.0)
    taken: list[Path] = []
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings, taken.append)
        for number in range(3):
            record.add(outcome(number))
        assert len(kept(settings)) == 3, "before its end, and before a part is full"
        record.close()
    assert sorted(taken) == sorted((settings.state_dir / FOLDER).glob("*.parquet"))
    assert len(taken) == 3
    monkeypatch.setattr(outcomes, "PART_ROWS", 1000)
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.add(outcome(7))
        assert len(kept(settings)) == 3, "nobody takes it anywhere: no file before its time"


def test_what_a_killed_run_has_left_in_its_catalog_is_written_out_by_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "PART_ROWS", 10)
    monkeypatch.setattr(outcomes, "FLUSH_ROWS", 1)
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        for number in range(15):
            record.add(outcome(number))
    assert len(kept(settings)) == 10
    for _ in range(2):
        export_leftover_outcomes(settings.state_dir / "catalog.duckdb", settings.state_dir)
        assert [row[2] for row in kept(settings)] == list(range(15))


@pytest.mark.parametrize("content", [b"", b"not a catalog"])
def test_a_catalog_that_cannot_be_read_has_nothing_to_rescue(settings: Settings, content: bytes) -> None:
    path = settings.state_dir / "catalog.duckdb"
    path.write_bytes(content)
    export_leftover_outcomes(path, settings.state_dir)
    assert not (settings.state_dir / FOLDER).exists()


def test_a_proof_is_recalled_for_as_long_as_both_etags_are_the_same(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        for number in range(4):
            record.add(outcome(number, Evidence.SIZE))
        record.close()
        again = Outcomes(catalog, settings)
        again.add(outcome(0, Evidence.BYTES))
        again.close()
    with new_catalog(settings, "later.duckdb") as catalog:
        pairs = {0: ("e0", "t0"), 1: ("e1", "t1"), 2: ("other", "t2"), 3: ("e3", "other")}
        for number, (etag, target_etag) in pairs.items():
            suffix = f"o'{number}.png"
            catalog.append("source_objects", [(suffix, number, etag, "", "STANDARD", "", "", None)])
            catalog.append("target_objects", [(suffix, number, target_etag)])
        load_proofs(catalog, settings)
        assert sorted(catalog.query("SELECT * FROM compared")) == [("o'0.png", "bytes"), ("o'1.png", "size")]


@pytest.mark.parametrize("blank", ["", "0" * 32 + "-1"])
def test_a_proof_is_not_recalled_by_an_etag_that_every_object_may_have(settings: Settings, blank: str) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        job = CopyJob("image/1", blank, 1, "avatar/1")
        record.add(CopyOutcome(job, "copied", "t1", Evidence.SIZE))
        record.close()
    with new_catalog(settings, "later.duckdb") as catalog:
        catalog.append("source_objects", [("1", 1, blank, "", "STANDARD", "", "", None)])
        catalog.append("target_objects", [("1", 1, "t1")])
        load_proofs(catalog, settings)
        assert catalog.query("SELECT * FROM compared") == []


def test_a_killed_run_of_the_time_before_the_first_release_leaves_its_outcomes_too(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.add(outcome(0, Evidence.SIZE))
        record.flush()
        catalog.run("ALTER TABLE outcomes RENAME suffix TO rest")
    export_leftover_outcomes(settings.state_dir / "catalog.duckdb", settings.state_dir)
    assert len(list((settings.state_dir / "outcomes").glob("*.parquet"))) == 1


def own_copies(settings: Settings, *target: tuple[int, str]) -> list[str]:
    """Which of these target objects (number, ETag) are ours, once their source was overwritten."""
    with new_catalog(settings, "later.duckdb") as catalog:
        for number, etag in target:
            suffix = f"o'{number}.png"
            catalog.append("source_objects", [(suffix, number, "overwritten", "", "STANDARD", "", "", None)])
            catalog.append("target_objects", [(suffix, number, etag)])
        load_proofs(catalog, settings)
        return [suffix for (suffix,) in catalog.query("SELECT suffix FROM own_copies ORDER BY suffix")]


def test_copies_that_a_killed_run_did_not_tell_of_are_its_own(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin((f"o'{number}.png", number, f"e{number}") for number in (1, 2))
        record.begin((f"o'{number}.png", number, f"e{number}") for number in (3, 4))
        record.add(outcome(1))
    export_leftover_outcomes(settings.state_dir / "catalog.duckdb", settings.state_dir)
    assert [(row[2], row[4]) for row in kept(settings)] == [(number, "begun") for number in (1, 2, 3, 4)]
    found = own_copies(settings, (2, "e2"), (3, "e3"), (4, "somebody else's"), (5, "e5"))
    assert found == ["o'2.png", "o'3.png"]


def test_a_copy_may_be_made_though_its_reply_was_lost_and_its_source_overwritten(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        for number, result in enumerate(("changed", "failed", "conflict")):
            job = CopyJob(f"image/o'{number}.png", f"e{number}", number, f"avatar/o'{number}.png")
            record.add(CopyOutcome(job, result))
        record.close()
    assert own_copies(settings, (0, "e0"), (1, "e1"), (2, "e2")) == ["o'0.png", "o'1.png"]


def test_a_copy_that_began_and_ended_is_recorded_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "PART_ROWS", 2)
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin((f"o'{number}.png", number, f"e{number}") for number in range(5))
        for number in range(4):
            record.add(outcome(number))
        record.close()
    assert [row[4] for row in kept(settings)] == ["copied"] * 4 + ["begun"]
    assert {file.suffix for file in (settings.state_dir / FOLDER).iterdir()} == {".parquet"}


def test_a_shard_that_was_under_way_is_recorded_as_begun_and_one_that_ended_is_not(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        for shard in range(3):
            numbers = range(2 * shard, 2 * shard + 2)
            record.begin_shard(shard, ((f"o'{number}.png", number, f"e{number}") for number in numbers))
        for number in (2, 3, 4):
            record.add(outcome(number))
        record.end_shard(1)
        assert len(list((settings.state_dir / FOLDER).glob("*.begun"))) == 2
        record.flush()
    export_leftover_outcomes(settings.state_dir / "catalog.duckdb", settings.state_dir)
    results = {row[2]: row[4] for row in kept(settings)}
    assert results == {0: "begun", 1: "begun", 2: "copied", 3: "copied", 4: "copied", 5: "begun"}
    assert list((settings.state_dir / FOLDER).glob("*.begun")) == []


def test_a_shard_without_all_outcomes_ends_as_begun(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin_shard(0, ((f"o'{number}.png", number, f"e{number}") for number in range(2)))
        record.add(outcome(0))
        record.close()
    assert [row[4] for row in kept(settings)] == ["copied", "begun"]
    assert list((settings.state_dir / FOLDER).glob("*.begun")) == []


def test_an_outcome_recorded_before_the_kill_is_not_recorded_as_begun(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin((f"o'{number}.png", number, f"e{number}") for number in range(3))
        record.add(CopyOutcome(CopyJob("image/o'1.png", "e1", 1, "avatar/o'1.png"), "present", "t1"))
        record.flush()
    for _ in range(2):
        export_leftover_outcomes(settings.state_dir / "catalog.duckdb", settings.state_dir)
        assert [(row[2], row[4]) for row in kept(settings)] == [(0, "begun"), (1, "present"), (2, "begun")]
    assert own_copies(settings, (0, "e0"), (1, "e1")) == ["o'0.png"]


def untold(settings: Settings) -> dict[str, list[str | None]]:
    """Copies of which no run was told whether it made them: suffix → ETag, last sign of life."""
    with new_catalog(settings, "removal.duckdb") as catalog:
        load_made_copies(catalog, settings)
        return {suffix: more for suffix, *more in catalog.query("SELECT suffix, etag, alive_at FROM untold")}


def failed(number: int, attempts: int, error: str) -> CopyOutcome:
    job = CopyJob(f"image/o'{number}.png", f"e{number}", number, f"avatar/o'{number}.png")
    return CopyOutcome(job, "failed", attempts=attempts, error=error)


def test_a_copy_may_be_made_if_its_run_ended_before_it_was_told_until_a_later_run_has_to_make_it(
    settings: Settings,
) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin((f"o'{number}.png", number, f"e{number}") for number in range(3))
        record.add(outcome(0))
        record.flush()
    (begun,) = (settings.state_dir / FOLDER).iterdir()
    os.utime(begun, (1_000_000_000, 1_000_000_000))
    export_leftover_outcomes(settings.state_dir / "catalog.duckdb", settings.state_dir)
    died_at = "2001-09-09T01:46:40+00:00"
    assert untold(settings) == {"o'1.png": ["e1", died_at], "o'2.png": ["e2", died_at]}
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.add(outcome(1))
        record.close()
    assert untold(settings) == {"o'2.png": ["e2", died_at]}


def test_a_failed_copy_may_be_made_if_a_request_got_no_reply(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.add(failed(1, 1, "AccessDenied"))
        record.add(failed(2, 4, "ConnectionBroken"))
        record.add(failed(3, 1, "EndpointDead"))
        record.add(failed(4, 0, "EndpointDead"))
        record.close()
    found = {suffix: etag for suffix, (etag, _) in untold(settings).items()}
    assert found == {"o'1.png": None, "o'2.png": "e2", "o'3.png": "e3", "o'4.png": None}


def test_files_of_earlier_versions_tell_no_sign_of_life(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin([("o'1.png", 1, "e1")])
        record.close()
    (file,) = (settings.state_dir / FOLDER).iterdir()
    duckdb.execute(f"CREATE OR REPLACE TEMP TABLE whole AS FROM '{file}'")
    duckdb.execute(f"COPY (SELECT * EXCLUDE (alive_at) FROM whole) TO '{file}' (FORMAT parquet)")
    assert untold(settings) == {"o'1.png": ["e1", None]}


def test_a_run_gives_a_sign_of_life_though_it_has_little_to_tell(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin((f"o'{number}.png", number, f"e{number}") for number in range(2))
        (begun,) = (settings.state_dir / FOLDER).iterdir()
        os.utime(begun, (0, 0))
        record.add(outcome(0))
        assert begun.stat().st_mtime == 0
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + outcomes.FLUSH_S)
        record.add(outcome(1))
        assert begun.stat().st_mtime > 0
        assert catalog.count("FROM outcomes") == 2


def test_a_run_gives_a_sign_of_life_though_nothing_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.begin_shard(0, [("o'1.png", 1, "e1")])
        (begun,) = (settings.state_dir / FOLDER).iterdir()
        os.utime(begun, (0, 0))
        record.show_life()
        assert begun.stat().st_mtime == 0
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + outcomes.FLUSH_S)
        record.show_life()
        assert begun.stat().st_mtime > 0


def test_a_file_that_is_cut_short_ends_in_one_message_that_names_it(settings: Settings) -> None:
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        record.add(outcome(1))
        record.close()
    (file,) = (settings.state_dir / FOLDER).iterdir()
    whole = file.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with new_catalog(settings, "next.duckdb") as catalog, pytest.raises(RehomeError) as caught:
            load_proofs(catalog, settings)
        assert str(file) in str(caught.value)
        assert "delete it" in str(caught.value)


def test_earlier_outcomes_are_not_read_but_for_pairs_that_need_a_proof(settings: Settings) -> None:
    rows = 20_000
    with new_catalog(settings) as catalog:
        record = Outcomes(catalog, settings)
        for number in range(rows):
            job = CopyJob(f"image/{number:09}", f"e{number}", 1, f"avatar/{number:09}")
            record.add(CopyOutcome(job, "copied", f"t{number}", Evidence.SIZE))
        record.close()
    with new_catalog(settings, "later.duckdb") as catalog:
        made = f"SELECT format('{{:09}}', i), 1, 'e' || i FROM range({rows}) n(i)"
        catalog.run(f"INSERT INTO source_objects (suffix, size, etag) {made}")
        catalog.run(f"INSERT INTO target_objects {made}")
        catalog.run("UPDATE target_objects SET etag = 't777' WHERE suffix = '000000777'")
        load_proofs(catalog, settings)
        assert catalog.query("FROM compared") == [("000000777", "size")]
        params = {"files": outcomes._files(settings, FOLDER, "*.parquet")}
        params |= {"source_prefix": "image/", "target_prefix": "avatar/"}
        # by DuckDB's own account
        ((_, said),) = catalog.query(f"EXPLAIN (ANALYZE, FORMAT json) {outcomes._KNOWN}", params)
        assert 0 < json.loads(said)["query"]["total_rows_scanned"] < rows / 2


def looks_of(settings: Settings, parts: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return how many statements and looks at a file recording so many parts takes."""
    statements, files = [], []
    with monkeypatch.context() as patched, new_catalog(settings, f"{parts}.duckdb") as catalog:
        patched.setattr(outcomes, "PART_ROWS", 2)
        execute, stat = Catalog._execute, Path.stat
        patched.setattr(Catalog, "_execute", lambda *given: (statements.append(given[2]), execute(*given))[1])
        patched.setattr(Path, "stat", lambda path, **given: (files.append(path), stat(path, **given))[1])
        record = Outcomes(catalog, settings)
        for number in range(2 * parts):
            record.add(outcome(number))
        record.close()
    return len(statements), sum(path.parent.name == FOLDER for path in files)


def test_ten_times_the_parts_take_ten_times_the_statements_and_looks_at_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = looks_of(settings, 5, monkeypatch), looks_of(settings, 50, monkeypatch)
    assert all(few)
    assert all(more <= 10 * less for less, more in zip(few, many, strict=True))
