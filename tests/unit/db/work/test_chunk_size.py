from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.db.work.chunk_size import FIRST_ROWS, MAX_ROWS, MIN_ROWS, ChunkSize


def work(chunk_size: ChunkSize, seconds_per_row: float, chunks: int, overhead_s: float = 0.0) -> None:
    for _ in range(chunks):
        chunk_size.record(chunk_size.rows, overhead_s + chunk_size.rows * seconds_per_row)


def test_chunks_grow_to_the_target_and_stay_there() -> None:
    chunk_size = ChunkSize(0.075)
    work(chunk_size, 0.00002, 30, overhead_s=0.005)
    assert 0.065 < 0.005 + chunk_size.rows * 0.00002 <= 0.076


def test_it_grows_by_half_at_most() -> None:
    chunk_size = ChunkSize(0.075)
    work(chunk_size, 0.000001, 1)
    assert chunk_size.rows == FIRST_ROWS * 3 // 2


def test_a_chunk_beyond_five_times_the_target_shrinks_the_next_at_once() -> None:
    chunk_size = ChunkSize(0.075)
    work(chunk_size, 0.00002, 30)
    before = chunk_size.rows
    chunk_size.record(before, 0.75)
    assert chunk_size.rows == before // 10


def test_one_slow_chunk_of_ten_is_no_rule_and_two_are() -> None:
    chunk_size = ChunkSize(0.075)
    work(chunk_size, 0.00002, 30)
    usual = chunk_size.rows
    chunk_size.record(chunk_size.rows, 0.15)
    assert chunk_size.rows == usual
    chunk_size.record(chunk_size.rows, 0.15)
    assert chunk_size.rows < usual * 0.6


def test_a_deadlock_or_time_out_halves_it() -> None:
    chunk_size = ChunkSize(0.075)
    work(chunk_size, 0.00002, 30)
    before = chunk_size.rows
    chunk_size.record_conflict()
    assert chunk_size.rows == before // 2


def test_the_short_remainder_at_the_end_tells_nothing() -> None:
    chunk_size = ChunkSize(0.075)
    work(chunk_size, 0.00002, 30)
    before = chunk_size.rows
    chunk_size.record(3, 0.01)
    assert chunk_size.rows == before


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 30_000), st.floats(0.000001, 1000)))))
def test_it_stays_within_its_bounds_whatever_comes(notes: list[tuple[int, float] | None]) -> None:
    chunk_size = ChunkSize(0.075)
    for note in notes:
        before = chunk_size.rows
        if note is None:
            chunk_size.record_conflict()
        else:
            chunk_size.record(*note)
        assert MIN_ROWS <= chunk_size.rows <= min(MAX_ROWS, max(MIN_ROWS, before * 1.5))


def test_a_shorter_target_shrinks_the_next_chunk_at_once() -> None:
    size = ChunkSize(0.1, rows=1000)
    size.retarget(0.02)
    assert size.rows == 200


def test_a_longer_target_lets_chunks_grow_as_they_are_measured() -> None:
    size = ChunkSize(0.01, rows=100)
    size.retarget(0.1)
    assert size.rows == 100
    for _ in range(20):
        size.record(size.rows, size.rows * 0.0001)
    assert size.rows == 1000
