"""Reading a whole table by keyset: short statements, the server's own order, no OFFSET."""

from __future__ import annotations

from collections.abc import Iterator

from .dialect import Dialect, Row, TableFacts

PAGE_ROWS = 5_000


def walk(database: Dialect, facts: TableFacts, page_rows: int = PAGE_ROWS) -> Iterator[list[Row]]:
    """Every row of the table once, a page at a time. The cursor is the last key read, never a computed one."""
    after = None
    while page := database.page(facts, after, page_rows):
        yield page
        after = page[-1].key
