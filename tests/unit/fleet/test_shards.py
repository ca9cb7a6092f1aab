"""The queue is cut into shards that hold each row once, in order, within both bounds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.fleet.shards import SHARD_BYTES, SHARD_OBJECTS, Row, cut, most_of, shard_objects

MOST = st.integers(1, 7), st.integers(1, 50)
SIZES = st.lists(st.integers(0, 60), max_size=60)


def rows(sizes: list[int]) -> list[Row]:
    return [(f"avatar-{number}.png", size, "e", None, "STANDARD") for number, size in enumerate(sizes)]


@given(SIZES, *MOST)
def test_the_shards_hold_every_row_once_and_in_order(sizes: list[int], objects: int, most_bytes: int) -> None:
    shards = list(cut(rows(sizes), objects, most_bytes))
    assert [row for shard in shards for row in shard.rows] == rows(sizes)
    assert [shard.number for shard in shards] == list(range(len(shards)))


@given(SIZES, *MOST)
def test_a_shard_exceeds_no_bound_but_for_a_single_object(sizes: list[int], objects: int, most_bytes: int) -> None:
    for shard in cut(rows(sizes), objects, most_bytes):
        assert 1 <= len(shard.rows) <= objects
        assert len(shard.rows) == 1 or sum(row[1] for row in shard.rows) <= most_bytes


@given(SIZES, *MOST)
def test_a_shard_takes_as_many_rows_as_it_may(sizes: list[int], objects: int, most_bytes: int) -> None:
    shards = list(cut(rows(sizes), objects, most_bytes))
    for shard, following in pairwise(shards):
        size = sum(row[1] for row in shard.rows)
        assert len(shard.rows) == objects or size + following.rows[0][1] > most_bytes


def test_rows_are_taken_no_earlier_than_their_shard() -> None:
    taken = []

    def queue() -> list[Row]:
        return rows([1] * 10)

    shards = cut((taken.append(row[0]) or row for row in queue()), 3)  # type: ignore[func-returns-value]
    next(shards)
    assert len(taken) == 4


def test_a_shard_has_five_thousand_objects_or_eight_gigabytes() -> None:
    most = shard_objects(10**9, 4, None)
    assert [len(shard.rows) for shard in cut(rows([1] * (SHARD_OBJECTS + 1)), most)] == [5_000, 1]
    assert [len(shard.rows) for shard in cut(rows([SHARD_BYTES // 2] * 3), most)] == [2, 1]


@pytest.mark.parametrize(
    ("total", "workers", "objects"), [(10**6, 4, 5_000), (80_000, 4, 1_250), (2_100, 2, 250), (10, 4, 250)]
)
def test_each_worker_has_sixteen_shards_unless_they_were_too_small(total: int, workers: int, objects: int) -> None:
    assert shard_objects(total, workers, None) == objects


@pytest.mark.parametrize(
    ("per_second", "workers", "objects"), [(10, 4, 25), (0.1, 4, 1), (100, 1, 1_000), (9_000, 4, 5_000)]
)
def test_a_shard_of_a_slow_run_takes_a_worker_ten_seconds(per_second: float, workers: int, objects: int) -> None:
    assert shard_objects(10**6, workers, per_second) == objects


@given(st.integers(1, 10_000), st.integers(1, 50), st.integers(1, 200))
def test_there_are_shards_for_every_worker_as_far_as_there_are_objects(total: int, workers: int, most: int) -> None:
    objects = most_of(total, workers, most)
    assert 1 <= objects <= most
    shards = -(-total // objects)
    assert shards >= min(total, workers)
    if objects < most:
        assert shards <= 2 * workers


def test_a_few_objects_are_shared_among_the_workers() -> None:
    assert [most_of(total, 4, 200) for total in (1, 8, 80, 10_000)] == [1, 1, 10, 200]
