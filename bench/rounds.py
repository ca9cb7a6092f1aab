"""Several rounds of the same measurement, and their joint figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")


def alternating(contenders: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """Return the contenders in order, then in reverse, and so on: a later one meets a fuller server."""
    for number in range(rounds):
        yield list(contenders) if number % 2 == 0 else list(reversed(contenders))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: within a round both sides met the same machine."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median, with minimum and maximum if there is more than one value."""
    middle = f"{median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} … {max(values):,.{digits}f})"
