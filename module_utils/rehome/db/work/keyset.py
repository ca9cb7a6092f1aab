"""Reading a whole table by keyset: short statements, the server's own order, no OFFSET."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ..dialect import Dialect, Key, RowBatch, TableFacts
from .reconnect import Surroundings, persist

PAGE_ROWS = 5_000


def walk(
    database: Dialect, facts: TableFacts, page_rows: int = PAGE_ROWS, around: Surroundings | None = None
) -> Iterator[RowBatch]:
    """Every row of the table once, a page at a time. The cursor is the last key read, never a computed one.

    A page whose connection is lost is read again. While the caller works on a page, a thread reads the next one: the
    connection is the walk's until it has ended.
    """
    around = around or Surroundings()

    def read(after: Key | None) -> RowBatch:
        return persist(database, lambda: database.read_batch(facts, after, page_rows), around)

    with ThreadPoolExecutor(1) as reader:
        page = read(None)
        while page:
            ahead = reader.submit(read, page.last)
            yield page
            page = ahead.result()
