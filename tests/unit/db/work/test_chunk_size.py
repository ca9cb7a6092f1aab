from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.db.work.chunk_size import FEWEST_ROWS, FIRST_ROWS, MOST_ROWS, Servo


def work(servo: Servo, seconds_per_row: float, chunks: int, overhead_s: float = 0.0) -> None:
    for _ in range(chunks):
        servo.note(servo.rows, overhead_s + servo.rows * seconds_per_row)


def test_chunks_grow_to_the_target_and_stay_there() -> None:
    servo = Servo(0.075)
    work(servo, 0.00002, 30, overhead_s=0.005)
    assert 0.065 < 0.005 + servo.rows * 0.00002 <= 0.076


def test_it_grows_by_half_at_most() -> None:
    servo = Servo(0.075)
    work(servo, 0.000001, 1)
    assert servo.rows == FIRST_ROWS * 3 // 2


def test_a_chunk_beyond_five_times_the_target_shrinks_the_next_at_once() -> None:
    servo = Servo(0.075)
    work(servo, 0.00002, 30)
    before = servo.rows
    servo.note(before, 0.75)
    assert servo.rows == before // 10


def test_one_slow_chunk_of_ten_is_no_rule_and_two_are() -> None:
    servo = Servo(0.075)
    work(servo, 0.00002, 30)
    usual = servo.rows
    servo.note(servo.rows, 0.15)
    assert servo.rows == usual
    servo.note(servo.rows, 0.15)
    assert servo.rows < usual * 0.6


def test_a_deadlock_or_time_out_halves_it() -> None:
    servo = Servo(0.075)
    work(servo, 0.00002, 30)
    before = servo.rows
    servo.note_trouble()
    assert servo.rows == before // 2


def test_the_short_remainder_at_the_end_tells_nothing() -> None:
    servo = Servo(0.075)
    work(servo, 0.00002, 30)
    before = servo.rows
    servo.note(3, 0.01)
    assert servo.rows == before


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 30_000), st.floats(0.000001, 1000)))))
def test_it_stays_within_its_bounds_whatever_comes(notes: list[tuple[int, float] | None]) -> None:
    servo = Servo(0.075)
    for note in notes:
        before = servo.rows
        if note is None:
            servo.note_trouble()
        else:
            servo.note(*note)
        assert FEWEST_ROWS <= servo.rows <= min(MOST_ROWS, max(FEWEST_ROWS, before * 1.5))
