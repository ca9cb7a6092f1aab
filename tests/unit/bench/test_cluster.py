"""What the benchmark of a cluster works out of its measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.all import budget
from bench.cluster import MOVER, ONE, PER_SECOND, Cost, Gain, rate_of
from bench.figures import Figure
from bench.movers import Copied

MB = 1_000_000
ALONE = Copied(1_000, 10.0, 8.0, {}, ((0, 90 * MB), (1_000, 100 * MB)))
BY_ONE = Copied(1_000, 12.5, 2.0, {"workers": 6.0, "nannies": 0.5, "scheduler": 1.0})
MANY = replace(
    Copied(1_000_000, 60.0, 12.0, {"workers": 40.0, "nannies": 1.0, "scheduler": 4.0}),
    sizes=((50_000, 100 * MB), (900_000, 120 * MB)),
)
COST = Cost({ONE: [ALONE], MOVER: [BY_ONE]}, MANY, 60 * MB, 95 * MB, 1.0)
GAIN = Gain(4_000, {1: 40.0, 2: 20.0, 4: 10.0}, 11.0, 10.0, True, 1_050, 900.0)


def test_the_cpu_is_that_of_all_processes() -> None:
    assert BY_ONE.cpu_s == 9.5
    assert [(one.figure, one.met) for one in COST.verdicts()] == [
        ("0.80", False),
        ("1.19", True),
        ("4.0 µs", True),
        ("60 MB", True),
        ("12.0 µs", True),
        ("1.20", False),
    ]


def test_a_size_is_the_largest_until_so_much_was_done() -> None:
    sizes = ((0, 5), (10, 7), (10, 6), (50, 9), (100, 8))
    cost = Copied(100, 1.0, 1.0, {}, sizes)
    assert [cost.size_at(share) for share in (0.05, 0.1, 0.5, 1)] == [5, 7, 9, 9]
    assert Copied(100, 1.0, 1.0).size_at(1) == 0


def test_the_table_has_the_members_only_where_there_are_any() -> None:
    alone, by_one, many = COST.table().rows
    assert alone[3:6] == ("", "", "")
    assert by_one[3:7] == ("6,000.0 µs", "500.0 µs", "1,000.0 µs", "2,000.0 µs")
    assert many[3:] == ("40.0 µs", "1.0 µs", "4.0 µs", "12.0 µs", "120 MB")


def test_a_cluster_is_held_against_its_bars() -> None:
    assert [(one.figure, one.met) for one in GAIN.verdicts()] == [
        ("2.00", True),
        ("4.00", True),
        ("1.10", True),
        ("as undisturbed", True),
        ("1.05", True),
        ("0.90", True),
    ]
    slow = replace(GAIN, took_s={1: 40.0, 2: 22.0, 4: 12.0}, left_s=12.0, most=1_101, average=849.0)
    lame = replace(slow, as_undisturbed=False)
    assert not any(one.met for one in lame.verdicts())


@pytest.mark.parametrize(
    ("times", "most"),
    [([0.0, 0.5, 0.99, 1.0, 1.1], 4), ([0.0], 1), ([5.0, 5.0, 5.0, 6.0], 3)],
)
def test_a_second_begins_at_any_moment(times: list[float], most: int) -> None:
    assert rate_of(times)[0] == most


def test_an_average_is_over_the_whole_run() -> None:
    _, average = rate_of([number / PER_SECOND for number in range(4 * PER_SECOND + 1)])
    assert average == pytest.approx(PER_SECOND, 1e-3)


def test_other_pages_get_what_they_work_with() -> None:
    assert COST.figures | GAIN.figures == {
        Figure.FLEET_CONTROLLER_S: 12e-6,
        Figure.FLEET_SCHEDULER_S: 4e-6,
        Figure.FLEET_SCHEDULER_BYTES: 60 * MB,
        Figure.FLEET_MOVER_BYTES: 95 * MB,
        Figure.FLEET_OF_4: 4.0,
    }
    assert replace(GAIN, took_s={1: 40.0, 2: 20.0}).figures == {}


def test_the_suite_fits_into_seven_minutes() -> None:
    assert budget("cluster", quick=False) <= 7 * 60
