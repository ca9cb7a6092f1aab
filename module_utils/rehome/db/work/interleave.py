"""The order of rows in which a PostgreSQL table takes its new versions without growing by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

STRANDS = 4
CHUNKS = 3
"""Of a strand. While the last ones of one strand are under way, those before them must have been committed, or the
next strand comes upon versions that somebody may still see."""
MOST_ROWS = 50_000
"""Held at once."""

T = TypeVar("T")


def strands(rows: Iterator[T], chunk_rows: Callable[[], int]) -> Iterator[Iterator[T]]:
    """`rows` a window at a time, each in `STRANDS` strands: of the first four rows the first, of the next four ...

    An UPDATE looks for room on its row's own page, and whoever comes upon a full page first clears away the versions
    that nobody can see any more (README.HOT, "When can/should we prune or defragment?", in PostgreSQL's source). Of
    rows that lie beside each other and are rewritten at once, all new versions go elsewhere; rewritten one strand after
    the other, a row's new version takes the place of its neighbour's old one. Each strand is in order, as a
    chunk's rows must be to be read back at once: no chunk may reach from one strand into the next.

    chunk_rows: how many rows a chunk has now
    """
    while window := list(islice(rows, min(MOST_ROWS, STRANDS * CHUNKS * chunk_rows()))):
        for first in range(STRANDS):
            yield iter(window[first::STRANDS])
