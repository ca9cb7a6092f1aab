"""Several rounds of the same measurement, and what may be said of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")


def alternating(contenders: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """The contenders in order, then backwards, and so on: whoever comes later meets a fuller server."""
    for number in range(rounds):
        yield list(contenders) if number % 2 == 0 else list(reversed(contenders))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios: within a round both sides met the same machine."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the least and the most where there is more than one."""
    middle = f"{median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} … {max(values):,.{digits}f})"
