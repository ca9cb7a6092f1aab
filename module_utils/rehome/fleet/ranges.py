"""Hand out what is left of a listing: each range of keys to one worker at a time, who returns what is then left."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..s3.errors import S3RequestError
from ..s3.listing.listing import DISORDERED, Left, Remainder

MOST_RANGES = 16
"""Ranges that one worker lists at once. It divides fewer ones itself."""


class Ranges:
    """What is left of one listing.

    Every range is in one place: it waits here, or a worker has it. What a worker has left of it comes back, in as many
    ranges as it has made of it.
    """

    def __init__(self, left: Left) -> None:
        self._waiting = deque(left.remainders)
        self._orders = left.orders

    def __len__(self) -> int:
        """Return how many ranges wait."""
        return len(self._waiting)

    def take(self, shards: int) -> Left:
        """Take ranges that wait, as many as each of so many shards would have, and at least one if any waits."""
        most = min(MOST_RANGES, -(-len(self._waiting) // max(1, shards)))
        taken = [self._waiting.popleft() for _ in range(most)]
        return Left(tuple(taken), self._orders)

    def add(self, left: Left) -> None:
        """Take back what a worker has left. Raises S3RequestError if all keys together are in no known order."""
        self._waiting.extend(left.remainders)
        self._orders = tuple(order for order in self._orders if order in left.orders)
        if not self._orders:
            raise S3RequestError(
                200, DISORDERED, "workers have listed keys in orders that contradict each other", None, verb="GET"
            )


def packed(left: Left) -> tuple[object, ...]:
    """Return what is left of a listing as plain tuples."""
    return tuple(map(tuple, left.remainders)), left.orders


def unpacked(left: tuple[Any, ...]) -> Left:
    """Return what was packed."""
    remainders, orders = left
    return Left(tuple(Remainder(*one) for one in remainders), tuple(orders))
