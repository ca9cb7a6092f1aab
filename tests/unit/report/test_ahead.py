from __future__ import annotations

import pytest
from rehome.report.ahead import ahead_s
from rehome.report.facts import StageFact


def stage(name: str, seconds: float) -> StageFact:
    return StageFact(stage=name, number=1, began="", seconds=seconds, changed={})


RUN = [stage("preflight", 9.0), stage("plan", 50.0), stage("copy", 7.0), stage("plan", 2.0)]


def test_after_the_copy_come_the_rewrite_and_the_readings_of_the_later_passes_and_the_verification() -> None:
    assert ahead_s("copy", RUN, 4_000, 1_000.0) == 3 * 2.0 + 4.0
    assert ahead_s("rewrite", RUN, 4_000, 1_000.0) == 2 * 2.0
    assert ahead_s("verify", RUN, 0, None) == 0.0


def test_an_unmeasured_database_is_taken_for_one_between_busy_and_idle() -> None:
    assert ahead_s("copy", RUN, 40_000, None) == 7.0


@pytest.mark.parametrize("name", ["plan", "preflight", None])
def test_before_there_is_a_plan_nothing_is_known(name: str | None) -> None:
    assert ahead_s(name, RUN, 1, 1.0) is None
    assert ahead_s("copy", RUN[:1], 1, 1.0) is None
