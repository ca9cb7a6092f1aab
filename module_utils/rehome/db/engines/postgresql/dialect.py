"""PostgreSQL (13 and later), through psycopg 3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import psycopg
from psycopg import errors as pg_errors

from ....config.settings import Database
from ....errors import Finding, RefusedError
from ... import journal
from ...dialect import (
    EXPLAINABLE,
    Change,
    ConnectionLostError,
    DatabaseError,
    Expected,
    Explained,
    Heads,
    JournalEntry,
    Key,
    KeyColumn,
    KeyFamily,
    ReadOnlyError,
    RecordedEntry,
    RetryableError,
    RowBatch,
    RowRefusedError,
    TableFacts,
    UnknownColumnError,
    UnknownTableError,
    UnusableTableError,
    common_heads,
    separator,
)

RETRYABLE: Final = (
    pg_errors.SerializationFailure,
    pg_errors.DeadlockDetected,
    pg_errors.LockNotAvailable,
    pg_errors.QueryCanceled,
)
LOST: Final = (
    pg_errors.AdminShutdown,
    pg_errors.CrashShutdown,
    pg_errors.CannotConnectNow,
    pg_errors.ConnectionException,
    pg_errors.ConnectionFailure,
    pg_errors.ConnectionDoesNotExist,
    pg_errors.IdleInTransactionSessionTimeout,
)
FAMILIES: Final[Mapping[str, KeyFamily]] = {
    **dict.fromkeys(["int2", "int4", "int8"], "integer"),
    **dict.fromkeys(["text", "varchar", "bpchar", "citext"], "text"),
    **dict.fromkeys(["uuid", "numeric", "date", "timestamp", "timestamptz", "inet", "cidr", "macaddr"], "text"),
    "bytea": "binary",
    "enum": "text",
}
SERVER_TROUBLE: Final = ("08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "F0", "XX")
"""Classes of SQLSTATE that are about the connection, the statement or the server; all others, a trigger's own among
them, are about the row ("PostgreSQL Error Codes", appendix A of its manual)."""
TEXT_TYPES: Final = {"text", "varchar", "bpchar", "citext"}
OPTIONS: Final = (
    # In a conflict it is this tool that loses, not the application; what we may have lost must not hold its locks.
    "-c lock_timeout=2s -c statement_timeout=60s -c idle_in_transaction_session_timeout=15s "
    "-c default_transaction_isolation=read\\ committed -c client_encoding=UTF8 -c timezone=UTC"
)
MAY_ALTER: Final = """
WITH RECURSIVE family(oid, kind) AS (
    SELECT oid, relkind FROM pg_class WHERE oid = to_regclass(%s)
    UNION SELECT c.oid, c.relkind FROM family f JOIN pg_inherits i ON i.inhparent = f.oid
        JOIN pg_class c ON c.oid = i.inhrelid
)
SELECT NOT EXISTS (
    SELECT 1 FROM family f JOIN pg_attribute a ON a.attrelid = f.oid JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attname = %s AND coalesce(nullif(t.typbasetype, 0), t.oid) IN ('text'::regtype, 'varchar'::regtype)
) OR EXISTS (SELECT 1 FROM family WHERE kind NOT IN ('r', 'p'))
OR EXISTS (SELECT 1 FROM family f JOIN pg_rewrite r ON r.ev_class = f.oid)
OR EXISTS (
    SELECT 1 FROM family f JOIN pg_trigger t ON t.tgrelid = f.oid
    WHERE t.tgenabled <> 'D' AND t.tgtype & 2 = 0 AND (NOT t.tgisinternal OR t.tgparentid <> 0)
)
OR current_setting('server_encoding') <> 'UTF8' OR current_setting('transaction_isolation') <> 'read committed'
"""
"""What could put another value in place of the one that is returned: triggers that come after (tgtype 2 is BEFORE, by
pg_trigger.h), and of any kind, as a row that moves to another partition is deleted and inserted; a partition's own are
internal before PostgreSQL 15. Rules. Partitions elsewhere.
Types that pad or fold. A conversion between character sets that does not lead back. Everybody may see all of them.
They cannot come between the UPDATE and the COMMIT: CREATE TRIGGER waits for a lock that an UPDATE excludes ("Explicit
Locking", section 13.3 of PostgreSQL's manual), and what the UPDATE's own statement sees begins once it has that lock;
under READ COMMITTED only."""
MOST_BYTES: Final = 64 * 1024**2
"""A message may have a gigabyte; a chunk of this size is large enough."""


def quoted(name: str) -> str:
    """A SQL identifier, in a statement that the driver formats: `%` is doubled for it."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


class UnsupportedError(DatabaseError):
    """The server knows no such statement for this table: an UPDATE within WITH, where the table has rules."""


class PostgreSQL:
    """See `dialect.Dialect`. A table may be written with its schema: `media.avatars`."""

    def __init__(self, settings: Database) -> None:
        self._plans: list[Mapping[str, Any]] | None = None
        self._settings = settings
        self._connection = _open(settings)

    def reconnect(self) -> None:
        self._connection.close()
        self._connection = _open(self._settings)

    def is_read_only(self) -> bool:
        return bool(self._run("SHOW transaction_read_only")[0][0] == "on")

    @property
    def max_chunk_bytes(self) -> int:
        return MOST_BYTES

    def close(self) -> None:
        self._connection.close()

    def keep_alive(self) -> None:
        try:
            self._run("SELECT 1")
        except DatabaseError:
            with suppress(RefusedError, DatabaseError):
                self.reconnect()

    def describe(self, table: str, column: str) -> TableFacts:
        found = self._run(
            "SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = to_regclass(%s)",
            # a value here and not part of the statement, so that its `%` stays single
            (_table(table).replace("%%", "%"),),
        )
        if not found:
            raise UnknownTableError(f"the database has no table {table} in this user's search path")
        oid, kind = found[0]
        if kind not in ("r", "p"):
            raise UnusableTableError(f"{table} is not a table, and only tables can be rewritten")
        columns = {
            row[0]: row[1:]
            for row in self._run(
                # a domain counts as the type that it narrows
                "SELECT a.attname, CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname END,"
                " CASE d.typtype WHEN 'd' THEN d.typtypmod ELSE a.atttypmod END, a.attnotnull OR d.typnotnull,"
                " format_type(t.oid, -1), a.attgenerated <> ''"
                " FROM pg_attribute a JOIN pg_type d ON d.oid = a.atttypid"
                " JOIN pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END"
                " WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
                (oid,),
            )
        }
        if column not in columns:
            raise UnknownColumnError(f"table {table} has no column {column}; it has {', '.join(columns)}")
        kind, modifier, _, _, generated = columns[column]
        if kind not in TEXT_TYPES:
            raise UnusableTableError(f"column {table}.{column} is of type {kind}, which holds no text")
        if generated:
            raise UnusableTableError(f"column {table}.{column} is generated from others; name those instead")
        triggers = self._run(
            # tgtype: bit 4 is UPDATE (pg_trigger.h)
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgtype & 16 <> 0",
            (oid,),
        )
        return TableFacts(
            table=table,
            column=column,
            key=self._key(table, oid, column, columns),
            # atttypmod of varchar(n) and char(n) is n + 4; -1 means no limit
            max_length=modifier - 4 if modifier > 0 else None,
            triggers=tuple(name for (name,) in triggers),
        )

    def _key(self, table: str, oid: int, column: str, columns: Mapping[str, Sequence[Any]]) -> tuple[KeyColumn, ...]:
        for (names,) in self._run(
            "SELECT array_agg(a.attname::text ORDER BY k.position) FROM pg_index i"
            " CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, position)"
            " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
            " WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate"
            " AND i.indpred IS NULL AND i.indexprs IS NULL"
            " GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indisprimary DESC, i.indexrelid",
            (oid,),
        ):
            if column not in names and all(columns[name][0] in FAMILIES and columns[name][2] for name in names):
                return tuple(KeyColumn(name, FAMILIES[columns[name][0]], columns[name][3]) for name in names)
        raise UnusableTableError(
            f"table {table} has no usable unique key: a primary key or a unique index without {column} itself, over "
            "columns that are NOT NULL and hold integers, numerics, texts, enums, UUIDs, dates, addresses or binary ids"
        )

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._run(statement, values)

    @contextmanager
    def explaining(self) -> Iterator[list[Mapping[str, Any]]]:
        self._plans = plans = list[Mapping[str, Any]]()
        try:
            with suppress(Explained):
                yield plans
        finally:
            self._plans = None

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        names = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
        marks = ", ".join(_from_text(part, "%s") for part in facts.key)
        behind = f"({names}) > ({marks})" if after is not None else "true"
        # in a transaction: outside one, a proxy that splits reads from writes would ask a replica, which may be late
        with self.transaction():
            rows = self._run(
                f"SELECT {_key_list(facts)}, t.{quoted(facts.column)}::text FROM {_table(facts.table)} t"
                f" WHERE {behind}{condition(facts, 'AND')} ORDER BY {names} LIMIT %s",
                [*(after or ()), limit],
            )
        return _row_batch(rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with self._connection.transaction():
                yield
        except psycopg.Error as error:
            raise _translated(error) from error

    def lock(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        return self._values(facts, changes, "FOR NO KEY UPDATE OF t")

    def read(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        return self._values(facts, changes, "")

    def _values(self, facts: TableFacts, changes: Sequence[Change], locking: str) -> Mapping[Key, str | None]:
        rows = self._run(
            f"SELECT {_key_list(facts)}, t.{quoted(facts.column)}::text FROM {_table(facts.table)} t"
            f" WHERE {_among(facts)} {locking}",
            _key_arrays(facts, changes),
        )
        return {tuple(row[:-1]): row[-1] for row in rows}

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        texts = [change.new for change in changes]
        mark = separator(texts)
        if mark is None:
            return False
        heads = common_heads(changes)
        update, values = _swap(facts, changes, heads) if heads else _update(facts, changes)
        try:
            ((count, found, may_alter),) = self._run(
                # One statement, and no lock before it: a row that held anything but `old` becomes anything but `new`,
                # which the answer tells and a rollback undoes. RETURNING sees what BEFORE triggers have made of a row.
                f"WITH rewritten AS ({update} RETURNING {_numbered_keys(facts)}, t.{quoted(facts.column)}::text AS v)"
                f" SELECT count(v), string_agg(v, %s ORDER BY {_numbers(facts)}), ({MAY_ALTER}) FROM rewritten",
                [*values, mark, *_altered(facts)],
            )
        except UnsupportedError:
            return False
        if count != len(texts) or found != mark.join(texts):
            return False
        # the operator's condition may be about the very value, and has been met by the rows that are locked
        return not may_alter or self.lock_and_compare(replace(facts, where=None), changes, "new")

    def lock_and_compare(self, facts: TableFacts, changes: Sequence[Change], expected: Expected) -> bool:
        """Lock the rows, and tell whether each of them holds what `changes` says, to the last byte."""
        texts = [change.old if expected == "old" else change.new for change in changes]
        mark = separator(texts)
        if mark is None:
            return False
        ((count, found),) = self._run(
            f"SELECT count(v), string_agg(v, %s ORDER BY {_numbers(facts)})"
            f" FROM (SELECT {_numbered_keys(facts)}, t.{quoted(facts.column)}::text AS v FROM {_table(facts.table)} t"
            f" WHERE {_among(facts)} FOR NO KEY UPDATE OF t) AS locked",
            [mark, *_key_arrays(facts, changes)],
        )
        return bool(count == len(texts) and found == mark.join(texts))

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        return self._changed(*_update(facts, changes))

    def may_alter(self, facts: TableFacts) -> bool:
        """Whether rows that are rewritten may hold another value in the end than the UPDATE returns.

        The answer holds for the transaction that has rewritten rows by then, as nobody can make a trigger any more. A
        doubt is a yes.
        """
        ((may,),) = self._run(MAY_ALTER, _altered(facts))
        return bool(may)

    def update_refusal(self, facts: TableFacts) -> str | None:
        column, table = quoted(facts.column), _table(facts.table)
        try:
            self._run(f"EXPLAIN UPDATE {table} SET {column} = {column} WHERE false")
            self._run(f"EXPLAIN SELECT {_key_list(facts)} FROM {table} t WHERE false FOR NO KEY UPDATE")
        except DatabaseError as refusal:
            return str(refusal)
        return None

    def try_advisory_lock(self, name: str) -> str | None:
        # a lock of the session, which PgBouncer in transaction mode would leave to somebody else's
        number = int.from_bytes(hashlib.sha256(f"rehome {name}".encode()).digest()[:8], signed=True)
        if self._run("SELECT pg_try_advisory_lock(%s)", (number,)) == [(True,)]:
            return None
        high, low = number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF
        seen = self._run(
            "SELECT a.pid, a.usename, a.client_addr, a.backend_start"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted"
            " AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid",
            (high, low),
        )
        if not seen:
            return "a connection that has just ended"
        pid, user, address, since = seen[0]
        return f"connection {pid} of {user} from {address or 'this machine'}, since {since:%Y-%m-%d %H:%M:%S %Z}"

    def has_journal(self, schema: str) -> bool:
        columns = self._run(
            # to_regclass would fail where this user may not look into the schema
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped"
            " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')",
            (schema, journal.TABLE),
        )
        return journal.check_columns(f"{schema}.{journal.TABLE}", (name for (name,) in columns))

    def create_journal(self, schema: str) -> None:
        if not self._run("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)):
            self._run(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        self._run(
            f"CREATE TABLE IF NOT EXISTS {_journal(schema)} ("
            " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " chunk text NOT NULL UNIQUE, migration text NOT NULL, fingerprint text NOT NULL,"
            " reference text NOT NULL, direction text NOT NULL, undoes bigint,"
            " row_count integer NOT NULL, first_key text NOT NULL, last_key text NOT NULL,"
            " entries bytea NOT NULL, sha256 text NOT NULL,"
            " written_at timestamptz NOT NULL DEFAULT clock_timestamp(), written_by text NOT NULL)"
        )

    def append_journal(self, schema: str, entry: JournalEntry) -> None:
        self._run(journal.insert(_journal(schema), "%s"), entry)

    def journal_fingerprints(self, schema: str, migration: str) -> list[str]:
        return [row[0] for row in self._run(journal.select_fingerprints(_journal(schema), "%s"), (migration,))]

    def journal_row_count(self, schema: str, chunk: str) -> int | None:
        found = self._run(journal.select_row_count(_journal(schema), "%s"), (chunk,))
        return int(found[0][0]) if found else None

    def read_journal(self, schema: str, migration: str, before: int | None, limit: int) -> list[RecordedEntry]:
        statement = journal.select_entries(_journal(schema), "%s", all_of_them=before is None)
        values = [migration, limit] if before is None else [migration, before, limit]
        return [journal.recorded(row) for row in self._run(statement, values)]

    def _changed(self, statement: str, values: Sequence[object]) -> int:
        with self._cursor() as cursor:
            self._execute(cursor, statement, values)
            return cursor.rowcount

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            self._execute(cursor, statement, values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        try:
            # refused by psycopg where the connection is known to be lost
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            raise _translated(error) from error

    def _execute(self, cursor: psycopg.Cursor[Any], statement: str, values: Sequence[object]) -> None:
        explained = self._plans is not None and statement.startswith(EXPLAINABLE)
        cursor.execute(f"EXPLAIN (VERBOSE) {statement}" if explained else statement, tuple(values))
        if self._plans is not None and explained:
            names = [part[0] for part in cursor.description or ()]
            self._plans += [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            raise Explained


def _open(settings: Database) -> psycopg.Connection[Any]:
    tls = settings.tls
    mode = "verify-full" if tls.verify else "require"
    try:
        return psycopg.connect(
            host=settings.socket or settings.host,
            port=settings.port or 5432,
            dbname=settings.name,
            user=settings.user,
            password=settings.password,
            connect_timeout=10,
            application_name="rehome",
            options=OPTIONS,
            autocommit=True,
            sslmode=mode if tls.enabled else "prefer",
            sslrootcert=(tls.ca or "system") if tls.enabled and tls.verify else tls.ca,
            sslcert=tls.cert,
            sslkey=tls.key,
        )
    except psycopg.Error as error:
        raise RefusedError([_connection_finding(settings, error)]) from error


def _connection_finding(settings: Database, error: psycopg.Error) -> Finding:
    # A failed connection has no SQLSTATE in libpq: the server's words are all there is.
    said = " ".join(str(error).split())
    where = settings.socket or f"{settings.host}:{settings.port or 5432}"
    if "authentication failed" in said or "no password supplied" in said or "pg_hba.conf" in said:
        return Finding(
            "rehome_database.user",
            settings.user,
            f"the server at {where} refuses this user with this password",
            "Correct rehome_database.user and rehome_database.password (or DB_USER and DB_PASSWD)",
        )
    if "CONNECT privilege" in said:
        return Finding(
            "rehome_database.user",
            settings.user,
            f"may not connect to database {settings.name}",
            f"Grant CONNECT on database {settings.name} to it",
        )
    if f'database "{settings.name}" does not exist' in said:
        return Finding(
            "rehome_database.name",
            settings.name,
            f"the server at {where} has no such database",
            "Correct rehome_database.name (or DB_NAME)",
        )
    if "SSL" in said or "certificate" in said:
        return Finding(
            "rehome_database.tls",
            where,
            f"the connection could not be secured ({said})",
            "Correct rehome_database.tls, or the server's certificate",
        )
    return Finding(
        "rehome_database.host",
        where,
        f"no database server answers there ({said})",
        "Correct rehome_database.host and port (or DB_HOST), and see that the server runs and is not behind a firewall",
    )


def _translated(error: psycopg.Error) -> DatabaseError:
    said = " ".join(str(error).split())
    if isinstance(error, LOST) or (error.sqlstate is None and isinstance(error, psycopg.OperationalError)):
        return ConnectionLostError(f"the connection to the database was lost: {said}")
    if isinstance(error, pg_errors.FeatureNotSupported):
        return UnsupportedError(f"the database answered: {said} (SQLSTATE {error.sqlstate})")
    if isinstance(error, pg_errors.ReadOnlySqlTransaction):
        return ReadOnlyError(f"the database takes no writes now: {said} (SQLSTATE {error.sqlstate})")
    if isinstance(error, RETRYABLE):
        return RetryableError(f"the database asks to try again: {said} (SQLSTATE {error.sqlstate})")
    if (error.sqlstate or SERVER_TROUBLE[0])[:2] not in SERVER_TROUBLE:
        return RowRefusedError(f"the database refuses the row: {said} (SQLSTATE {error.sqlstate})")
    return DatabaseError(f"the database answered: {said} (SQLSTATE {error.sqlstate})")


def _altered(facts: TableFacts) -> tuple[str, str]:
    """The parameters of `MAY_ALTER`."""
    return _table(facts.table).replace("%%", "%"), facts.column


def _table(name: str) -> str:
    return ".".join(quoted(part) for part in name.split(".", 1))


def _journal(schema: str) -> str:
    return f"{quoted(schema)}.{quoted(journal.TABLE)}"


def _row_batch(rows: list[tuple[Any, ...]]) -> RowBatch:
    """The page of rows that have the value behind the key."""
    if not rows:
        return RowBatch((), (), None)
    *keys, values = zip(*rows, strict=True)
    page = list(zip(*keys, strict=True))
    return RowBatch(page, values, page[-1])


def condition(facts: TableFacts, before: str) -> str:
    """The operator's condition behind the word `before`, in a statement that the driver formats."""
    return f" {before} ({facts.where.replace('%', '%%')})" if facts.where else ""


def _key_list(facts: TableFacts) -> str:
    """The key columns of `t` as they travel."""
    forms = {"integer": "t.{}", "text": "t.{}::text", "binary": "encode(t.{}, 'hex')"}
    return ", ".join(forms[part.family].format(quoted(part.name)) for part in facts.key)


def _numbered_keys(facts: TableFacts) -> str:
    """The key columns of `t` in their own types, by the names of `_numbers`."""
    return ", ".join(f"t.{quoted(part.name)} AS k{i}" for i, part in enumerate(facts.key))


def _numbers(facts: TableFacts) -> str:
    return ", ".join(f"k{i}" for i in range(len(facts.key)))


def _from_text(part: KeyColumn, given: str) -> str:
    """The inverse of `_key_list`, for one column."""
    return f"decode({given}, 'hex')" if part.family == "binary" else f"{given}::{part.sql_type}"


def _key_arrays(facts: TableFacts, changes: Sequence[Change]) -> list[object]:
    """The parameters of `_among`, and the first of `_as_table`: one array per key column."""
    return [_array(part, [change.key[i] for change in changes]) for i, part in enumerate(facts.key)]


def _array(part: KeyColumn, values: Sequence[int | str]) -> object:
    # numbers as the text of an array: the driver would convert them one by one
    return f"{{{','.join(map(str, values))}}}" if part.family == "integer" else values


def _among(facts: TableFacts) -> str:
    """The condition that is true for those rows of `_key_arrays` that are meant."""
    part = facts.key[0]
    if len(facts.key) == 1 and part.family != "binary":
        # not by way of text[]: what a text means to another type is known for a constant only
        return f"t.{quoted(part.name)} = ANY(%s::{part.sql_type}[]){condition(facts, 'AND')}"
    names = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
    given = ", ".join(_from_text(part, f"j.k{i}") for i, part in enumerate(facts.key))
    return f"({names}) IN (SELECT {given} FROM {_key_table(facts)}){condition(facts, 'AND')}"


def _key_table(facts: TableFacts, *more: str) -> str:
    arrays = [f"%s::{'bigint' if part.family == 'integer' else 'text'}[]" for part in facts.key]
    names = [f"k{i}" for i in range(len(facts.key))]
    return f"unnest({', '.join([*arrays, *['%s::text[]'] * len(more)])}) AS j({', '.join([*names, *more])})"


def _as_table(facts: TableFacts) -> str:
    return _key_table(facts, "old_value", "new_value")


def _swap(facts: TableFacts, changes: Sequence[Change], heads: Heads) -> tuple[str, list[object]]:
    """The statement that rewrites by putting one head in place of another, and its parameters."""
    old, new = heads
    column = quoted(facts.column)
    return (
        # no cast to the column's type: an explicit one would cut an overlong value silently
        f"UPDATE {_table(facts.table)} t SET {column} = %s::text || substr({column}::text, %s)"
        f' WHERE {_among(facts)} AND left(t.{column}::text, %s) COLLATE "C" = %s',
        [new, len(old) + 1, *_key_arrays(facts, changes), len(old), old],
    )


def _update(facts: TableFacts, changes: Sequence[Change]) -> tuple[str, list[object]]:
    """The statement that rewrites values one by one, and its parameters."""
    column = quoted(facts.column)
    return (
        # no cast to the column's type: an explicit one would cut an overlong value silently
        f"UPDATE {_table(facts.table)} t SET {column} = j.new_value FROM {_as_table(facts)}"
        # a nondeterministic collation would call other bytes equal; "C" compares the bytes
        f' WHERE {_on(facts)} AND t.{column}::text COLLATE "C" = j.old_value COLLATE "C"{condition(facts, "AND")}',
        [*_key_arrays(facts, changes), [change.old for change in changes], [change.new for change in changes]],
    )


def _on(facts: TableFacts) -> str:
    return " AND ".join(f"t.{quoted(part.name)} = {_from_text(part, f'j.k{i}')}" for i, part in enumerate(facts.key))
