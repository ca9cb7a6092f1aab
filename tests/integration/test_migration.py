"""Scan, plan, copy, rewrite and verify on a real object store, with changes to the data in between."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rehome.db.dialect import TableFacts
from rehome.db.facts import facts_for_rewrite
from rehome.planning.plan import make_plan
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan import rows
from rehome.services import clients
from rehome.stages import rewrite_rows as rewriting
from rehome.stages.chunk_runner import sum_pauses
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned, sample_diffs

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration


@pytest.fixture
def migration(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Migration]:
    made = Migration(object_store, buckets, sqlite, tmp_path)
    yield made
    made.close()


def test_an_object_that_is_overwritten_after_the_plan_is_not_copied_and_its_row_stays(migration: Migration) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.put("avatar-2.png")
    migration.plan(settings)
    migration.s3.put_object(Bucket=migration.source, Key="image/avatar-1.png", Body=b"newer content")
    assert migration.copy(settings).changed == 1
    assert migration.rewrite(settings).rewritten == 1
    assert migration.target_keys() == ["avatar/avatar-2.png"]
    assert migration.paths() == ["image/avatar-1.png", "avatar/avatar-2.png"]
    assert migration.verify(settings).problems == [
        "1 objects under the source prefix are not in the target [RH-601]",
        "1 rows still hold the old value [RH-608]",
    ]


def test_an_object_that_is_deleted_after_the_plan_leaves_its_row_as_it_is(migration: Migration) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.s3.delete_object(Bucket=migration.source, Key="image/avatar-1.png")
    assert migration.copy(settings).changed == 1
    assert migration.rewrite(settings).rewritten == 0
    assert migration.paths() == ["image/avatar-1.png"]


def test_a_target_that_appears_after_the_plan_is_not_overwritten_and_the_row_stays(migration: Migration) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-1.png", Body=b"somebody else's")
    assert migration.copy(settings).conflict == 1
    assert migration.rewrite(settings).rewritten == 0
    assert migration.content("avatar/avatar-1.png") == b"somebody else's"
    assert migration.paths() == ["image/avatar-1.png"]


def test_a_target_with_the_same_content_needs_no_copy_and_its_row_is_rewritten(migration: Migration) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-1.png", Body=b"content")
    assert migration.plan(settings).objects["present"] == 1
    assert migration.copy(settings).done == 0
    assert migration.rewrite(settings).rewritten == 1


def test_under_skip_a_conflict_and_its_row_are_left_and_that_is_complete(migration: Migration) -> None:
    settings = migration.settings(on_conflict="skip")
    migration.put("avatar-1.png")
    migration.put("avatar-2.png")
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-1.png", Body=b"somebody else's")
    plan = migration.plan(settings)
    assert (plan.objects["conflict"], plan.rows["blocked"]) == (1, 1)
    migration.copy(settings)
    migration.rewrite(settings)
    assert migration.content("avatar/avatar-1.png") == b"somebody else's"
    assert migration.paths() == ["image/avatar-1.png", "avatar/avatar-2.png"]
    assert migration.verify(settings).complete


def test_under_overwrite_exactly_what_the_plan_saw_is_replaced(migration: Migration) -> None:
    settings = migration.settings(on_conflict="overwrite")
    for name in ("avatar-1.png", "avatar-2.png"):
        migration.put(name)
        migration.s3.put_object(Bucket=migration.target, Key=f"avatar/{name}", Body=b"somebody else's")
    migration.plan(settings)
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-2.png", Body=b"changed since")
    counts = migration.copy(settings)
    assert (counts.copied, counts.conflict) == (1, 1)
    migration.rewrite(settings)
    assert migration.content("avatar/avatar-1.png") == b"content"
    assert migration.content("avatar/avatar-2.png") == b"changed since"
    assert migration.paths() == ["avatar/avatar-1.png", "image/avatar-2.png"]


def _put_in_parts(migration: Migration, bucket: str, key: str, sizes: list[int], body: bytes) -> None:
    upload = migration.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = []
    for number, size in enumerate(sizes, 1):
        part, body = body[:size], body[size:]
        params = {"Bucket": bucket, "Key": key, "UploadId": upload, "PartNumber": number}
        parts.append({"PartNumber": number, "ETag": migration.s3.upload_part(**params, Body=part)["ETag"]})
    migration.s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


@pytest.mark.parametrize(("tail", "kind"), [(b"same", "present"), (b"diff", "conflict")])
def test_objects_whose_etags_say_nothing_are_compared_by_their_bytes(
    migration: Migration, tail: bytes, kind: str
) -> None:
    settings = migration.settings()
    mebibyte = 1024 * 1024
    body = bytes(6 * mebibyte)
    _put_in_parts(migration, migration.source, "image/avatar-1.png", [5 * mebibyte, mebibyte + 4], body + b"same")
    migration.add_row("image/avatar-1.png")
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-1.png", Body=body + tail)
    assert migration.plan(settings).objects[kind] == 1


def test_every_form_of_one_object_follows_it(migration: Migration) -> None:
    settings = migration.settings(
        references=[
            {"table": "avatars", "column": "path", "form": {"prefix": "https://cdn.example/"}},
        ]
    )
    migration.s3.put_object(Bucket=migration.source, Key="image/avatar-1.png", Body=b"content")
    migration.add_row("https://cdn.example/image/avatar-1.png")
    migration.add_row("image/avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.rewrite(settings)
    assert migration.paths() == ["https://cdn.example/avatar/avatar-1.png", "image/avatar-1.png"]


def test_under_rewrite_dangling_rows_are_rewritten_too(migration: Migration) -> None:
    settings = migration.settings(on_dangling="rewrite")
    migration.add_row("image/avatar-none.png")
    assert migration.plan(settings).rows["dangling"] == 1
    migration.rewrite(settings)
    assert migration.paths() == ["avatar/avatar-none.png"]
    assert migration.verify(settings).complete


def test_a_copy_that_is_asked_to_stop_finishes_what_is_in_flight_and_a_later_run_the_others(
    migration: Migration, tmp_path: Path
) -> None:
    settings = migration.settings()
    for number in range(300):
        migration.put(f"avatar-{number}.png", str(number).encode())
    migration.plan(settings)
    calls = itertools.count()
    counts = CopyCounts()
    copy_planned(Run(settings, migration.catalog, Progress(tmp_path), lambda: next(calls) >= 100), counts)
    copied = counts.copied
    # it is asked before each object, and some times in between
    assert 0 < copied <= 100
    assert migration.rewrite(settings).rewritten == copied
    assert migration.plan(settings).objects["present"] == copied
    assert migration.copy(settings).copied == 300 - copied
    assert migration.rewrite(settings).rewritten == 300 - copied
    assert migration.verify(settings).complete


def test_verification_believes_nothing_but_what_it_sees(migration: Migration) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.rewrite(settings)
    assert migration.verify(settings).complete
    migration.s3.delete_object(Bucket=migration.target, Key="avatar/avatar-1.png")
    assert "objects under the source prefix are not in the target" in migration.verify(settings).problems[0]
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-1.png", Body=b"damaged")
    assert "other content" in migration.verify(settings).problems[0]


def test_an_upload_between_reading_the_rows_and_listing_the_buckets_never_looks_like_a_dangling_row(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = migration.settings(on_dangling="rewrite")
    migration.put("avatar-1.png")
    numbers = itertools.count()

    def with_an_upload_before(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def racing(settings: Any) -> Any:
            migration.put(f"avatar-racing-{next(numbers)}.png")
            return original(settings)

        return racing

    for module, name in ((rows, "connect"), (clients, "resolve")):
        monkeypatch.setattr(module, name, with_an_upload_before(getattr(module, name)))
    assert migration.plan(settings).rows["dangling"] == 0
    monkeypatch.undo()
    migration.copy(settings)
    migration.rewrite(settings)
    assert set(migration.paths()) <= {*migration.target_keys(), *migration.source_keys()}


def test_a_row_that_would_overflow_is_refused_even_if_dangling_rows_are_rewritten(migration: Migration) -> None:
    migration.add_row("image/avatar-none.png")
    settings = migration.settings(on_dangling="rewrite")
    migration.plan(settings)
    migration.catalog.run("UPDATE reference_rows SET overflows = true")
    assert make_plan(migration.catalog, settings).rows["overflowing"] == 1
    assert make_plan(migration.catalog, migration.settings()).rows["dangling"] == 1


def test_rows_that_appear_before_the_rewrite_ends_are_found_if_their_object_is_known_to_exist(
    migration: Migration,
) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.put("avatar-2.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.add_row("image/avatar-1.png")
    migration.put("avatar-3.png")
    assert migration.rewrite(settings).rewritten == 3
    now = ["avatar/avatar-1.png", "avatar/avatar-2.png", "avatar/avatar-1.png", "image/avatar-3.png"]
    assert migration.paths() == now


def test_an_empty_queue_does_not_read_the_table(migration: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.plan(settings)
    with monkeypatch.context() as patched:
        patched.setattr(rewriting, "read_by_keyset", lambda *_, **__: pytest.fail("the table was read"))
        assert migration.rewrite(settings).rewritten == 0
    migration.copy(settings)
    assert migration.rewrite(settings).rewritten == 1


def test_a_row_that_was_refused_is_not_tried_again_by_the_next_read(migration: Migration) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.put("avatar-2.png")
    migration.refuse("avatar/avatar-2.png")
    migration.plan(settings)
    migration.copy(settings)
    counts = migration.rewrite(settings)
    assert (counts.rewritten, counts.refused) == (1, 1)


def test_a_row_whose_new_value_another_row_holds_is_refused_and_that_row_stays(migration: Migration) -> None:
    migration.sql("DROP TABLE avatars")
    migration.sql(
        "CREATE TABLE avatars (id INTEGER PRIMARY KEY, user_id INTEGER, path TEXT UNIQUE ON CONFLICT REPLACE)"
    )
    settings = migration.settings()
    for number in range(1, 4):
        migration.put(f"avatar-{number}.png")
    migration.add_row("avatar/avatar-3.png")
    migration.s3.put_object(Bucket=migration.target, Key="avatar/avatar-3.png", Body=b"content")
    migration.plan(settings)
    migration.copy(settings)
    counts = migration.rewrite(settings)
    assert (counts.rewritten, counts.refused) == (2, 1)
    assert migration.paths() == [
        "avatar/avatar-1.png",
        "avatar/avatar-2.png",
        "image/avatar-3.png",
        "avatar/avatar-3.png",
    ]
    assert migration.verify(settings).problems


@pytest.mark.parametrize("touched", [False, True])
def test_updated_at_moves_only_where_it_may(migration: Migration, touched: bool) -> None:
    facts = TableFacts("avatars", "path", (), keep_columns=("updated_at",))
    settings = migration.settings(touch_updated_at=touched)
    assert facts_for_rewrite(facts, settings).keep_columns == (() if touched else ("updated_at",))


def test_a_pause_file_pauses_the_rewrite_until_it_is_deleted(migration: Migration, tmp_path: Path) -> None:
    pause = tmp_path / "halt"
    settings = migration.settings(throttle={"pause_file": str(pause)})
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    pause.touch()
    paused: list[list[str]] = []
    threading.Timer(1.5, lambda: (paused.append(migration.paths()), pause.unlink())).start()
    counts = migration.rewrite(settings)
    assert paused == [["image/avatar-1.png"]]
    assert counts.rewritten == 1
    assert sum_pauses(counts.throttled_s).keys() == {"pause_file"}
    assert sum_pauses({"pause_file": 100.0, "nice": 5.0}, counts.throttled_s)["pause_file"] > 100


def test_a_request_to_stop_is_obeyed_while_the_rewrite_waits(migration: Migration, tmp_path: Path) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    (tmp_path / "pause").touch()
    counts, stop = RewriteCounts(), threading.Event()
    threading.Timer(0.5, stop.set).start()
    rewrite_planned(Run(settings, migration.catalog, Progress(tmp_path), stop.is_set), counts)
    assert counts.rewritten == 0
    assert migration.paths() == ["image/avatar-1.png"]


def test_a_request_to_stop_is_obeyed_while_it_reads_again(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    for number in range(20):
        migration.add_row(f"image/avatar-late-{number}.png")
    stop, batches, read_by_keyset = threading.Event(), itertools.count(), rewriting.read_by_keyset

    def row_by_row(*arguments: Any, **named: Any) -> Iterator[Any]:
        for batch in read_by_keyset(*arguments, batch_rows=1, **named):
            next(batches)
            stop.set()
            yield batch

    monkeypatch.setattr(rewriting, "read_by_keyset", row_by_row)
    counts = RewriteCounts()
    rewrite_planned(Run(settings, migration.catalog, Progress(tmp_path), stop.is_set), counts)
    assert counts.rewritten == 1
    assert next(batches) == 1, "no further rows of the table are read"


URLS = {"table": "avatars", "column": "path", "form": "path-style"}


def test_several_columns_in_several_forms_name_one_object(migration: Migration) -> None:
    settings = migration.settings(
        references=[URLS, {"table": "thumbs", "column": "original"}, {"table": "thumbs", "column": "copy"}]
    )
    values = settings.value_map(settings.references[0])
    old, new = values.source_head, values.target_head
    migration.s3.put_object(Bucket=migration.source, Key="image/avatar-é 1.png", Body=b"content")
    migration.add_row(f"{old}avatar-%C3%A9%201.png?v=1#top")
    migration.add_row(f"{old}avatar-é%201.png")
    migration.add_row(f"{old}readme.txt?v=1")
    migration.sql("CREATE TABLE thumbs (id INTEGER PRIMARY KEY, original TEXT, copy TEXT)")
    migration.sql("INSERT INTO thumbs VALUES (1, 'image/avatar-é 1.png', 'image/avatar-é 1.png')")
    assert migration.plan(settings).rows["to_rewrite"] == 4
    migration.copy(settings)
    assert [line for diff in sample_diffs(settings, migration.catalog) for line in diff["after"].splitlines()] == [
        f"{new}avatar-%C3%A9%201.png?v=1#top",
        f"{new}avatar-é%201.png",
        "avatar/avatar-é 1.png",
        "avatar/avatar-é 1.png",
    ]
    assert migration.rewrite(settings).rewritten == 4
    assert migration.paths() == [
        f"{new}avatar-%C3%A9%201.png?v=1#top",
        f"{new}avatar-é%201.png",
        f"{old}readme.txt?v=1",
    ]
    assert migration.sql("SELECT * FROM thumbs") == [(1, "avatar/avatar-é 1.png", "avatar/avatar-é 1.png")]
    verdict = migration.verify(settings)
    assert (verdict.complete, verdict.plan.rows["done"]) == (True, 4)


def test_rows_outside_the_condition_stay_as_they_are(migration: Migration) -> None:
    settings = migration.settings(references=[{"table": "avatars", "column": "path", "where": "id % 2 = 1"}])
    for number in (1, 2, 3):
        migration.put(f"avatar-{number}.png")
    migration.plan(settings)
    migration.copy(settings)
    assert migration.rewrite(settings).rewritten == 2
    assert migration.paths() == ["avatar/avatar-1.png", "image/avatar-2.png", "avatar/avatar-3.png"]
    assert migration.verify(settings).complete
