from __future__ import annotations

import pytest
from rehome.db.work.caution import Caution, CautionLevel


def test_nothing_is_expected_to_have_changed_at_first() -> None:
    assert Caution().level is CautionLevel.OPTIMISTIC


@pytest.mark.parametrize("level", [CautionLevel.OPTIMISTIC, CautionLevel.LOCKED_FIRST])
def test_rows_that_were_not_as_planned_raise_the_caution_level_until_a_chunk_is_again(level: CautionLevel) -> None:
    caution = Caution()
    caution.record(level, as_planned=False)
    assert caution.level is CautionLevel.LOCKED_FIRST
    caution.record(CautionLevel.LOCKED_FIRST, as_planned=True)
    assert caution.level is CautionLevel.OPTIMISTIC


def test_where_only_the_slowest_way_did_it_is_taken_at_once_from_then_on() -> None:
    caution = Caution()
    caution.record(CautionLevel.BY_VALUE, as_planned=True)
    assert caution.level is CautionLevel.BY_VALUE
    caution.record(CautionLevel.WATCHED, as_planned=True)
    caution.record(CautionLevel.BY_VALUE, as_planned=True)
    assert caution.level is CautionLevel.WATCHED
