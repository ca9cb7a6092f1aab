"""Cut the queue into shards: what one worker is given at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

SHARD_OBJECTS = 2_000
"""About 150 kB on the wire; with fewer, the scheduler's 5 ms for each shard begin to count."""
SHARD_BYTES = 8 * 10**9
"""What is streamed again at most if a worker dies."""

Row = tuple[str, int, str, str | None, str]
"""Suffix, size, ETag, ETag of the target object to replace, storage class: as the plan's queue has them."""


class Shard(NamedTuple):
    """A part of the queue, by its number from 0 on."""

    number: int
    rows: tuple[Row, ...]


def cut(rows: Iterable[Row], most_objects: int = SHARD_OBJECTS, most_bytes: int = SHARD_BYTES) -> Iterator[Shard]:
    """Yield shards of `rows`, in their order. An object of more than `most_bytes` has a shard of its own."""
    number, size = 0, 0
    gathered: list[Row] = []
    for row in rows:
        if gathered and (len(gathered) == most_objects or size + row[1] > most_bytes):
            yield Shard(number, tuple(gathered))
            number, size = number + 1, 0
            gathered.clear()
        gathered.append(row)
        size += row[1]
    if gathered:
        yield Shard(number, tuple(gathered))
