"""Read a whole table by keyset pagination: short statements, in the server's own order, without OFFSET."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ..dialect import Dialect, Key, RowBatch, TableFacts
from .reconnect import WorkContext, retry_read

BATCH_ROWS = 5_000


def read_by_keyset(
    database: Dialect, facts: TableFacts, batch_rows: int = BATCH_ROWS, context: WorkContext | None = None
) -> Iterator[RowBatch]:
    """Yield every row of the table once, in batches. The next batch begins after the last key read.

    A batch is read again if its connection is lost. While the caller works on one batch, a thread reads the next: until
    the iterator is exhausted, the caller must not use the connection. Raises DatabaseError.
    """
    context = context or WorkContext()

    def read(after: Key | None) -> RowBatch:
        return retry_read(database, lambda: database.read_batch(facts, after, batch_rows), context)

    with ThreadPoolExecutor(1) as reader:
        batch = read(None)
        while batch:
            ahead = reader.submit(read, batch.last)
            yield batch
            batch = ahead.result()
