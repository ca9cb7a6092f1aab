"""What a rollback does to the rows. The buckets are not read (`restore`), or have the objects that a test lists."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehome.catalog.catalog import Catalog
from rehome.config.settings import RollbackPolicy
from rehome.errors import RefusedError
from rehome.run import Run
from rehome.stages import rollback_rows as rolling_back
from rehome.stages.rollback_rows import RollbackCounts

from tests.integration.db.conftest import Bench
from tests.integration.db.rows import Rows

OLD = [
    "image/avatar-plain.png",
    "image/avatar-space and  two .png",
    "image/avatar-100%25 %s.png",
    'image/avatar-it\'s "quoted" `so` \\n.png',
    "image/avatar-ünïcödé-é-e\u0301-😀.png",
]


@pytest.fixture
def rows(bench: Bench, tmp_path: Path) -> Iterator[Rows]:
    bench.create()
    made = Rows(bench, tmp_path)
    yield made
    made.close()


def numbers(catalog: Catalog, table: str) -> list[int]:
    return sorted(json.loads(key)[0] for (key,) in catalog.query(f"SELECT key FROM {table}"))


def test_every_row_holds_its_earlier_value_byte_for_byte(rows: Rows) -> None:
    rows.bench.fill(*OLD, None, "default.png", "")
    before = rows.bench.values()
    assert rows.migrate(chunk_rows=2) == len(OLD)
    assert rows.bench.values() != before
    counts, _ = rows.roll_back()
    assert rows.bench.values() == before
    assert counts == RollbackCounts(rewritten_ever=len(OLD), journalled=len(OLD), restored=len(OLD))
    assert rows.entries() == [("rewrite", 2), ("rewrite", 2), ("rewrite", 1), *[("rollback", n) for n in (1, 2, 2)]]


def test_again_it_changes_and_journals_nothing(rows: Rows) -> None:
    rows.bench.fill(*OLD)
    rows.migrate()
    rows.roll_back()
    entries = rows.entries()
    counts, _ = rows.roll_back()
    assert counts == RollbackCounts(rewritten_ever=len(OLD), restored_before=len(OLD))
    assert rows.entries() == entries


def test_rows_that_the_application_changed_or_deleted_since_are_left_and_distinguished(rows: Rows) -> None:
    rows.bench.fill(*(f"image/avatar-{n}.png" for n in range(1, 7)))
    rows.migrate(chunk_rows=3)
    rows.set(2, "avatar/avatar-own.png")
    rows.set(3, None)
    rows.set(4, "avatar/AVATAR-4.png")
    rows.set(5, "image/avatar-5.png")
    rows.bench.execute("DELETE FROM T WHERE id = 6")
    expected = RollbackCounts(rewritten_ever=6, journalled=6, restored_before=1, changed_since=3, gone=1)
    checked, diffs = rows.check()
    assert checked == replace_count(expected, to_restore=1)
    assert [(diff["before"], diff["after"]) for diff in diffs] == [("avatar/avatar-1.png\n", "image/avatar-1.png\n")]
    counts, catalog = rows.roll_back()
    assert counts == replace_count(expected, restored=1)
    after = ["image/avatar-1.png", "avatar/avatar-own.png", None, "avatar/AVATAR-4.png", "image/avatar-5.png"]
    assert rows.bench.values() == after
    assert numbers(catalog, "rows_changed_since") == [2, 3, 4]
    assert numbers(catalog, "rows_gone") == [6]
    own = catalog.query("SELECT value, new_value, old_value FROM rows_changed_since WHERE key = '[2]'")
    assert own == [("avatar/avatar-own.png", "avatar/avatar-2.png", "image/avatar-2.png")]


def replace_count(counts: RollbackCounts, **changes: int) -> RollbackCounts:
    return RollbackCounts(**{name.removeprefix("rows_"): n for name, n in counts.counts().items()} | changes)


def test_a_check_reads_only_and_says_what_a_run_then_does(rows: Rows) -> None:
    rows.bench.fill(*OLD)
    rows.migrate()
    before, entries = rows.bench.values(), rows.entries()
    checked, diffs = rows.check(replace(rows.settings(), database=rows.bench.settings("reader")))
    assert (rows.bench.values(), rows.entries()) == (before, entries)
    assert checked == RollbackCounts(rewritten_ever=len(OLD), journalled=len(OLD), to_restore=len(OLD))
    (diff,) = diffs
    assert diff["before_header"] == f"{rows.bench.table}.path, 3 of {len(OLD)} rows"
    assert diff["after"] == "".join(f"{value}\n" for value in OLD[:3])


def test_a_rolled_back_row_to_which_the_application_then_gave_the_new_value_itself_is_its_own(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png", "image/avatar-2.png")
    rows.migrate()
    rows.roll_back()
    rows.set(1, "avatar/avatar-1.png")
    counts, _ = rows.roll_back()
    assert (counts.restored, counts.restored_before) == (0, 2)
    assert rows.bench.values() == ["avatar/avatar-1.png", "image/avatar-2.png"]


def test_so_it_is_if_the_row_was_rewritten_twice(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    rows.set(1, "image/avatar-1.png")
    rows.migrate()
    rows.roll_back()
    assert rows.bench.values() == ["image/avatar-1.png"]
    rows.set(1, "avatar/avatar-1.png")
    assert rows.roll_back()[0].restored == 0, "neither of the two rewrites is to be undone any more"
    assert rows.bench.values() == ["avatar/avatar-1.png"]


def test_a_row_that_the_application_gave_another_old_value_between_two_runs_gets_that_one_back(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    rows.set(1, "image/avatar-2.png")
    rows.migrate()
    counts, _ = rows.roll_back()
    assert counts == RollbackCounts(rewritten_ever=1, journalled=1, restored=1)
    assert rows.bench.values() == ["image/avatar-2.png"]


def test_an_entry_that_is_undone_in_part_is_continued(rows: Rows) -> None:
    rows.bench.fill(*(f"image/avatar-{n}.png" for n in range(1, 5)))
    rows.migrate()
    rows.set(3, "image/elsewhere.png")
    assert rows.roll_back()[0].restored == 3
    rows.set(1, "avatar/avatar-1.png")
    rows.set(3, "avatar/avatar-3.png")
    counts, _ = rows.roll_back()
    assert counts == RollbackCounts(rewritten_ever=4, journalled=1, restored=1, restored_before=3)
    assert rows.bench.values() == [
        "avatar/avatar-1.png",
        *(f"image/avatar-{n}.png" for n in range(2, 5)),
    ]


def test_stopped_halfway_it_continues_from_there(rows: Rows) -> None:
    rows.bench.fill(*(f"image/avatar-{n}.png" for n in range(1, 11)))
    before = rows.bench.values()
    rows.migrate(chunk_rows=5)
    assert rows.roll_back(chunks=1)[0].restored == 5
    assert rows.bench.values() == [*(f"avatar/avatar-{n}.png" for n in range(1, 6)), *before[5:]]
    counts, _ = rows.roll_back()
    assert (counts.restored, counts.restored_before) == (5, 5)
    assert rows.bench.values() == before


def test_since_a_time_only_what_was_rewritten_then_or_later_is_undone(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    time.sleep(0.05)
    rows.bench.execute("INSERT INTO T (id, path) VALUES (2, ?)", "image/avatar-2.png")
    rows.migrate()
    (newest,) = rows.database.read_journal(rows.bench.schema, rows.bench.table, None, 1)
    assert rows.roll_back(rows.settings(newest.written_at + timedelta(minutes=1)))[0] == RollbackCounts()
    assert rows.roll_back(rows.settings(newest.written_at))[0].restored == 1
    assert rows.bench.values() == ["avatar/avatar-1.png", "image/avatar-2.png"]
    assert rows.roll_back()[0].restored == 1
    assert rows.bench.values() == ["image/avatar-1.png", "image/avatar-2.png"]


def test_after_a_rollback_a_migration_rewrites_again_and_can_be_undone_again(rows: Rows) -> None:
    rows.bench.fill(*OLD)
    for _ in range(2):
        assert rows.migrate(chunk_rows=2) == len(OLD)
        assert rows.roll_back()[0].restored == len(OLD)
        assert rows.bench.values() == OLD


def test_an_old_value_that_the_server_no_longer_accepts_is_reported_and_the_others_go_on(
    bench: Bench, tmp_path: Path
) -> None:
    bench.create(column="path VARCHAR(255) UNIQUE")
    rows = Rows(bench, tmp_path)
    bench.fill(*(f"image/avatar-{n}.png" for n in range(1, 4)))
    rows.migrate()
    bench.execute("INSERT INTO T (id, path) VALUES (4, ?)", "image/avatar-2.png")
    counts, catalog = rows.roll_back()
    assert counts == RollbackCounts(rewritten_ever=3, journalled=3, restored=2, refused=1)
    problem = "1 rows keep their new value, as the server refuses the old one (rows-refused.jsonl) [RH-613]"
    assert counts.problems() == [problem]
    assert numbers(catalog, "refused_rows") == [2]
    rows.close()


def test_only_the_keys_of_a_list_are_rolled_back_if_a_list_is_given(rows: Rows, tmp_path: Path) -> None:
    rows.bench.fill("image/avatar-1.png", "image/avatar-2.png")
    rows.migrate()
    keys = tmp_path / "keys.jsonl"
    keys.write_text('{"key": "image/avatar-2.png"}\n')
    counts, _ = rows.roll_back(rows.settings(only_keys=str(keys)))
    assert counts == RollbackCounts(rewritten_ever=1, journalled=1, restored=1, foreign=1)
    assert rows.bench.values() == ["avatar/avatar-1.png", "image/avatar-2.png"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"include": ["*"]}, "rehome_name (.*): the journal holds changes that were made under this name with other"),
        ({"references": []}, "rehome_references: the journal has rewritten rows of .*path, a column that none"),
    ],
)
def test_a_journal_of_other_settings_is_refused_with_a_message(rows: Rows, changes: dict[str, Any], words: str) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    made = rows.settings()
    other = (
        replace(made, references=(replace(made.references[0], column="pfad"),))
        if "references" in changes
        else replace(made, include=("*",))
    )
    with pytest.raises(RefusedError, match=words):
        rows.plan(other)


def test_an_entry_that_was_damaged_is_refused_before_anything_is_rolled_back(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    table = "rehome_journal" if rows.bench.engine == "sqlite" else "rehome.journal"
    rows.bench.rehome_execute(f"UPDATE {table} SET sha256 = '{'0' * 64}'")
    with pytest.raises(RefusedError, match=r"entry \d+ of the journal is damaged"):
        rows.plan(rows.settings())


@contextmanager
def buckets(
    monkeypatch: pytest.MonkeyPatch, source: Mapping[str, tuple[str, str]], target: Mapping[str, str]
) -> Iterator[None]:
    """Set what the listings return. source: suffix → ETag, storage class; target: suffix → ETag"""

    def listed(run: Run) -> None:
        run.catalog.append(
            "source_objects", [(suffix, 1, etag, "", kind, "", "", None) for suffix, (etag, kind) in source.items()]
        )
        run.catalog.append("target_objects", [(suffix, 1, etag) for suffix, etag in target.items()])

    with monkeypatch.context() as patched:
        patched.setattr(rolling_back, "scan_buckets", listed)
        yield


def test_a_row_whose_object_is_not_in_the_source_as_it_was_is_kept_and_listed(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["avatar-same.png", "avatar-gone.png", "avatar-other.png", "avatar-cold.png", "avatar-nowhere.png"]
    rows.bench.fill(*(f"image/{name}" for name in [*names, "avatar-gone.png"]))
    rows.migrate()
    rows.set(6, "avatar/avatar-own.png")
    keeping = replace(rows.settings(), rollback=RollbackPolicy())
    source = {names[0]: ("a", "STANDARD"), names[2]: ("b", "STANDARD"), names[3]: ("a", "GLACIER")}
    with buckets(monkeypatch, source, dict.fromkeys(names[:4], "a")):
        checked, _ = rows.check(keeping)
        counts, catalog = rows.roll_back(keeping)
    assert checked == RollbackCounts(rewritten_ever=6, journalled=6, to_restore=2, kept=3, changed_since=1)
    assert counts == RollbackCounts(rewritten_ever=6, journalled=6, restored=2, kept=3, changed_since=1)
    assert "rehome_rollback_missing decides" in counts.problems()[0]
    assert rows.bench.values() == [
        "image/avatar-same.png",
        *(f"avatar/{name}" for name in names[1:4]),
        # the target has no such object either: nothing is lost
        "image/avatar-nowhere.png",
        "avatar/avatar-own.png",
    ]
    assert dict(catalog.query("SELECT value, reason FROM rows_kept")) == {
        "avatar/avatar-gone.png": "the object is not in the source any more",
        "avatar/avatar-other.png": "the source object has other content than the target's",
        "avatar/avatar-cold.png": "the source object is archived",
    }
    forced = rows.roll_back()[0]
    assert (forced.restored, forced.kept) == (3, 0), "with the explicit setting they are rolled back too"


# The model: the values of the rows, and for each its newest rewrite and whether that is undone.

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 6), st.integers(1, 3), st.sampled_from(["image/", "avatar/", "x/"])),
        st.tuples(st.just("delete"), st.integers(1, 6)),
        st.tuples(st.just("insert"), st.integers(1, 6), st.integers(1, 3), st.sampled_from(["image/", "avatar/"])),
        st.tuples(st.just("migrate"), st.integers(1, 4)),
        st.tuples(st.just("roll back"), st.sampled_from([None, 0, 1, 2])),
    ),
    max_size=12,
)


class Model:
    """Return what the rows must hold, whatever happened."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.entries: list[list[tuple[int, str, str]]] = []
        self.undone: set[tuple[int, int]] = set()

    def migrate(self, chunk_rows: int) -> None:
        changes = [
            (number, value, "avatar/" + value.removeprefix("image/"))
            for number, value in sorted(self.rows.items())
            if value.startswith("image/")
        ]
        self.entries += [changes[at : at + chunk_rows] for at in range(0, len(changes), chunk_rows)]
        self.rows |= {number: new for number, _, new in changes}

    def roll_back(self, chunks: int | None) -> None:
        newest = {number: at for at, entry in enumerate(self.entries) for number, _, _ in entry}
        worked = 0
        for at in reversed(range(len(self.entries))):
            due = [row for row in self.entries[at] if newest[row[0]] == at and (at, row[0]) not in self.undone]
            if not due:
                continue
            if chunks is not None and worked >= chunks:
                return
            worked += 1
            for number, old, new in due:
                if self.rows.get(number) == new:
                    self.rows[number] = old
                    self.undone.add((at, number))


def step(rows: Rows, model: Model, *what: Any) -> None:
    match what:
        case "write", number, name, prefix:
            if number in model.rows:
                model.rows[number] = f"{prefix}avatar-{name}.png"
                rows.set(number, model.rows[number])
        case "delete", number:
            model.rows.pop(number, None)
            rows.bench.execute("DELETE FROM T WHERE id = ?", number)
        case "insert", number, name, prefix:
            if number not in model.rows:
                model.rows[number] = f"{prefix}avatar-{name}.png"
                rows.bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", number, model.rows[number])
        case "migrate", chunk_rows:
            model.migrate(chunk_rows)
            rows.migrate(chunk_rows)
        case "roll back", chunks:
            model.roll_back(chunks)
            rows.roll_back(chunks=chunks)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_the_application_does_between_the_rows_are_those_of_the_model(
    bench: Bench, tmp_path: Path, drawn: list[Any]
) -> None:
    bench.execute(f"DROP TABLE IF EXISTS {bench.table}")
    bench.create()
    # a different name for each example, as the journal is kept
    rows, model = Rows(bench, tmp_path, f"{bench.table}-{secrets.token_hex(4)}"), Model()
    try:
        for number in range(1, 5):
            step(rows, model, "insert", number, number % 3 + 1, "image/")
        for one in [*drawn, ("migrate", 3), ("roll back", None)]:
            step(rows, model, *one)
            assert dict(bench.execute("SELECT id, path FROM T ")) == model.rows
    finally:
        rows.close()


def test_the_time_of_a_journal_entry_is_the_servers_and_in_utc(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    (newest,) = rows.database.read_journal(rows.bench.schema, rows.bench.table, None, 1)
    assert abs(newest.written_at - datetime.now(UTC)) < timedelta(minutes=1)
