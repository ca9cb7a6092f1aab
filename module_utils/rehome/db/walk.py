"""Reading a whole table by keyset: short statements, the server's own order, no OFFSET."""

from __future__ import annotations

from collections.abc import Iterator

from .dialect import ConnectionLostError, Dialect, Key, Row, TableFacts
from .recovery import Surroundings, come_back

PAGE_ROWS = 5_000
LOSSES = 5
"""Connections that one page may lose."""


def walk(
    database: Dialect, facts: TableFacts, page_rows: int = PAGE_ROWS, around: Surroundings | None = None
) -> Iterator[list[Row]]:
    """Every row of the table once, a page at a time. The cursor is the last key read, never a computed one.

    A page whose connection is lost is read again.
    """
    after = None
    while page := _page(database, facts, after, page_rows, around or Surroundings()):
        yield page
        after = page[-1].key


def _page(database: Dialect, facts: TableFacts, after: Key | None, rows: int, around: Surroundings) -> list[Row]:
    losses = 0
    while True:
        try:
            return database.page(facts, after, rows)
        except ConnectionLostError as error:
            losses += 1
            if losses == LOSSES:
                raise
            come_back(database, error, around, to_write=False)
