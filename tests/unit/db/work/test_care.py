from __future__ import annotations

import pytest
from rehome.db.work.care import Care, Outlook


def test_nothing_is_expected_to_have_changed_at_first() -> None:
    assert Outlook().care is Care.AT_ONCE


@pytest.mark.parametrize("care", [Care.AT_ONCE, Care.SORTED_OUT])
def test_rows_that_were_not_as_planned_call_for_care_until_a_chunk_is_again(care: Care) -> None:
    outlook = Outlook()
    outlook.note(care, as_planned=False)
    assert outlook.care is Care.SORTED_OUT
    outlook.note(Care.SORTED_OUT, as_planned=True)
    assert outlook.care is Care.AT_ONCE


def test_where_only_the_slowest_way_did_it_is_taken_at_once_from_then_on() -> None:
    outlook = Outlook()
    outlook.note(Care.BY_VALUE, as_planned=True)
    assert outlook.care is Care.BY_VALUE
