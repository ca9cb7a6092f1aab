"""The order of rows by which a page's old versions make room for its new ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.db.work.interleave import CHUNKS, MAX_ROWS, STRIDE, interleaved


@given(count=st.integers(0, 2_000), chunk_rows=st.integers(1, 100))
def test_every_row_comes_once_and_each_run_is_in_order(count: int, chunk_rows: int) -> None:
    found = [list(run) for run in interleaved(iter(range(count)), lambda: chunk_rows)]
    assert sorted(row for run in found for row in run) == list(range(count))
    assert all(run == sorted(run) for run in found)


def test_neighbours_are_chunks_apart() -> None:
    first, second, *_ = [list(run) for run in interleaved(iter(range(1_000)), lambda: 10)]
    assert first[:3] == [0, STRIDE, 2 * STRIDE]
    assert second[:3] == [1, STRIDE + 1, 2 * STRIDE + 1]
    assert len(first) == CHUNKS * 10


def test_a_window_is_as_large_as_the_chunks_are_by_then_and_no_larger_than_memory_allows() -> None:
    sizes = iter([1, 100_000])
    first, *_, last = [list(run) for run in interleaved(iter(range(100_000)), lambda: next(sizes, 100_000))]
    assert len(first) == CHUNKS
    assert len(last) <= MAX_ROWS / STRIDE
