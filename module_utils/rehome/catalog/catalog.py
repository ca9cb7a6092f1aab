"""The catalog: a local DuckDB file of what the buckets and the database hold. It can be made anew at any time.

Its tables are in `schema`.
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
from ..codes import Code
from ..errors import RehomeError
from .schema import AT_START

T = TypeVar("T")
Params = Sequence[object] | Mapping[str, object]

MEMORY_MB = 256
SHRUNK_MB = 8
MAX_MEMORY_SHARE = 1 / 2
"""The share of the machine's memory that a catalog may take for a statement that fails with less."""
OPEN_TIMEOUT_S = 15.0
OPEN_RETRY_S = 0.2
"""How long, and how often, opening is tried while another process has the file."""
BATCH_ROWS = 5_000
FILL_ROWS = 10_000


class Catalog:
    """An open catalog. Only one process can have it open at a time.

    `params` of a statement are values for its `?` or, as a mapping, for its `$name`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._memory_mb = MEMORY_MB

    @classmethod
    def create(cls, path: Path, metadata: Mapping[str, str]) -> Catalog:
        """Create an empty catalog at `path`, replacing any other.

        metadata: what the catalog is made for
        Raises RehomeError if another process has the file open.
        """
        _waiting_for_lock(lambda: _remove(path))
        catalog = cls.open(path)
        # in one transaction: one for each table would be slower
        with catalog.transaction():
            catalog.run(" ".join(table.create() for table in AT_START))
            catalog.note_all(metadata)
        return catalog

    @classmethod
    def open(cls, path: Path) -> Catalog:
        """Open the catalog at `path`. Waits some seconds for another process to close it.

        Raises RehomeError if the file cannot be opened.
        """
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{MEMORY_MB}MB",
            "temp_directory": str(path.with_suffix(".spill")),
            "threads": 2,
            "autoinstall_known_extensions": False,  # nothing is downloaded at run time, nor kept in a home
        }
        return cls(_waiting_for_lock(lambda: duckdb.connect(str(path), config=config)))

    @classmethod
    def in_memory(cls, name: str) -> Catalog:
        """Create a catalog of this table alone and without a file, for what is sent elsewhere (`export`)."""
        catalog = cls(duckdb.connect(":memory:", config={"threads": 1, "autoinstall_known_extensions": False}))
        catalog.run(next(table.create() for table in AT_START if table.name == name))
        return catalog

    @classmethod
    def peek(cls, path: Path) -> Catalog:
        """Open the catalog at `path` to read it, without any wait: a run may have it open.

        Raises RehomeError if it cannot be opened now.
        """
        try:
            return cls(duckdb.connect(str(path), read_only=True))
        except duckdb.Error as error:
            raise RehomeError(f"the catalog cannot be opened: {error}", code=Code.STATE_FILE) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def attached(self, path: Path, name: str) -> Iterator[None]:
        """Attach the catalog at `path` for the length of the block. Its tables can be read as `name.table`."""
        quoted = str(path).replace("'", "''")
        self.run(f"ATTACH '{quoted}' AS {name} (READ_ONLY)")
        try:
            yield
        finally:
            self.run(f"DETACH {name}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what the block writes one transaction, which no other cursor sees before its end.

        Many rows are written to the file but once that way, instead of to its log, to a part of it, and anew with the
        next ones. An exception leaves the catalog as it was.
        """
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def metadata(self) -> dict[str, str]:
        """Return what the catalog was made for."""
        return dict(self.query("SELECT name, value FROM facts"))

    def note(self, name: str, value: object) -> None:
        """Record an item of the metadata, in place of an earlier one of that name."""
        self.note_all({name: value})

    def note_all(self, facts: Mapping[str, object]) -> None:
        """Record items of the metadata, as `note`; all of them cost as much as one."""
        if facts:
            values = ", ".join(["(?, ?)"] * len(facts))
            self.run(
                f"INSERT OR REPLACE INTO facts VALUES {values}",
                [part for name in facts for part in (name, str(facts[name]))],
            )

    def append(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Append rows to a table: all of them, or none if one does not fit.

        A call costs as much as hundreds of rows. Use `bulk_appender` for many small batches.
        """
        if rows:
            # `executemany` is 300 times slower
            appender = self._connection.appender(table)
            appender.append_rows(rows)
            appender.flush()

    def bulk_appender(self, table: str, columns: Sequence[str] | None = None) -> BulkAppender:
        """Return a context manager that appends to a table, batch after batch.

        columns: those that are given; the others take their defaults, and cost nothing
        """
        return BulkAppender(self._connection.appender(table, columns=list(columns) if columns else None))

    def export(self, table: str, path: Path) -> None:
        """Write a table to a file, which another catalog can `load`."""
        quoted = str(path).replace("'", "''")
        self.run(f"COPY {table} TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")

    def load(self, table: str, path: Path) -> None:
        """Append the rows of a file that another catalog has exported to the table of that name."""
        self.run(f"INSERT INTO {table} SELECT * FROM read_parquet($file)", {"file": str(path)})

    def run(self, statement: str, params: Params = ()) -> None:
        """Execute a statement that returns no rows."""
        self._execute(self._connection, statement, params)

    def limit_memory(self, megabytes: int) -> None:
        """Set DuckDB's memory limit. A statement that exceeds it is retried with more."""
        self._memory_mb = megabytes
        self._set_limit(megabytes)

    def shrink(self) -> None:
        """Free the memory of cached blocks: DuckDB frees it only when it reaches its limit."""
        # DuckDB refuses a limit below what is in use, but has freed the rest by then
        with contextlib.suppress(duckdb.OutOfMemoryException):
            self._set_limit(SHRUNK_MB)
        self._set_limit(self._memory_mb)

    def query(self, statement: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a small result."""
        return self._execute(self._connection, statement, params).fetchall()

    def one(self, statement: str, params: Params = ()) -> tuple[Any, ...]:
        """Return the only row of a result, as a tuple of its columns."""
        (row,) = self.query(statement, params)
        return row

    def count(self, rows: str, params: Params = ()) -> int:
        """Return the number of rows of a table or of a SELECT."""
        (count,) = self.one(f"SELECT count(*) FROM ({rows})", params)
        return int(count)

    def stream(self, statement: str, params: Params = (), batch: int = BATCH_ROWS) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a result of any size, in batches. The catalog may be written meanwhile."""
        for _, rows in self.stream_named(statement, params, batch):
            yield rows

    def stream_named(
        self, statement: str, params: Params = (), batch: int = BATCH_ROWS
    ) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """Yield the names of the columns and a batch of rows, as `stream`."""
        with self._connection.cursor() as cursor:
            self._execute(cursor, statement, params)
            names = [column[0] for column in cursor.description or ()]
            while rows := cursor.fetchmany(batch):
                yield names, rows

    def _execute(
        self, connection: duckdb.DuckDBPyConnection, statement: str, params: Params
    ) -> duckdb.DuckDBPyConnection:
        """Execute a statement, and double the memory limit as often as it runs out of memory.

        What DuckDB cannot spill to disk grows with the width of the rows: keys of a kilobyte need several times more.
        """
        while True:
            try:
                return connection.execute(statement, params)
            except duckdb.OutOfMemoryException:
                more = 2 * self._memory_mb
                if more * 1_000_000 > MAX_MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
                    raise
                self.limit_memory(more)

    def _set_limit(self, megabytes: int) -> None:
        self._connection.execute(f"SET memory_limit = '{megabytes}MB'")


class BulkAppender:
    """Appends columns to a table, some thousand rows at a time.

    All rows are in the table once the context is left, also by an exception.
    """

    def __init__(self, appender: duckdb.Appender) -> None:
        self._appender = appender
        self._buffered = 0

    def __enter__(self) -> BulkAppender:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def append(self, *columns: Sequence[object]) -> None:
        """Append rows, given as the columns in their order and of equal length."""
        self._appender.append_rows(zip(*columns, strict=True))
        self._buffered += len(columns[0])
        if self._buffered >= FILL_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are buffered."""
        self._appender.flush()
        self._buffered = 0


def _remove(path: Path) -> None:
    if path.exists():
        try:
            # unlinking a file that another process has open succeeds, connecting to it does not
            duckdb.connect(str(path)).close()
        except duckdb.Error as error:
            if _is_lock(error):
                raise
    for name in (path, path.with_name(path.name + ".wal")):
        name.unlink(missing_ok=True)


def _is_lock(error: duckdb.Error) -> bool:
    return "Could not set lock" in str(error)


def _waiting_for_lock(attempt: Callable[[], T]) -> T:
    """Return the result of `attempt`, which is repeated while another process has the file open."""
    give_up = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            return attempt()
        except duckdb.Error as error:
            if not _is_lock(error) or time.monotonic() > give_up:
                raise RehomeError(f"the catalog cannot be opened: {error}", code=Code.STATE_FILE) from error
        time.sleep(OPEN_RETRY_S)  # DuckDB cannot wait for the lock of its file
