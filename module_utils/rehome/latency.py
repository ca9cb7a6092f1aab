"""How long things take of which there are millions: a histogram whose size does not grow."""

from __future__ import annotations

from collections.abc import Iterable
from math import frexp

_PER_OCTAVE = 8
"""Buckets from one power of two to the next: a percentile is off by 1/16 at most."""
_SHORTEST = -20
"""Powers of two, in seconds: about a microsecond, and more than an hour."""
_LONGEST = 12
_FIRST = -(_SHORTEST + 1) * _PER_OCTAVE
_TINY = 2.0 ** (_SHORTEST - 1)
_BUCKETS = (_LONGEST - _SHORTEST + 2) * _PER_OCTAVE


class Latencies:
    """Counts durations in buckets whose bounds grow with them. Cheap enough for every request of a copy."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS

    def add(self, seconds: float) -> None:
        """Count one duration. What is too short or too long for a bucket is in the first or the last."""
        mantissa, exponent = frexp(seconds or _TINY)  # a mantissa of 0.5 to 1: 8 to 16 sixteenths
        bucket = (exponent << 3) + int(mantissa * 16) + _FIRST
        try:
            self._counts[bucket if bucket > 0 else 0] += 1
        except IndexError:
            self._counts[-1] += 1

    def merged(self, others: Iterable[Latencies]) -> Latencies:
        """Return the counts of this and `others` together."""
        sums = Latencies()
        sums._counts = [sum(same) for same in zip(self._counts, *(other._counts for other in others), strict=True)]
        return sums

    def percentile(self, percent: float) -> float | None:
        """Return the duration in seconds that so many percent do not exceed; None without any duration."""
        wanted, seen = sum(self._counts) * percent / 100, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen and seen >= wanted:
                return _middle(bucket)
        return None


def _middle(bucket: int) -> float:
    octave, eighth = divmod(bucket - _FIRST - _PER_OCTAVE, _PER_OCTAVE)
    return float(2.0**octave * (eighth + _PER_OCTAVE + 0.5) / 16)


PERCENTS = (50, 90, 99)


class RecentLatencies:
    """The durations of the last seconds: of two periods, of which the younger is still growing.

    period_s: the length of a period
    """

    def __init__(self, period_s: float = 5.0) -> None:
        self._period_s = period_s
        self._before = Latencies()
        self.present = Latencies()
        """Takes the durations."""
        self._began: float | None = None

    def all(self, now: float) -> Latencies:
        """Return the durations of the last one to two periods.

        now: seconds, monotonic
        """
        if self._began is None:
            self._began = now
        elif now - self._began >= self._period_s:
            self._before = self.present if now - self._began < 2 * self._period_s else Latencies()
            self.present = Latencies()
            self._began = now
        return self.present.merged([self._before])


def in_ms(latencies: Latencies) -> dict[str, float]:
    """Return the percentiles for progress.json: `p50_ms` and so on; nothing without any duration."""
    found = {percent: latencies.percentile(percent) for percent in PERCENTS}
    return {f"p{percent}_ms": round(seconds * 1000, 2) for percent, seconds in found.items() if seconds is not None}
