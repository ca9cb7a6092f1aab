"""Removal of copies after a rollback on a real object store, while an application changes the data."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.db.dialect import DatabaseError
from rehome.db.engines.open import connect
from rehome.errors import RefusedError, RehomeError
from rehome.preflight.preflight import preflight_rollback
from rehome.report.fields import KEPT_COPIES
from rehome.run import Run
from rehome.s3.errors import S3RequestError
from rehome.stages import delete_objects as deleting
from rehome.stages import deletion_candidates as deletable
from rehome.stages.remove_copies import LATE_S, inspect_target, warnings_of
from rehome.stages.rollback_rows import inspect_rows, plan_rollback
from rehome.state.outcomes import Outcomes, export_leftover_outcomes

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.removal import Removal

NAMES = ("avatar-1.png", "avatar-2.png", "avatar-3.png")
OLD, NEW = ([f"{prefix}/{name}" for name in NAMES] for prefix in ("image", "avatar"))


@pytest.fixture
def one(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Removal]:
    made = Removal(object_store, buckets, sqlite, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("versions", [False, True])
def test_its_own_copies_are_removed_then_nothing_and_a_migration_makes_them_again(one: Removal, versions: bool) -> None:
    if versions:
        one.keep_versions()
    one.migrate(*NAMES)
    assert one.roll_back().restored == 3
    done = one.remove()
    assert (done.deleted, done.kept["not_ours"], done.problems()) == (3, 0, [])
    assert (one.target_keys(), one.source_keys(), one.paths()) == ([], OLD, OLD)
    again = one.remove()
    assert (again.to_delete, again.deleted) == (0, 0)
    settings = one.settings()
    one.plan(settings)
    assert (one.copy(settings).copied, one.rewrite(settings).rewritten) == (3, 3)
    assert (one.target_keys(), one.paths()) == (NEW, NEW)


def test_what_is_not_ours_or_not_proven_or_named_is_kept_in_its_class(one: Removal) -> None:
    # a foreign object with the same content, stored before the migration, which counts it as present
    one.s3.put_object(Bucket=one.target, Key="avatar/avatar-0.png", Body=b"content of avatar-0.png")
    one.migrate("avatar-0.png", *NAMES, "avatar-4.png", "avatar-5.png")
    assert one.roll_back().restored == 6
    # changes of the new release: an upload, an overwritten copy, a row that names a copy
    one.s3.put_object(Bucket=one.target, Key="avatar/avatar-9.png", Body=b"an upload")
    one.s3.put_object(Bucket=one.target, Key="avatar/avatar-1.png", Body=b"overwritten")
    one.sql("UPDATE avatars SET path = 'https://cdn.example/avatar/avatar-2.png?w=5' WHERE path = ?", OLD[1])
    # changes of the old release: an overwritten and a deleted object
    one.s3.put_object(Bucket=one.source, Key="image/avatar-3.png", Body=b"overwritten")
    one.s3.delete_object(Bucket=one.source, Key="image/avatar-4.png")
    done = one.remove()
    kept = {name: count for name, count in done.kept.items() if count}
    assert (done.deleted, kept) == (1, {"not_ours": 3, "unverified": 2, "referenced": 1})
    assert one.target_keys() == [f"avatar/avatar-{number}.png" for number in (0, 1, 2, 3, 4, 9)]
    assert [(row["key"], row["source_key"]) for row in one.listed("copies-kept-referenced")] == [(NEW[1], OLD[1])]
    assert {row["key"] for row in one.listed("copies-kept-not-ours")} == {
        f"avatar/avatar-{number}.png" for number in (0, 1, 9)
    }


def test_rows_that_are_not_rolled_back_keep_their_objects(one: Removal) -> None:
    one.migrate(*NAMES)
    assert (one.remove().deleted, one.target_keys()) == (0, NEW)


def test_a_check_counts_rows_as_rolled_back_that_a_rollback_would_roll_back(one: Removal, tmp_path: Path) -> None:
    one.migrate(*NAMES)
    one.sql("UPDATE avatars SET path = 'avatar/avatar-3.png ' WHERE path = ?", NEW[2])
    settings = one.settings()
    with Catalog.create(tmp_path / "rollback.duckdb", {}) as catalog:
        counts = plan_rollback(Run(settings, catalog, one.progress))
        inspect_rows(Run(settings, catalog, one.progress), counts)
    assert (counts.to_restore, counts.changed_since) == (2, 1)
    found = one.judge(one.wanted(confirm=None), tmp_path / "rollback.duckdb")
    assert (found.to_delete, found.kept["referenced"]) == (2, 1)
    assert [row["key"] for row in one.listed("copies-to-remove")] == NEW[:2]
    assert (one.target_keys(), one.paths()) == (NEW, [*NEW[:2], "avatar/avatar-3.png "])


@pytest.mark.parametrize("confirm", [None, "the source's"])
def test_needs_the_target_buckets_name_as_confirmation(one: Removal, confirm: str | None) -> None:
    one.migrate(*NAMES)
    one.roll_back()
    with pytest.raises(RefusedError, match=f"-e confirm={one.target} if it is that one"):
        one.remove(confirm=confirm and one.source)
    assert one.target_keys() == NEW


def test_a_copy_that_is_replaced_after_it_was_judged_is_kept(one: Removal) -> None:
    one.migrate(*NAMES)
    one.roll_back()
    settings = one.wanted()
    counts = one.judge(settings)
    one.s3.put_object(Bucket=one.target, Key=NEW[0], Body=b"the new release's")
    one.carry_out(settings, counts)
    assert (counts.deleted, counts.changed, one.target_keys()) == (2, 1, NEW[:1])


@pytest.mark.parametrize("versions", [False, True])
def test_a_row_that_is_written_meanwhile_gets_its_object_back_or_is_reported(
    one: Removal, versions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if versions:
        one.keep_versions()
    one.migrate(*NAMES)
    one.roll_back()
    original = deleting.read_named_keys

    def racing(*arguments: Any) -> None:
        one.add_row(NEW[0])
        original(*arguments)

    monkeypatch.setattr(deleting, "read_named_keys", racing)
    done = one.remove()
    if versions:
        assert (done.brought_back, done.problems(), one.target_keys()) == (1, [], NEW[:1])
    else:
        assert done.problems() == [
            "1 objects that were deleted without a way back are named by rows that were written meanwhile [RH-617]"
        ]
        settings = one.settings()
        one.plan(settings)
        assert one.copy(settings).copied == 3, "a migration is the way back"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("scan_buckets", S3RequestError(200, "InvalidListing", "half a page", None)),
        ("read_named_keys", DatabaseError("the server went away")),
    ],
)
def test_an_incomplete_scan_never_leads_to_a_delete(
    one: Removal, name: str, error: RehomeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.migrate(*NAMES)
    one.roll_back()
    original: Callable[..., Any] = getattr(deletable, name)

    def failing(*arguments: Any) -> None:
        original(*arguments)
        raise error

    monkeypatch.setattr(deletable, name, failing)
    with pytest.raises(type(error)):
        one.remove()
    assert one.target_keys() == NEW


def test_what_somebody_stores_again_after_the_removal_is_not_ours_until_a_migration_copies_it(one: Removal) -> None:
    one.migrate(*NAMES)
    one.roll_back()
    assert one.remove().deleted == 3
    one.s3.put_object(Bucket=one.target, Key=NEW[0], Body=b"content of avatar-1.png")
    done = one.remove()
    assert (done.deleted, done.kept["not_ours"], one.target_keys()) == (0, 1, NEW[:1])
    one.s3.put_object(Bucket=one.source, Key=OLD[0], Body=b"overwritten")
    assert one.plan(one.settings()).objects["conflict"] == 1, "nor does a migration take it for its own"
    one.s3.delete_object(Bucket=one.target, Key=NEW[0])
    settings = one.settings()
    one.plan(settings)
    assert one.copy(settings).copied == 3
    assert one.remove().deleted == 3


def begin_and_die(one: Removal, tmp_path: Path, *names: str, ended: float | None = None) -> None:
    """Plan these objects, and let a run begin to copy them that is told of nothing any more.

    ended: Unix time of its last sign of life
    """
    for name in names:
        one.put(name, f"content of {name}".encode())
    settings = one.settings()
    one.plan(settings)
    begun = one.catalog.query("SELECT suffix, size, etag FROM objects WHERE class = 'to_copy' ORDER BY suffix")
    assert [suffix for suffix, _, _ in begun] == [*names]
    Outcomes(one.catalog, settings).begin(begun)
    ((path,),) = one.catalog.query("SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")
    one.close()
    if ended is not None:
        (file,) = (tmp_path / "outcomes").glob("*.begun")
        os.utime(file, (ended, ended))
    export_leftover_outcomes(Path(path), tmp_path)


def store_in_parts(one: Removal, key: str, body: bytes) -> None:
    """Store an object whose ETag says nothing about its content."""
    where = {"Bucket": one.target, "Key": key}
    upload = {**where, "UploadId": one.s3.create_multipart_upload(**where)["UploadId"]}
    part = one.s3.upload_part(**upload, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    one.s3.complete_multipart_upload(**upload, MultipartUpload=parts)


def test_a_copy_that_a_run_was_not_told_of_is_its_own_if_etag_and_time_prove_it(one: Removal, tmp_path: Path) -> None:
    one.s3.put_object(Bucket=one.target, Key="avatar/avatar-0.png", Body=b"content of avatar-0.png")
    one.put("avatar-0.png", b"content of avatar-0.png")
    begin_and_die(one, tmp_path, *NAMES, "avatar-4.png")
    for key in NEW[:2]:
        one.s3.put_object(Bucket=one.target, Key=key, Body=f"content of {key.removeprefix('avatar/')}".encode())
    store_in_parts(one, NEW[2], b"content of avatar-3.png")
    done = one.remove()
    assert (done.deleted, done.kept["not_ours"], done.kept["uncertain"]) == (2, 1, 1)
    assert one.target_keys() == ["avatar/avatar-0.png", NEW[2]]
    assert [row["key"] for row in one.listed("copies-kept-uncertain")] == [NEW[2]]


def test_what_is_younger_than_the_run_that_had_begun_it_may_be_somebody_elses_and_is_kept_by_name(
    one: Removal, tmp_path: Path
) -> None:
    """Say, an operator has finished by hand what a killed run had left."""
    begin_and_die(one, tmp_path, *NAMES, ended=time.time() - LATE_S - 5)
    for key in NEW:
        one.s3.put_object(Bucket=one.target, Key=key, Body=f"content of {key.removeprefix('avatar/')}".encode())
    settings = one.settings()
    assert one.plan(settings).objects["present"] == 3
    assert one.rewrite(settings).rewritten == 3
    assert one.roll_back().restored == 3
    done = one.remove()
    assert (done.deleted, done.kept["uncertain"], one.target_keys()) == (0, 3, NEW)
    assert [row["key"] for row in one.listed("copies-kept-uncertain")] == NEW


def test_a_copy_that_may_still_be_made_is_named_until_it_is_there_or_cannot_be_any_more(
    one: Removal, tmp_path: Path
) -> None:
    begin_and_die(one, tmp_path, *NAMES, "avatar-4.png")
    one.s3.put_object(Bucket=one.target, Key=NEW[0], Body=b"content of avatar-1.png")
    done = one.remove()
    assert (done.deleted, done.expected, done.left("copies", KEPT_COPIES)) == (1, 3, {"copies_expected": 3})
    assert [row["key"] for row in one.listed("copies-expected")] == [*NEW[1:], "avatar/avatar-4.png"]
    (warning,) = warnings_of(one.catalog)
    assert re.search(r"^3 copies .* may still be made until \d\d:\d\d UTC.* again after that.*RH-618", warning)
    # a worker that was late
    one.s3.put_object(Bucket=one.target, Key=NEW[1], Body=b"content of avatar-2.png")
    done = one.remove()
    assert (done.deleted, done.expected, one.target_keys()) == (1, 2, [])
    settings = one.settings()
    one.plan(settings)
    assert one.copy(settings).copied == 4
    done = one.remove()
    assert (done.deleted, done.expected, warnings_of(one.catalog)) == (4, 0, [])


def test_a_copy_is_not_expected_for_ever(one: Removal, tmp_path: Path) -> None:
    begin_and_die(one, tmp_path, *NAMES, ended=time.time() - LATE_S - 5)
    done = one.remove()
    assert (done.deleted, done.expected, warnings_of(one.catalog)) == (0, 0, [])


def test_copies_stay_if_no_value_identifies_its_bucket(one: Removal) -> None:
    settings = one.settings(
        source={**one.side("source"), "prefix": "same/"},
        target={**one.side("target"), "prefix": "same/"},
        rollback_copies="remove",
        confirm=one.target,
    )
    with pytest.raises(RefusedError, match=r"rehome_references\[0\] \(avatars.path\): has values that do not change"):
        inspect_target(settings, dry_run=True)
    with pytest.raises(RefusedError, match="has values that do not change"):
        preflight_rollback(settings, dry_run=True)


def test_without_outcomes_no_copy_is_known_and_all_are_kept(one: Removal, tmp_path: Path) -> None:
    one.migrate(*NAMES)
    one.roll_back()
    for file in (tmp_path / "outcomes").iterdir():
        file.unlink()
    done = one.remove()
    assert (done.deleted, done.kept["not_ours"], one.target_keys()) == (0, 3, NEW)


@pytest.mark.needs("rights")
def test_who_migrates_may_not_remove(one: Removal) -> None:
    one.migrate(*NAMES)
    one.roll_back()
    settings = one.settings(rollback_copies="remove", confirm=one.target)
    with pytest.raises(RefusedError, match=r"rehome_target.bucket.*Grant"):
        one.carry_out(settings, one.judge(settings))
    assert one.target_keys() == NEW
    with connect(settings.database):
        assert one.paths() == OLD
