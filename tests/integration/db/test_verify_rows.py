"""What a verification says of rewritten rows, by the journal and by what the rows hold now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.stages import verify_rows as comparing
from rehome.stages.verify_rows import RowsCheck

from tests.integration.db.conftest import Bench
from tests.integration.db.rows import Rows

NAMES = [f"avatar-{n}.png" for n in range(1, 7)]


@pytest.fixture
def rows(bench: Bench, tmp_path: Path) -> Iterator[Rows]:
    """Six rows that were rewritten."""
    bench.create()
    bench.fill(*(f"image/{name}" for name in NAMES))
    made = Rows(bench, tmp_path)
    assert made.migrate(chunk_rows=4) == 6
    yield made
    made.close()


def test_rows_as_they_were_rewritten_are_all_checked_by_their_checksums_alone(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, _ = rows.verify(NAMES, NAMES)
    assert check.checked == 6
    assert check.ranges > 0
    assert check == RowsCheck(checked=6, ranges=check.ranges)
    assert check.problems() == []


def test_each_row_that_is_not_as_it_was_rewritten_gets_its_class(rows: Rows) -> None:
    rows.set(1, "image/avatar-1.png")
    rows.set(2, "avatar/avatar-none.png")
    rows.set(3, "avatar/avatar-4.png")
    rows.set(4, None)
    rows.bench.execute("DELETE FROM T WHERE id = 5")
    check, catalog = rows.verify(NAMES, NAMES)
    expected = RowsCheck(6, check.ranges, check.differing, changed_since=2, gone=1, wrong=2)
    assert check == expected
    assert 0 < check.differing <= check.ranges
    assert check.problems() == [
        "2 rewritten rows hold the old value again, or one whose object is nowhere (rows-wrong.jsonl) [RH-611]"
    ]
    reasons = {json.loads(key)[0]: why for key, why in catalog.query("SELECT key, reason FROM rows_wrong")}
    assert reasons == {1: "holds the old value again", 2: "holds another value, whose object is nowhere"}
    assert catalog.query("SELECT key, value FROM rows_changed_since ORDER BY key") == [
        ("[3]", "avatar/avatar-4.png"),
        ("[4]", None),
    ]
    assert catalog.query("SELECT key, new_value, old_value FROM rows_gone") == [
        ("[5]", "avatar/avatar-5.png", "image/avatar-5.png")
    ]


def test_another_old_value_is_the_applications_own_as_long_as_its_object_is_in_the_source(rows: Rows) -> None:
    rows.set(1, "image/avatar-new.png")
    assert rows.verify([*NAMES, "avatar-new.png"], NAMES)[0].changed_since == 1
    assert rows.verify(NAMES, [*NAMES, "avatar-new.png"])[0].wrong == 1


def test_a_rewritten_row_whose_object_is_not_in_the_target_is_a_problem(rows: Rows) -> None:
    check, catalog = rows.verify(NAMES, NAMES[1:])
    assert (check.without_object, check.wrong) == (1, 0)
    problem = "1 rewritten rows name an object that is not in the target (rows-wrong.jsonl) [RH-611]"
    assert check.problems() == [problem]
    assert catalog.query("SELECT key FROM rows_wrong") == [("[1]",)]


def test_a_rewritten_dangling_row_is_no_problem_if_dangling_rows_are_to_be_rewritten(rows: Rows) -> None:
    rewriting = replace(rows.settings(), on_dangling="rewrite")
    assert rows.verify(NAMES[1:], NAMES[1:], rewriting)[0].problems() == []
    assert rows.verify(NAMES, NAMES[1:], rewriting)[0].without_object == 1, "it is in the source, and was not copied"


def test_rows_that_were_put_back_are_not_expected_any_more(rows: Rows) -> None:
    rows.set(6, "image/elsewhere.png")
    rows.roll_back()
    check, _ = rows.verify(NAMES, NAMES)
    assert (check.checked, check.changed_since, check.wrong) == (1, 1, 0)


def test_the_applications_own_rows_make_no_difference(rows: Rows) -> None:
    for number in range(7, 30):
        rows.bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", number, "avatar/avatar-1.png")
    check, _ = rows.verify(NAMES, NAMES)
    assert check.problems() == []
    assert (check.checked, check.changed_since, check.gone) == (6, 0, 0)


def test_one_wrong_row_is_found_in_ranges_of_many_rows(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    one_range = {name: getattr(comparing, name).replace("% 1024", "% 1") for name in ("_EXPECTED", "_DIFFERING")}
    for name, statement in one_range.items():
        monkeypatch.setattr(comparing, name, statement)
    monkeypatch.setattr(comparing, "_SUSPECTS", comparing._SUSPECTS.replace("% 1024", "% 1"))
    assert rows.verify(NAMES, NAMES)[0] == RowsCheck(checked=6, ranges=1)
    rows.set(2, "avatar/avatar-3.png")
    rows.set(3, "avatar/avatar-2.png")
    check, _ = rows.verify(NAMES, NAMES)
    assert (check.differing, check.changed_since) == (1, 2)


def test_without_a_journal_nothing_is_compared_and_nothing_is_wrong(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill("avatar/avatar-1.png")
    rows = Rows(bench, tmp_path)
    assert rows.verify(NAMES, NAMES)[0] == RowsCheck(), "nothing of this migration"
    rows.bench.rehome_execute("DROP TABLE rehome_journal" if bench.engine == "sqlite" else "DROP TABLE rehome.journal")
    assert rows.verify(NAMES, NAMES)[0] == RowsCheck()
    rows.close()


def test_what_the_application_does_between_the_scan_and_the_comparison_is_reported_as_it_is_now(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.set(1, "image/avatar-1.png")
    rows.set(2, "avatar/avatar-none.png")
    rows.set(3, None)
    read_history = comparing.read_history

    def meanwhile(*arguments: object) -> int:
        rows.set(1, "avatar/avatar-1.png")
        rows.set(2, "x.png")
        rows.bench.execute("DELETE FROM T WHERE id = 3")
        return read_history(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(comparing, "read_history", meanwhile)
    check, _ = rows.verify(NAMES, NAMES)
    assert (check.wrong, check.changed_since, check.gone) == (0, 1, 1)
