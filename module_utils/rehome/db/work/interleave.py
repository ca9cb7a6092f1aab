"""The order in which to rewrite a PostgreSQL table's rows so that new versions reuse the space of dead ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

STRIDE = 4
CHUNKS = 3
"""Chunks per run. While the last ones of a run are in flight, those before them must have been committed; otherwise
the next run meets dead versions that a transaction may still see."""
MAX_ROWS = 50_000
"""Rows held in memory at once."""

T = TypeVar("T")


def interleaved(rows: Iterator[T], chunk_rows: Callable[[], int]) -> Iterator[Iterator[T]]:
    """Yield `rows` in runs: of each window, every fourth (`STRIDE`) row from the first on, then from the second on, …

    An UPDATE puts the new version on its row's own page if there is room, and whoever meets a full page first removes
    the versions that no transaction can see any more (README.HOT, "When can/should we prune or defragment?", in
    PostgreSQL's source). If neighbouring rows are rewritten together, all their new versions go to other pages. If they
    are rewritten run after run, a row's new version takes the place of its neighbour's dead one. Each run keeps the
    order of `rows`, which reading a chunk back at once requires; so a chunk must not span two runs.

    chunk_rows: returns the current number of rows in a chunk
    """
    while window := list(islice(rows, min(MAX_ROWS, STRIDE * CHUNKS * chunk_rows()))):
        for first in range(STRIDE):
            yield iter(window[first::STRIDE])
