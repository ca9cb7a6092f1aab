"""Cut the queue into shards: what one worker is given at a time."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

SHARD_OBJECTS = 5_000
"""About 400 kB on the wire; with fewer, what the scheduler and dask's worker need for each shard begins to count."""
SHARES = 16
"""How many shards each worker has at least of a run that is large enough: what a lost worker had is copied again, and
at the end some wait for the last ones."""
SHARE_OBJECTS = 250
"""A run that is smaller than that is cut into shards of so many objects."""
SHARD_S = 10.0
"""For how long a shard keeps a worker at a limited rate: progress grows, and a death costs, a shard at a time."""
SHARD_BYTES = 8 * 10**9
"""What is streamed again at most if a worker dies."""

Row = tuple[str, int, str, str | None, str]
"""Suffix, size, ETag, ETag of the target object to replace, storage class: as the plan's queue has them."""


_R = TypeVar("_R", bound=tuple[Any, ...])


class Shard(NamedTuple):
    """A part of the queue, by its number from 0 on."""

    number: int
    rows: tuple[Row, ...]


def cut(rows: Iterable[Row], most_objects: int, most_bytes: int = SHARD_BYTES) -> Iterator[Shard]:
    """Yield shards of `rows`, in their order. An object of more than `most_bytes` has a shard of its own."""
    for number, gathered in enumerate(bounded(rows, most_objects, most_bytes)):
        yield Shard(number, gathered)


def bounded(rows: Iterable[_R], most_objects: int, most_bytes: int) -> Iterator[tuple[_R, ...]]:
    """Yield `rows`, which have their object's size in second place, in parts of so many objects and bytes at most."""
    size = 0
    gathered: list[_R] = []
    for row in rows:
        if gathered and (len(gathered) == most_objects or size + row[1] > most_bytes):
            yield tuple(gathered)
            size = 0
            gathered.clear()
        gathered.append(row)
        size += row[1]
    if gathered:
        yield tuple(gathered)


def shard_objects(total: int, workers: int, per_second: float | None) -> int:
    """Return how many objects a shard has at most of a run that copies `total` on so many workers.

    per_second: of all workers; None: no limit
    """
    most = min(SHARD_OBJECTS, max(SHARE_OBJECTS, -(-total // (SHARES * workers))))
    return most if per_second is None else max(1, min(most, int(SHARD_S * per_second / workers)))


def most_of(total: int, workers: int, most_objects: int) -> int:
    """Return how many of `total` objects a shard has at most, so that each of `workers` has its two."""
    return max(1, min(most_objects, -(-total // (2 * workers))))


def as_bytes(values: object) -> bytes:
    """Return plain values as they are sent: the scheduler reads and writes every value, but no bytes."""
    return pickle.dumps(values, pickle.HIGHEST_PROTOCOL)


def from_bytes(sent: bytes) -> Any:
    """Return the values that were sent."""
    return pickle.loads(sent)  # noqa: S301 - who may call members of a cluster may run any code there
