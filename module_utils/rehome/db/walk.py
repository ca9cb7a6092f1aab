"""Reading a whole table by keyset: short statements, the server's own order, no OFFSET."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from .dialect import ConnectionLostError, Dialect, Key, Page, TableFacts
from .recovery import Surroundings, come_back

PAGE_ROWS = 5_000
LOSSES = 5
"""Connections that one page may lose."""


def walk(
    database: Dialect, facts: TableFacts, page_rows: int = PAGE_ROWS, around: Surroundings | None = None
) -> Iterator[Page]:
    """Every row of the table once, a page at a time. The cursor is the last key read, never a computed one.

    A page whose connection is lost is read again. While the caller works on a page, a thread reads the next one: the
    connection is the walk's until it has ended.
    """
    around = around or Surroundings()
    with ThreadPoolExecutor(1) as reader:
        page = _page(database, facts, None, page_rows, around)
        while page:
            ahead = reader.submit(_page, database, facts, page.last, page_rows, around)
            yield page
            page = ahead.result()


def _page(database: Dialect, facts: TableFacts, after: Key | None, rows: int, around: Surroundings) -> Page:
    losses = 0
    while True:
        try:
            return database.page(facts, after, rows)
        except ConnectionLostError as error:
            losses += 1
            if losses == LOSSES:
                raise
            come_back(database, error, around, to_write=False)
