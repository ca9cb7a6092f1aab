"""What several rounds say together."""

from __future__ import annotations

import pytest

from bench.rounds import alternating, ratio, spread


def test_each_round_goes_the_other_way_round() -> None:
    assert list(alternating(["a", "b", "c"], 3)) == [["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"]]


def test_a_ratio_is_taken_within_each_round() -> None:
    # the machine was slow in the second round, for both of them
    assert ratio([1.0, 10.0, 1.0], [2.0, 20.0, 4.0]) == 0.5


def test_a_ratio_needs_both_sides_of_each_round() -> None:
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("values", "digits", "text"),
    [([2.0], 1, "2.0"), ([3.0, 1.0, 2.0], 0, "2 (1 … 3)"), ([1500.0, 2500.0], 0, "2,000 (1,500 … 2,500)")],
)
def test_a_spread_shows_the_least_and_the_most(values: list[float], digits: int, text: str) -> None:
    assert spread(values, digits) == text
