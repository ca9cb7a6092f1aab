"""SQLite, through the standard library."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....codes import Code
from ....config.settings import Database
from ....errors import Finding, RefusedError
from ... import control, journal
from ...dialect import (
    Change,
    DatabaseError,
    Key,
    KeyColumn,
    KeyFamily,
    LockHolder,
    MissingRightError,
    RetryableError,
    RowBatch,
    RowRefusedError,
    TableFacts,
    TakenError,
    Touched,
    UnknownTableError,
    UnusableTableError,
)
from ..base import BaseDialect, check_column, no_usable_key
from ..session import prepare_session
from . import session

if TYPE_CHECKING:
    from filelock import BaseFileLock

BUSY_TIMEOUT_S = 3.0
"""How long to wait for another writer to release the file."""
MAX_CHUNK_BYTES = 64 * 1024**2
"""Rows are changed one by one, so that any size would do. Chunks of this size are large enough."""

_ACTING = """
SELECT max(type = 'trigger' OR sql LIKE '%REFERENCES%'), max(type = 'trigger' AND sql LIKE '%REPLACE%')
FROM main.sqlite_schema
"""


def quoted(name: str) -> str:
    """Return `name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class SQLite(BaseDialect):
    """An open database file; `dialect.Dialect` documents the methods.

    SQLite has no schemas: the journal is the table `<schema>_journal` of the same file.
    """

    placeholder = "?"

    def __init__(self, settings: Database) -> None:
        super().__init__()
        self._settings = settings
        self._advisory_locks: dict[str, BaseFileLock] = {}
        self._locked_files: dict[str, int] = {}
        self._path = Path(settings.path or "")
        self._open()

    def reconnect(self) -> None:
        """Open the file again; the advisory locks, which are files of their own, are kept."""
        self._connection.close()
        self._open()

    def _open(self) -> None:
        path = self._path
        if not path.is_file():
            finding = Finding(
                "rehome_database.path",
                str(path),
                "there is no such file",
                "Name an existing SQLite database",
                Code.DATABASE_UNREACHABLE,
            )
            raise RefusedError([finding])
        try:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                # one thread at a time uses a connection, but not always the same thread
                check_same_thread=False,
            )
            self._connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
            # text that is not UTF-8 must not end the whole scan
            self._connection.text_factory = _decoded
            # built in from SQLite 3.41 only
            self._connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)
            self._connection.create_function("rehome_crc", -1, _crc, deterministic=True)
            self._prepare()
        except (sqlite3.Error, DatabaseError) as error:
            finding = Finding(
                "rehome_database.path",
                str(path),
                f"cannot be read as a SQLite database ({error})",
                "Correct the path",
                Code.DATABASE_UNREACHABLE,
            )
            raise RefusedError([finding]) from error

    def _prepare(self) -> None:
        wanted = session.variables(self._pragmas(["synchronous", "journal_mode"]))
        prepare_session(self._settings, wanted, self._pragmas, self._assign)

    def _pragmas(self, names: Collection[str]) -> Mapping[str, str]:
        found = {name: self.run(f"PRAGMA {name}") for name in names}
        # a library that was compiled without a PRAGMA returns no row
        return {name: str(rows[0][0]) for name, rows in found.items() if rows}

    def _assign(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self.run(f"PRAGMA {name} = {value}")

    def close(self) -> None:
        """Release the lock files, and close the database's."""
        for lock in self._advisory_locks.values():
            lock.release()
        self._connection.close()

    def keep_alive(self) -> None:
        """Do nothing: nobody closes an idle file."""

    def is_read_only(self) -> bool:
        """Return whether this process lacks write access to the file."""
        return not os.access(self._path, os.W_OK)

    @property
    def max_chunk_bytes(self) -> int:
        """A constant: SQLite has no limit that a chunk could reach."""
        return MAX_CHUNK_BYTES

    def describe(self, table: str, column: str) -> TableFacts:
        """Read the facts from sqlite_schema and pragmas. No length is enforced, and any column may hold text."""
        kinds = self.run("SELECT type FROM sqlite_schema WHERE name = ? AND type IN ('table', 'view')", (table,))
        if not kinds:
            raise UnknownTableError(f"the database has no table {table}")
        if kinds[0][0] != "table":
            raise UnusableTableError(f"{table} is a view, and only tables can be rewritten")
        columns = {row[1]: row for row in self.run("SELECT * FROM pragma_table_info(?)", (table,))}
        check_column(table, column, columns)
        triggers = self.run(
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
        for index in self.run(
            'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial ORDER BY name', (table,)
        ):
            names = [row[0] for row in self.run("SELECT name FROM pragma_index_info(?) ORDER BY seqno", index)]
            # pragma_table_info lacks generated columns, and an expression has no name
            if all(name in columns and columns[name][3] for name in names):
                candidates.append(names)
        for names in candidates:
            parts = [KeyColumn(name, family(columns[name][2]), "") for name in names]
            # SQLite permits NULL in a primary key that is not the row id
            is_rowid = len(names) == 1 and columns[names[0]][5] and columns[names[0]][2].upper() == "INTEGER"
            if column not in names and (is_rowid or all(columns[name][3] for name in names)):
                return tuple(parts)
        raise no_usable_key(table, column)

    @contextmanager
    def explaining(self) -> Iterator[list[Mapping[str, Any]]]:
        """Use EXPLAIN QUERY PLAN, and make the connection refuse writes within the block."""
        # `executemany` cannot be explained, and must not be run instead
        self.run("PRAGMA query_only = ON")
        try:
            with super().explaining() as rows:
                yield rows
        finally:
            self.run("PRAGMA query_only = OFF")

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        """Compare the key as a row value. Raises UnusableTableError if a key is neither an integer nor text."""
        # a single SELECT is a transaction of its own, without a write lock
        names = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
        marks = ", ".join(placeholder(part) for part in facts.key)
        behind = f"({names}) > ({marks})" if after is not None else "true"
        rows = self.run(
            f"SELECT {key_list(facts)}, t.{quoted(facts.column)} FROM {quoted(facts.table)} t"
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
        """Send BEGIN IMMEDIATE, which locks the whole database for other writers."""
        # IMMEDIATE takes the write lock now: values read in the block do not change before COMMIT
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run(self._end_of_transaction)
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def _values(self, facts: TableFacts, changes: Sequence[Change], locking: str) -> Mapping[Key, str | None]:
        # needs no clause to lock rows: the transaction has locked the whole database already
        found: dict[Key, str | None] = {}
        for change in changes:
            for row in self.run(
                f"SELECT {key_list(facts)}, t.{quoted(facts.column)} FROM {quoted(facts.table)} t"
                f" WHERE {_is(facts)}{condition(facts)}",
                change.key,
            ):
                found[tuple(row[:-1])] = _text(row[-1])
        return found

    def snapshot(self) -> AbstractContextManager[None]:
        """A transaction locks the whole database, so that nobody else changes what it reads."""
        return self.transaction()

    def touched(self, facts: TableFacts) -> Touched | None:
        """Let temporary triggers count, if the database has triggers or foreign keys."""
        ((acting, replacing),) = self.run(_ACTING)
        if not acting:
            return None
        counts_table, statements = counting(facts)
        for statement in statements:
            self.run(statement)
        counts = self.run(f"SELECT * FROM temp.{counts_table}")[0]
        # what a REPLACE of a trigger deletes fires no trigger
        rows = self.run(f"SELECT count(*) FROM {quoted(facts.table)}")[0] if replacing else (0,)
        return Touched(*counts, *rows)

    def others(self, facts: TableFacts, changes: Sequence[Change]) -> tuple[int, int]:
        """Add up CRC-32 of each row, and subtract those of the rows of `changes`."""
        terms = ", ".join(quoted(name) for name in (facts.column, *(part.name for part in facts.key)))
        select = f"SELECT count(*), coalesce(sum(rehome_crc({terms})), 0) FROM {quoted(facts.table)}"
        ((rows, total),) = self.run(select)
        own = [self.run(f"{select} WHERE {_is(facts)}", change.key)[0] for change in changes]
        return rows - sum(count for count, _ in own), total - sum(crc for _, crc in own)

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        """Update row by row, comparing the values as BLOBs."""
        column = quoted(facts.column)
        # The table's own conflict clauses (REPLACE, IGNORE, …) must not decide. Where it has none, triggers keep
        # theirs, which a clause of this statement would override ("The ON CONFLICT Clause" in SQLite's manual).
        own = self.run("SELECT 1 FROM sqlite_schema WHERE name = ? AND sql LIKE '%CONFLICT%'", (facts.table,))
        with _translated_errors():
            cursor = self._connection.executemany(
                f"UPDATE {'OR ABORT ' if own else ''}{quoted(facts.table)} SET {column} = ? WHERE {_is(facts)}"
                f" AND CAST({column} AS BLOB) = CAST(? AS BLOB)",
                [(change.new, *change.key, change.old) for change in changes],
            )
        return cursor.rowcount

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        """Read, update and read again: nothing crosses a network, so that there is nothing to save."""
        # the operator's condition may be about the very value, and has been met by the rows that are locked
        locked = replace(facts, where=None)
        return (
            self.lock(facts, changes) == {change.key: change.old for change in changes}
            and self.update(locked, changes) == len(changes)
            # a trigger may have replaced the value, and the column's affinity may have made it a number
            and self.lock(locked, changes) == {change.key: change.new for change in changes}
        )

    def update_refusal(self, facts: TableFacts) -> DatabaseError | None:
        """Run an UPDATE that finds no row: it fails if the file cannot be written or is busy."""
        try:
            with self.transaction():
                self.run(f"UPDATE {quoted(facts.table)} SET {quoted(facts.column)} = '' WHERE 1 = 0")
        except DatabaseError as refusal:
            return refusal
        return None

    def try_advisory_lock(self, name: str) -> LockHolder | None:
        """Lock a file beside the database's, with a digest of the name in its own."""
        # SQLite has no advisory locks; whoever sees the database file also sees a file beside it
        # not one thread's alone: the thread that watches the lock may take it again
        # To read the rows takes no lock, and the import takes as long as three hundred copies.
        from filelock import FileLock, Timeout  # noqa: PLC0415

        lock = FileLock(self._lock_file(name), timeout=0, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return LockHolder(0, "another process on this machine")
        self._advisory_locks[name] = lock
        self._locked_files[name] = self._lock_file(name).stat().st_ino
        return None

    def holds_advisory_lock(self, name: str) -> bool:
        """Return whether the locked file is still there: another run would lock a new one of its name."""
        try:
            return self._lock_file(name).stat().st_ino == self._locked_files.get(name)
        except FileNotFoundError:
            return False

    def _lock_file(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self._path.with_name(f"{self._path.name}.rehome-{digest}.lock")

    def _journal_columns(self, schema: str) -> list[tuple[Any, ...]]:
        return self.run("SELECT name FROM pragma_table_info(?)", (self._journal_name(schema),))

    def create_journal(self, schema: str) -> None:
        """Create the table only; SQLite has no schemas."""
        self.run(
            f"CREATE TABLE IF NOT EXISTS {self.journal_table(schema)} ("
            # AUTOINCREMENT: an id is never reused, so that `undoes` always refers to the same entry
            " id INTEGER PRIMARY KEY AUTOINCREMENT, chunk TEXT NOT NULL UNIQUE, migration TEXT NOT NULL,"
            " fingerprint TEXT NOT NULL, reference TEXT NOT NULL, direction TEXT NOT NULL, undoes INTEGER,"
            " row_count INTEGER NOT NULL, first_key TEXT NOT NULL, last_key TEXT NOT NULL, entries BLOB NOT NULL,"
            " sha256 TEXT NOT NULL, written_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),"
            " written_by TEXT NOT NULL)"
        )
        self.create_control(schema)

    def journal_table(self, schema: str) -> str:
        """Return `<schema>_journal`, quoted."""
        return quoted(self._journal_name(schema))

    def control_table(self, schema: str) -> str:
        """Return `<schema>_control`, quoted."""
        return quoted(f"{schema}_{control.TABLE}")

    def _journal_name(self, schema: str) -> str:
        return f"{schema}_{journal.TABLE}"

    def _changed(self, statement: str, values: Sequence[Any]) -> int:
        with _translated_errors():
            return self._connection.execute(statement, values).rowcount

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with sqlite3's placeholders (?), or explain it within `explaining`."""
        explained = self._is_explained(statement)
        with _translated_errors():
            cursor = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}" if explained else statement, values)
            if explained:
                self._keep_plan(cursor)
            return cursor.fetchall()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        raise _kind(error, code).quoting(str(error), code) from error


def _kind(error: sqlite3.Error, code: str) -> type[DatabaseError]:
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return RetryableError
    # "SQLITE_READONLY_DIRECTORY" and the like: the file's own permissions, or those of its folder
    if code.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return MissingRightError
    if code in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        return TakenError
    return RowRefusedError if isinstance(error, sqlite3.IntegrityError) else DatabaseError


def _code(error: sqlite3.Error) -> str:
    """Return the name of the error's code; empty for an error of the Python module itself."""
    return getattr(error, "sqlite_errorname", "")


def counting(facts: TableFacts) -> tuple[str, Sequence[str]]:
    """Return the statements that make the connection count the table's rows that it inserts, changes and deletes.

    With the name of the temporary table whose one row has the counts of `Touched`; only this connection sees it.
    A change of neither the key nor the value counts nothing: a trigger may keep the time of the last change, say.
    """
    columns = [quoted(name) for name in (facts.column, *(part.name for part in facts.key))]
    changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in columns)
    counts = f"rehome_touched_{hashlib.sha256(facts.reference.encode()).hexdigest()[:16]}"
    when = {
        "inserted": ("INSERT", ""),
        "changed": (f"UPDATE OF {', '.join(columns)}", f"WHEN {changed}"),
        "deleted": ("DELETE", ""),
    }
    return counts, [
        f"CREATE TEMP TABLE IF NOT EXISTS {counts} AS SELECT 0 AS inserted, 0 AS changed, 0 AS deleted",
        *(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {counts}_{name} AFTER {event} ON main.{quoted(facts.table)}"
            f" {condition} BEGIN UPDATE {counts} SET {name} = {name} + 1; END"
            for name, (event, condition) in when.items()
        ),
    ]


def family(declared: str) -> KeyFamily:
    """Return the family by SQLite's rules of affinity ("Datatypes in SQLite", section 3.1)."""
    upper = declared.upper()
    if "INT" in upper:
        return "integer"
    return "binary" if "BLOB" in upper or "BINARY" in upper or not upper else "text"


def _crc(*values: object) -> int:
    return zlib.crc32(repr(values).encode(errors="surrogatepass"))


def _decoded(text: bytes) -> str | bytes:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _text(value: object) -> str | None:
    """Return the value if it is text. A BLOB is not, even if its bytes are UTF-8."""
    return value if isinstance(value, str) else None


def key_list(facts: TableFacts) -> str:
    """Return the select list of the key columns of `t`; NULL if a column for bytes holds something else."""
    return ", ".join(transferable(part, f"t.{quoted(part.name)}") for part in facts.key)


def transferable(part: KeyColumn, term: str) -> str:
    """Return the SQL that makes `term`, a value of the key column, what is transferred."""
    return f"CASE typeof({term}) WHEN 'blob' THEN hex({term}) END" if part.family == "binary" else term


def condition(facts: TableFacts) -> str:
    """Return the operator's condition as an addition to others."""
    return f" AND ({facts.where})" if facts.where else ""


def placeholder(part: KeyColumn) -> str:
    """Return the mark for a parameter that is a value of the key column."""
    return "unhex(?)" if part.family == "binary" else "?"


def _is(facts: TableFacts) -> str:
    return " AND ".join(f"{quoted(part.name)} = {placeholder(part)}" for part in facts.key)
