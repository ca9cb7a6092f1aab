"""Percentiles of millions of durations, in a histogram that does not grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.latency import Latencies, RecentLatencies, in_ms


@given(st.lists(st.floats(0.00001, 3000), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_off_by_a_sixteenth_at_most(durations: list[float], percent: int) -> None:
    latencies = Latencies()
    for duration in durations:
        latencies.add(duration)
    exact = sorted(durations)[max(0, -(-len(durations) * percent // 100) - 1)]
    found = latencies.percentile(percent)
    assert found is not None
    assert abs(found - exact) <= exact / 16


def test_what_no_bucket_is_for_is_counted_all_the_same() -> None:
    latencies = Latencies()
    for duration in (0.0, 1e-12, 1e9):
        latencies.add(duration)
    shortest, longest = latencies.percentile(50), latencies.percentile(100)
    assert shortest is not None and longest is not None
    assert shortest < 1e-6
    assert longest > 3600


def test_without_any_duration_there_is_no_percentile() -> None:
    assert Latencies().percentile(50) is None
    assert in_ms(Latencies()) == {}


def test_recent_are_those_of_the_last_two_periods() -> None:
    recent = RecentLatencies(period_s=5)
    recent.all(0)
    recent.present.add(1.0)
    assert in_ms(recent.all(4))["p50_ms"] > 900, "of the period that goes on"
    recent.all(6)
    recent.present.add(0.001)
    both = recent.all(7)
    assert (both.percentile(50) or 0) < 0.01
    assert (both.percentile(100) or 0) > 0.9, "and of the one before"
    assert (recent.all(12).percentile(100) or 0) < 0.01, "which is forgotten after one more"
    assert recent.all(100).percentile(50) is None, "as is everything after a long silence"
