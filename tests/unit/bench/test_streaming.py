"""The loads of the benchmark of streams."""

from __future__ import annotations

import pytest

from bench.all import budget
from bench.cost import Cost
from bench.figures import Figure
from bench.streaming import LOADS, OF_256_KIB, QUICK_LOADS, START, Load, Run, of_one_more


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


def test_what_the_start_and_the_connections_take_is_not_of_one_object_more() -> None:
    load = Load("", {1: 2_000}, more=OF_256_KIB)

    def runs(objects: int, peak_bytes: int) -> list[Run]:
        return [Run(Cost(9.0, 0.5 + 0.5 + objects * 0.001), 0.0, peak_bytes)]

    assert of_one_more(load, OF_256_KIB, runs(2_000, 200), runs(OF_256_KIB.fewer, 190)) == {
        Figure.STREAM_CPU_256_KIB: pytest.approx(0.001),
        Figure.STREAM_BYTES_256_KIB: 200,
    }


def test_the_whole_suite_fits_into_eleven_minutes() -> None:
    assert budget("streaming", quick=False) <= 11 * 60
