from __future__ import annotations

from rehome.db.dialect import Change, DatabaseError, RowRefusedError, TableFacts, TakenError
from rehome.db.work.refusals import MAX_IN_A_ROW, MAX_TRIALS, Refusals, of_all_rows, spread

FACTS = TableFacts("avatars", "path", (), triggers=("guard",))
CHANGES = [Change((number,), f"image/{number}", f"avatar/{number}") for number in range(100)]


def test_rows_are_spread_from_the_first_to_the_last() -> None:
    assert [change.key[0] for change in spread(CHANGES, 4)] == [0, 33, 66, 99]
    assert spread(CHANGES[:3], 4) == CHANGES[:3]


def test_before_a_row_was_written_only_a_value_that_is_taken_is_about_its_row() -> None:
    refusals = Refusals()
    assert refusals.is_about_row(FACTS, TakenError("twice"))
    assert not refusals.is_about_row(FACTS, RowRefusedError("a check"))
    refusals.record_written(FACTS, CHANGES[0])
    assert refusals.is_about_row(FACTS, RowRefusedError("a check"))


def test_errors_that_need_not_be_about_rows_are_questioned_again_after_some_in_a_row() -> None:
    refusals = Refusals()
    refusals.record_written(FACTS, CHANGES[0])
    answers = [refusals.is_about_row(FACTS, DatabaseError("the disk is full")) for _ in range(MAX_IN_A_ROW + 1)]
    assert answers == [True] * MAX_IN_A_ROW + [False]
    refusals.record_written(FACTS, CHANGES[0])
    assert refusals.is_about_row(FACTS, DatabaseError("the disk is full"))


def test_a_row_that_was_written_is_tried_first_then_rows_nearby_and_from_afar_but_few() -> None:
    far = [Change((number,), f"image/{number}", f"avatar/{number}") for number in range(1_000, 1_100)]
    refusals = Refusals({"avatars.path": far})
    tried = list(refusals.to_try(FACTS, CHANGES[0], CHANGES))
    assert len(tried) == MAX_TRIALS
    assert CHANGES[0] not in tried
    assert {change in far for change in tried} == {False, True}
    refusals.record_written(FACTS, CHANGES[5])
    back, forth, *_ = refusals.to_try(FACTS, CHANGES[0], CHANGES)
    assert (back.old, back.new, forth) == (CHANGES[5].new, CHANGES[5].old, CHANGES[5])


def test_the_error_of_all_rows_keeps_its_class_its_code_and_the_servers_words() -> None:
    error = of_all_rows(FACTS, TakenError("no", "1062"), 9)
    assert (type(error), error.code) == (TakenError, "1062")
    assert "no. All 9 rows of avatars.path" in str(error)
    assert "guard" in str(error)
    assert of_all_rows(FACTS, error, 1) is error
