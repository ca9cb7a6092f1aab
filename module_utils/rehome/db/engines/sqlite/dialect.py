"""SQLite, through the standard library."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from ....config.settings import Database
from ....errors import Finding, RefusedError
from ... import journal
from ...dialect import (
    EXPLAINABLE,
    Change,
    DatabaseError,
    Explained,
    JournalEntry,
    Key,
    KeyColumn,
    KeyFamily,
    RecordedEntry,
    RetryableError,
    RowBatch,
    RowRefusedError,
    TableFacts,
    UnknownColumnError,
    UnknownTableError,
    UnusableTableError,
)

BUSY_SECONDS = 3.0
MOST_BYTES = 64 * 1024**2
"""Rows are changed one by one: a chunk of any size would do, and this is large enough."""


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class SQLite:
    """See `dialect.Dialect`. It knows no schemas: the journal is the table `<schema>_journal` of the same file."""

    def __init__(self, settings: Database) -> None:
        self._plans: list[Mapping[str, Any]] | None = None
        self._claims: list[BaseFileLock] = []
        self._path = Path(settings.path or "")
        self._open()

    def reconnect(self) -> None:
        self._connection.close()
        self._open()

    def _open(self) -> None:
        path = self._path
        if not path.is_file():
            raise RefusedError(
                [
                    Finding(
                        "rehome_database.path",
                        str(path),
                        "there is no such file",
                        "Name an existing SQLite database",
                    )
                ]
            )
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                # one thread at a time uses a connection, not always the same
                check_same_thread=False,
            )
            self._connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
            # text that is no UTF-8 must not end the whole scan
            self._connection.text_factory = _decoded
            # built in from SQLite 3.41 only
            self._connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)
        except sqlite3.Error as error:
            finding = Finding(
                "rehome_database.path",
                str(path),
                f"cannot be read as a SQLite database ({error})",
                "Correct the path",
            )
            raise RefusedError([finding]) from error

    def close(self) -> None:
        for lock in self._claims:
            lock.release()
        self._connection.close()

    def keep_alive(self) -> None:
        """A file does not go away."""

    def is_read_only(self) -> bool:
        return not os.access(self._path, os.W_OK)

    @property
    def max_chunk_bytes(self) -> int:
        return MOST_BYTES

    def describe(self, table: str, column: str) -> TableFacts:
        kinds = self._run("SELECT type FROM sqlite_schema WHERE name = ? AND type IN ('table', 'view')", (table,))
        if not kinds:
            raise UnknownTableError(f"the database has no table {table}")
        if kinds[0][0] != "table":
            raise UnusableTableError(f"{table} is a view, and only tables can be rewritten")
        columns = {row[1]: row for row in self._run("SELECT * FROM pragma_table_info(?)", (table,))}
        if column not in columns:
            raise UnknownColumnError(f"table {table} has no column {column}; it has {', '.join(columns)}")
        triggers = self._run(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
            " AND upper(sql) LIKE '%UPDATE%ON%'",
            (table,),
        )
        return TableFacts(
            table=table,
            column=column,
            key=self._key(table, column, columns),
            triggers=tuple(name for (name,) in triggers),
        )

    def _key(self, table: str, column: str, columns: Mapping[str, Sequence[Any]]) -> tuple[KeyColumn, ...]:
        # pragma_table_info: cid, name, type, notnull, dflt_value, pk (1-based position in the primary key)
        primary = sorted((row[5], name) for name, row in columns.items() if row[5])
        candidates = [[name for _, name in primary]] if primary else []
        for index in self._run(
            'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial ORDER BY name', (table,)
        ):
            names = [row[0] for row in self._run("SELECT name FROM pragma_index_info(?) ORDER BY seqno", index)]
            if all(name is not None and columns[name][3] for name in names):
                candidates.append(names)
        for names in candidates:
            parts = [KeyColumn(name, _family(columns[name][2]), "") for name in names]
            # SQLite lets NULL into a primary key that is not the row id
            is_rowid = len(names) == 1 and columns[names[0]][5] and columns[names[0]][2].upper() == "INTEGER"
            if column not in names and (is_rowid or all(columns[name][3] for name in names)):
                return tuple(parts)
        raise UnusableTableError(
            f"table {table} has no usable unique key: a primary key or a unique index without {column} itself, over "
            "columns that are NOT NULL"
        )

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._run(statement, values)

    @contextmanager
    def explaining(self) -> Iterator[list[Mapping[str, Any]]]:
        # what cannot be explained (`executemany`) must not be run instead
        self._run("PRAGMA query_only = ON")
        self._plans = plans = list[Mapping[str, Any]]()
        try:
            with suppress(Explained):
                yield plans
        finally:
            self._plans = None
            self._run("PRAGMA query_only = OFF")

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        # a statement by itself is a transaction that takes no lock for writing
        names = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
        marks = ", ".join(_placeholder(part) for part in facts.key)
        behind = f"({names}) > ({marks})" if after is not None else "true"
        rows = self._run(
            f"SELECT {_key_list(facts)}, t.{quoted(facts.column)} FROM {quoted(facts.table)} t"
            f" WHERE {behind}{condition(facts)} ORDER BY {names} LIMIT ?",
            [*(after or ()), limit],
        )
        if not rows:
            return RowBatch((), (), None)
        *columns, values = zip(*rows, strict=True)
        for part, column in zip(facts.key, columns, strict=True):
            if not {int, str}.issuperset(map(type, column)):
                raise UnusableTableError(f"table {facts.table} has keys of several kinds in its column {part.name}")
        keys = list(zip(*columns, strict=True))
        return RowBatch(keys, list(map(_text, values)), keys[-1])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        # IMMEDIATE takes the write lock now: what is read in the block stays true until COMMIT
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def lock(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        # the transaction holds the whole database already
        return self.read(facts, changes)

    def read(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        found: dict[Key, str | None] = {}
        for change in changes:
            for row in self._run(
                f"SELECT {_key_list(facts)}, t.{quoted(facts.column)} FROM {quoted(facts.table)} t"
                f" WHERE {_is(facts)}{condition(facts)}",
                change.key,
            ):
                found[tuple(row[:-1])] = _text(row[-1])
        return found

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        column = quoted(facts.column)
        with _translated_errors():
            cursor = self._connection.executemany(
                f"UPDATE {quoted(facts.table)} SET {column} = ? WHERE {_is(facts)}"
                f" AND CAST({column} AS BLOB) = CAST(? AS BLOB)",
                [(change.new, *change.key, change.old) for change in changes],
            )
        return cursor.rowcount

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        # the operator's condition may be about the very value, and has been met by the rows that are locked
        locked = replace(facts, where=None)
        return (
            self.lock(facts, changes) == {change.key: change.old for change in changes}
            and self.update(locked, changes) == len(changes)
            # a trigger may have put another value in place of it, and the column's affinity a number
            and self.lock(locked, changes) == {change.key: change.new for change in changes}
        )

    def update_refusal(self, facts: TableFacts) -> str | None:
        try:
            with self.transaction():
                self._run(f"UPDATE {quoted(facts.table)} SET {quoted(facts.column)} = '' WHERE 1 = 0")
        except DatabaseError as refusal:
            return str(refusal)
        return None

    def try_advisory_lock(self, name: str) -> str | None:
        # SQLite has no advisory locks; a file beside the database is seen by all who can see that
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        lock = FileLock(self._path.with_name(f"{self._path.name}.rehome-{digest}.lock"), timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            return "another process on this machine"
        self._claims.append(lock)
        return None

    def has_journal(self, schema: str) -> bool:
        name = f"{schema}_journal"
        columns = self._run("SELECT name FROM pragma_table_info(?)", (name,))
        return journal.check_columns(name, (column for (column,) in columns))

    def create_journal(self, schema: str) -> None:
        self._run(
            f"CREATE TABLE IF NOT EXISTS {_journal(schema)} ("
            # AUTOINCREMENT: an id is never given twice, so that `undoes` always means what it meant
            " id INTEGER PRIMARY KEY AUTOINCREMENT, chunk TEXT NOT NULL UNIQUE, migration TEXT NOT NULL,"
            " fingerprint TEXT NOT NULL, reference TEXT NOT NULL, direction TEXT NOT NULL, undoes INTEGER,"
            " row_count INTEGER NOT NULL, first_key TEXT NOT NULL, last_key TEXT NOT NULL, entries BLOB NOT NULL,"
            " sha256 TEXT NOT NULL, written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),"
            " written_by TEXT NOT NULL)"
        )

    def append_journal(self, schema: str, entry: JournalEntry) -> None:
        self._run(journal.insert(_journal(schema), "?"), entry)

    def journal_fingerprints(self, schema: str, migration: str) -> list[str]:
        return [row[0] for row in self._run(journal.select_fingerprints(_journal(schema), "?"), (migration,))]

    def journal_row_count(self, schema: str, chunk: str) -> int | None:
        found = self._run(journal.select_row_count(_journal(schema), "?"), (chunk,))
        return int(found[0][0]) if found else None

    def read_journal(self, schema: str, migration: str, before: int | None, limit: int) -> list[RecordedEntry]:
        statement = journal.select_entries(_journal(schema), "?", all_of_them=before is None)
        values = [migration, limit] if before is None else [migration, before, limit]
        return [journal.recorded(row) for row in self._run(statement, values)]

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _translated_errors():
            if self._plans is not None and statement.startswith(EXPLAINABLE):
                cursor = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                names = [part[0] for part in cursor.description]
                self._plans += [dict(zip(names, row, strict=True)) for row in cursor]
                raise Explained
            return self._connection.execute(statement, values).fetchall()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise RetryableError(f"the database is busy: {error}") from error
        raise DatabaseError(f"the database answered: {error}") from error
    except sqlite3.IntegrityError as error:
        raise RowRefusedError(f"the database refuses the row: {error}") from error
    except sqlite3.Error as error:
        raise DatabaseError(f"the database answered: {error}") from error


def _family(declared: str) -> KeyFamily:
    """By SQLite's rules of affinity ("Datatypes in SQLite", section 3.1)."""
    upper = declared.upper()
    if "INT" in upper:
        return "integer"
    return "binary" if "BLOB" in upper or "BINARY" in upper or not upper else "text"


def _journal(schema: str) -> str:
    return quoted(f"{schema}_journal")


def _decoded(text: bytes) -> str | bytes:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _text(value: object) -> str | None:
    """The value where it is text; a BLOB is not, even where its bytes would be."""
    return value if isinstance(value, str) else None


def _key_list(facts: TableFacts) -> str:
    """The key columns of `t` as they travel; NULL where a column that is to hold bytes holds something else."""
    return ", ".join(_travelling(part, f"t.{quoted(part.name)}") for part in facts.key)


def _travelling(part: KeyColumn, term: str) -> str:
    return f"CASE typeof({term}) WHEN 'blob' THEN hex({term}) END" if part.family == "binary" else term


def condition(facts: TableFacts) -> str:
    """The operator's condition, behind others."""
    return f" AND ({facts.where})" if facts.where else ""


def _placeholder(part: KeyColumn) -> str:
    return "unhex(?)" if part.family == "binary" else "?"


def _is(facts: TableFacts) -> str:
    return " AND ".join(f"{quoted(part.name)} = {_placeholder(part)}" for part in facts.key)
