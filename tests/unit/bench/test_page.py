"""The page that all suites make together, and the bars of the side-by-side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.all import QUICK_S, SUITES, WHOLE_S, budget, page
from bench.cost import Cost
from bench.figures import Figure
from bench.section import Section, at_most, duration
from bench.side_by_side import OURS, closeness, phase_rows, ratio_rows, verdicts

FOUND = {
    "listing": Section(
        "One", "", (at_most("a", 1, 2),), versions={"x": "1"}, figures={Figure.LISTED: 500.0}, took_s=42
    ),
    "memory": Section("Two", "", (at_most("b", 3, 2),), versions={"x": "1", "y": "2"}, took_s=131),
}


def test_the_page_has_what_a_user_asks_first_then_verdicts_missed_ones_before_others_then_suites() -> None:
    text = page(FOUND, [], "2 cores", quick=False)
    order = [
        "2 cores",
        "How long for a million",
        "33 min",
        "1 of 2 bars are missed",
        "| b |",
        "| a |",
        "## One",
        "## Two",
    ]
    assert sorted(order, key=text.index) == order
    assert "--quick" not in text


def test_every_version_is_told_once() -> None:
    assert "x 1, y 2." in page(FOUND, [], "2 cores", quick=False)


def test_a_suite_that_took_longer_than_planned_stands_out() -> None:
    most = budget("memory", quick=False)
    slow = {**FOUND, "memory": replace(FOUND["memory"], took_s=most + 1)}
    text = page(slow, [], "2 cores", quick=False)
    assert f"| `listing` | 42 s | {duration(budget('listing', quick=False))} |" in text
    assert f"| `memory` | **{duration(most + 1)}** | {duration(most)} |" in text
    assert f"It took {duration(42 + most + 1)}." in text


@pytest.mark.parametrize(("quick", "most"), [(False, WHOLE_S), (True, QUICK_S)])
def test_all_suites_together_stay_within_the_time_of_a_run(quick: bool, most: float) -> None:
    assert sum(budget(name, quick=quick) for name in SUITES) <= most


def test_the_page_does_not_hide_a_suite_that_failed() -> None:
    assert "missing here: memory" in page({}, ["memory"], "2 cores", quick=False)


def test_a_quick_page_says_that_it_means_nothing() -> None:
    assert "**Taken with `--quick`" in page({}, [], "2 cores", quick=True)


COSTS = {
    OURS: [Cost(6.0, 1.0), Cost(12.0, 2.0)],
    "s5cmd": [Cost(10.0, 5.0), Cost(20.0, 10.0)],
    "s5cmd, keeping metadata": [Cost(8.0, 8.0), Cost(16.0, 16.0)],
    "s3bolt": [Cost(7.5, 2.5), Cost(15.0, 5.0)],
    "rclone, unverified": [Cost(16.0, 1.0), Cost(32.0, 2.0)],
    "aws s3 sync": [Cost(20.0, 1.0), Cost(40.0, 2.0)],
}


def test_a_bar_is_held_against_the_better_way_of_a_peer() -> None:
    assert [(one.figure, one.met) for one in verdicts(COSTS)] == [
        ("0.75", False),  # not 0.60
        ("0.20", True),  # not 0.12
        ("0.80", True),
        ("0.40", False),
        ("0.38", True),
        ("0.30", False),
    ]


def test_the_servers_own_work_is_shared_by_all_cores() -> None:
    one = closeness([Cost(6.0, 1.0), Cost(12.0, 2.0)], [10.0, 20.0], cores=2)
    assert (one.figure, one.met) == ("1.20", False)


def test_every_peer_has_its_ratios() -> None:
    assert ratio_rows(COSTS) == (
        ("s5cmd", "0.60", "0.20"),
        ("s5cmd, keeping metadata", "0.75", "0.12"),
        ("s3bolt", "0.80", "0.40"),
        ("rclone, unverified", "0.38", "1.00"),
        ("aws s3 sync", "0.30", "1.00"),
    )


def test_what_no_phase_has_is_the_start() -> None:
    phases = {"scan": {"wall_s": 1.0, "cpu_s": 0.5}, "copy": {"wall_s": 2.0, "cpu_s": 1.0}}
    assert phase_rows(phases, Cost(3.5, 1.75)) == (
        ("scan", "1.00 s", "0.50 s"),
        ("copy", "2.00 s", "1.00 s"),
        ("start", "0.50 s", "0.25 s"),
    )
