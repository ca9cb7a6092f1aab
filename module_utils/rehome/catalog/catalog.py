"""The catalog: a local DuckDB file with what was seen in the buckets and the database. It can be made again any time.

Objects and rows are held by `rest`, the part of a key that the key map leaves as it is: it joins a source object,
its target object and the rows that name them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .. import duckdb_engine as duckdb
from ..errors import RehomeError
from .schema import AT_START

T = TypeVar("T")
Values = Sequence[object] | Mapping[str, object]

MEMORY_MB = 256
SHRUNK_MB = 8
MOST_MEMORY = 1 / 2
"""Of the machine's, which a catalog may come to take where a statement cannot do with less."""
OPEN_PATIENCE_S = 15.0
OPEN_EVERY_S = 0.2
"""DuckDB's lock cannot be waited for, only asked for again."""
BATCH_ROWS = 5_000
FILL_ROWS = 10_000


class Catalog:
    """One open catalog. Only one process holds a catalog at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._memory_mb = MEMORY_MB

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, str]) -> Catalog:
        """An empty catalog at `path`, in place of one that may be there; `facts` say what it was made for."""
        _waiting_for_lock(lambda: _remove(path))
        catalog = cls.open(path)
        # at once: each of its tables would be a transaction otherwise
        catalog._connection.execute(f"BEGIN; {' '.join(table.create() for table in AT_START)} COMMIT")
        for name, value in facts.items():
            catalog.note(name, value)
        return catalog

    @classmethod
    def open(cls, path: Path) -> Catalog:
        """The catalog at `path`. Waits a while for a process that is on its way out."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{MEMORY_MB}MB",
            "temp_directory": str(path.with_suffix(".spill")),
            "threads": 2,
        }
        return cls(_waiting_for_lock(lambda: duckdb.connect(str(path), config=config)))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def beside(self, path: Path, name: str) -> Iterator[None]:
        """Within the block, the tables of the catalog at `path` can be read as `name.table`."""
        quoted = str(path).replace("'", "''")
        self.run(f"ATTACH '{quoted}' AS {name} (READ_ONLY)")
        try:
            yield
        finally:
            self.run(f"DETACH {name}")

    def facts(self) -> dict[str, str]:
        """What the catalog was made for."""
        return dict(self.query("SELECT name, value FROM facts"))

    def note(self, name: str, value: object) -> None:
        """Record a fact."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, str(value)))

    def append(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Append rows to a table: all of them, or none where one does not fit it.

        It costs as much as hundreds of rows, however few there are: `Filling` gathers small batches.
        """
        if rows:
            # `executemany` is 300 times slower
            appender = self._connection.appender(table)
            appender.append_rows(rows)
            appender.flush()

    def append_columns(self, table: str, columns: Sequence[Sequence[object]]) -> None:
        """Append rows that are given as columns of equal length, one for each of the table's, in its order."""
        self.append(table, list(zip(*columns, strict=True)))

    def filling(self, table: str) -> Filling:
        """A context in which a table is filled by columns, batch after batch."""
        return Filling(self._connection.appender(table))

    def run(self, statement: str, values: Values = ()) -> None:
        """Execute a statement that answers nothing."""
        self._execute(self._connection, statement, values)

    def limit_memory(self, megabytes: int) -> None:
        """Take no more than this from now on, but for a statement that cannot do with it."""
        self._memory_mb = megabytes
        self._set_limit(megabytes)

    def shrink(self) -> None:
        """Give back the memory of blocks that are kept only to be read again: DuckDB does so only at its limit."""
        # refused where more is in use; what is not has been let go by then
        with contextlib.suppress(duckdb.OutOfMemoryException):
            self._set_limit(SHRUNK_MB)
        self._set_limit(self._memory_mb)

    def query(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a small result."""
        return self._execute(self._connection, statement, values).fetchall()

    def one(self, statement: str, values: Values = ()) -> tuple[Any, ...]:
        """Return the only row of a result, as a tuple of its columns."""
        (row,) = self.query(statement, values)
        return row

    def count(self, rows: str, values: Values = ()) -> int:
        """Return the number of rows of a table or of a SELECT."""
        (count,) = self.one(f"SELECT count(*) FROM ({rows})", values)
        return int(count)

    def stream(self, statement: str, values: Values = (), batch: int = BATCH_ROWS) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of an answer of any size, in batches; the catalog may be written meanwhile."""
        for _, rows in self.stream_named(statement, values, batch):
            yield rows

    def stream_named(
        self, statement: str, values: Values = (), batch: int = BATCH_ROWS
    ) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """As `stream`, each batch with the names of its columns."""
        with self._connection.cursor() as cursor:
            self._execute(cursor, statement, values)
            names = [column[0] for column in cursor.description or ()]
            while rows := cursor.fetchmany(batch):
                yield names, rows

    def _execute(
        self, connection: duckdb.DuckDBPyConnection, statement: str, values: Values
    ) -> duckdb.DuckDBPyConnection:
        """Execute a statement, with more and more memory where it needs that.

        What DuckDB cannot spill grows with the rows' width: keys of a kilobyte need several times the usual.
        """
        while True:
            try:
                return connection.execute(statement, values)
            except duckdb.OutOfMemoryException:
                more = 2 * self._memory_mb
                if more * 1_000_000 > MOST_MEMORY * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
                    raise
                self.limit_memory(more)

    def _set_limit(self, megabytes: int) -> None:
        self._connection.execute(f"SET memory_limit = '{megabytes}MB'")


class Filling:
    """Appends columns to a table a few thousand rows at a time.

    The rows are all in the table once the context is left, also by an exception: what was seen was seen.
    """

    def __init__(self, appender: duckdb.Appender) -> None:
        self._appender = appender
        self._gathered = 0

    def __enter__(self) -> Filling:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def append(self, *columns: Sequence[object]) -> None:
        """Append rows, as `Catalog.append_columns`."""
        self._appender.append_rows(zip(*columns, strict=True))
        self._gathered += len(columns[0])
        if self._gathered >= FILL_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        self._appender.flush()
        self._gathered = 0


def _remove(path: Path) -> None:
    if path.exists():
        try:
            # unlinking a file that a process holds would succeed silently; connecting tells
            duckdb.connect(str(path)).close()
        except duckdb.Error as error:
            if _is_lock(error):
                raise
    for name in (path, path.with_name(path.name + ".wal")):
        name.unlink(missing_ok=True)


def _is_lock(error: duckdb.Error) -> bool:
    return "Could not set lock" in str(error)


def _waiting_for_lock(attempt: Callable[[], T]) -> T:
    """The answer of `attempt`, tried again while another process holds the file."""
    give_up = time.monotonic() + OPEN_PATIENCE_S
    while True:
        try:
            return attempt()
        except duckdb.Error as error:
            if not _is_lock(error) or time.monotonic() > give_up:
                raise RehomeError(f"the catalog cannot be opened: {error}") from error
        time.sleep(OPEN_EVERY_S)
