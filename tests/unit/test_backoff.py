"""The formula of the pauses between attempts."""

from __future__ import annotations

import pytest
from rehome.backoff import jittered_pause, longest_pause


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.1), (2, 0.2), (5, 1.6), (6, 2.0), (10**6, 2.0)])
def test_the_pause_doubles_up_to_its_cap(attempt: int, seconds: float) -> None:
    assert longest_pause(attempt, 0.1, cap=2.0) == pytest.approx(seconds)


def test_jitter_takes_any_part_of_the_pause() -> None:
    assert jittered_pause(3, 1.0, chance=lambda: 0.25) == 1.0
    assert all(0 <= jittered_pause(4, 1.0, cap=5.0) <= 5.0 for _ in range(100))
