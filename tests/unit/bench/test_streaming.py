"""The loads of the benchmark of streams."""

from __future__ import annotations

from bench.all import budget
from bench.figures import Figure
from bench.streaming import LOADS, QUICK_LOADS, START, Load


def test_a_few_large_objects_are_among_many_small_ones() -> None:
    assert Load("", {1: 6, 100: 2}).in_order() == [1, 1, 100, 1, 1, 1, 100, 1]
    assert Load("", {5: 3}).in_order() == [5, 5, 5]


def test_each_load_has_keys_of_its_own() -> None:
    for loads in (LOADS, QUICK_LOADS):
        assert len({load.folder for load in loads}) == len(loads)


def test_only_the_start_has_no_verdict() -> None:
    assert [load for load in (*LOADS, *QUICK_LOADS) if not load.judged] == [START, START]


def test_a_load_without_figure_is_none_that_the_page_works_out() -> None:
    figures = [load.figure for load in LOADS if load.figure is not None]
    assert set(figures) == {figure for figure in Figure if figure.name.startswith("STREAMED_")}
    assert all(len(load.sizes) == 1 for load in LOADS if load.figure is not None)


def test_the_whole_suite_fits_into_eleven_minutes() -> None:
    assert budget("streaming", quick=False) <= 11 * 60
