"""PostgreSQL (13 and later), through psycopg 3."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import psycopg

from ....config.settings import Database
from ....errors import RefusedError
from ... import journal
from ...control import ControlRow
from ...dialect import (
    Change,
    ConnectionLostError,
    DatabaseError,
    Expected,
    Key,
    KeyColumn,
    KeyFamily,
    LockHolder,
    RowBatch,
    TableFacts,
    Touched,
    UnknownTableError,
    UnusableTableError,
    common_heads,
    separator,
)
from ..base import BaseDialect, check_column, check_text, no_usable_key
from ..session import prepare_session, unusable_session
from . import session
from . import statements as sql
from .connection import UnsupportedError, cut_after_timeout, open_connection, translated
from .refused_connection import lost_finding, refused_finding

FAMILIES: Final[Mapping[str, KeyFamily]] = {
    **dict.fromkeys(["int2", "int4", "int8"], "integer"),
    **dict.fromkeys(["text", "varchar", "bpchar", "citext"], "text"),
    **dict.fromkeys(["uuid", "numeric", "date", "timestamp", "timestamptz", "inet", "cidr", "macaddr"], "text"),
    "bytea": "binary",
    "enum": "text",
}
TEXT_TYPES: Final = {"text", "varchar", "bpchar", "citext"}
FIRE_DEFERRED: Final = "SET CONSTRAINTS ALL IMMEDIATE"
"""Fires what would else fire at COMMIT, when nobody looks any more ("SET CONSTRAINTS" in PostgreSQL's manual)."""
MAX_CHUNK_BYTES: Final = 64 * 1024**2
"""A message may have a gigabyte. Chunks of this size are large enough."""


class PostgreSQL(BaseDialect):
    """An open connection; `dialect.Dialect` documents the methods. A table may be written with its schema."""

    locking = "FOR NO KEY UPDATE OF t"

    def __init__(self, settings: Database) -> None:
        super().__init__()
        self._settings = settings
        self._reaching: dict[str, bool] = {}
        self._locked_in: int | None = None
        self._connection = open_connection(settings)
        self._prepare()

    def reconnect(self) -> None:
        """Open a new connection, and set its run-time parameters again."""
        self._connection.close()
        self._connection = open_connection(self._settings)
        self._prepare()

    def _prepare(self) -> None:
        try:
            with cut_after_timeout(self._connection):
                wanted = session.variables(self._parameters(session.NAMES))
                prepare_session(self._settings, wanted, self._parameters, self._assign)
        except ConnectionLostError as error:
            # a pooler connects to the server only now
            raise RefusedError([lost_finding(self._settings, str(error))]) from error
        except DatabaseError as error:
            known = refused_finding(self._settings, str(error))
            raise RefusedError([known or unusable_session(self._settings, str(error))]) from error

    def _parameters(self, names: Collection[str]) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self.run(session.READ, (list(names),))}

    def _assign(self, values: Mapping[str, str]) -> None:
        assignments = ", ".join([session.ASSIGN] * len(values))
        self.run(f"SELECT {assignments}", [text for pair in values.items() for text in pair])

    def is_read_only(self) -> bool:
        """Return transaction_read_only, which is also on while a standby is in recovery."""
        return bool(self.run("SHOW transaction_read_only")[0][0] == "on")

    def session_id(self) -> int:
        """Return pg_backend_pid()."""
        return int(self.run("SELECT pg_backend_pid()")[0][0])

    def connection_limits(self) -> Mapping[str, int]:
        """Read the CONNECTION LIMIT of the role and of the database, and max_connections without what it reserves."""
        role, database, server = self.run(
            "SELECT r.rolconnlimit, d.datconnlimit, current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
            " - coalesce(current_setting('reserved_connections', true)::int, 0)"
            " FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()"
        )[0]
        return {
            "CONNECTION LIMIT of the role": role,
            "CONNECTION LIMIT of the database": database,
            "max_connections without the reserved ones": server,
        }

    @property
    def max_chunk_bytes(self) -> int:
        """A constant: the server's own limit is far above it."""
        return MAX_CHUNK_BYTES

    def close(self) -> None:
        """Close the connection; its advisory locks end with the session."""
        self._connection.close()

    def describe(self, table: str, column: str) -> TableFacts:
        """Read the facts from pg_catalog. Partitioned tables are usable, and a domain counts as its base type."""
        found = self.run(
            "SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = to_regclass(%s)", (sql.table_identifier(table),)
        )
        if not found:
            elsewhere = "".join(f"; {words}" for (words,) in self.run(sql.ELSEWHERE, (table,)))
            raise UnknownTableError(f"the database has no table {table} in this user's search path{elsewhere}")
        oid, kind = found[0]
        if kind not in ("r", "p"):
            raise UnusableTableError(f"{table} is not a table, and only tables can be rewritten")
        columns = {row[0]: row[1:] for row in self.run(sql.COLUMNS, (oid, oid))}
        check_column(table, column, columns)
        kind, modifier, _, _, generated = columns[column]
        check_text(table, column, kind, TEXT_TYPES, generated)
        triggers = self.run(
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
        for (names,) in self.run(
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
        families = " and hold integers, numerics, texts, enums, UUIDs, dates, addresses or binary ids"
        raise no_usable_key(table, column, families)

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        """Compare the key as a row value, which an index on its columns serves."""
        names = ", ".join(f"t.{sql.quoted(part.name)}" for part in facts.key)
        marks = ", ".join(sql.from_text(part, "%s") for part in facts.key)
        behind = f"({names}) > ({marks})" if after is not None else "true"
        # in a transaction: outside one, a proxy that splits reads from writes would ask a replica, which may lag
        with self.transaction():
            rows = self.run(
                f"SELECT {sql.key_list(facts)}, t.{sql.quoted(facts.column)}::text"
                f" FROM {sql.quoted_table(facts.table)} t WHERE {behind}{sql.condition(facts, 'AND')}"
                f" ORDER BY {names} LIMIT %s",
                [*(after or ()), limit],
            )
        return sql.row_batch(rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Use psycopg's transaction block; its errors are translated, those of COMMIT included."""
        try:
            with self._connection.transaction(force_rollback=self._rolls_back):
                yield
                if self._rolls_back:
                    # COMMIT checks deferred constraints, and runs their triggers; ROLLBACK does not
                    self.run(FIRE_DEFERRED)
        except psycopg.Error as error:
            raise translated(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """REPEATABLE READ: a row that another session changes meanwhile raises RetryableError."""
        with self.transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield

    def touched(self, facts: TableFacts) -> Touched | None:
        """Read the counters of this session, which no other session's work changes, if `MAY_REACH` finds a reason."""
        table = sql.table_identifier(facts.table)
        if table not in self._reaching:
            ((self._reaching[table],),) = self.run(sql.MAY_REACH, (table,))
        return Touched(*self.run(sql.TOUCHED, (table,))[0]) if self._reaching[table] else None

    def others(self, facts: TableFacts, changes: Sequence[Change]) -> tuple[int, int]:
        """Add up a hash of each row."""
        ((rows, total),) = self.run(sql.others(replace(facts, where=None)), sql.key_arrays(facts, changes))
        return int(rows), int(total)

    def _values(self, facts: TableFacts, changes: Sequence[Change], locking: str) -> Mapping[Key, str | None]:
        rows = self.run(
            f"SELECT {sql.key_list(facts)}, t.{sql.quoted(facts.column)}::text FROM {sql.quoted_table(facts.table)} t"
            f" WHERE {sql.among(facts)} {locking}",
            sql.key_arrays(facts, changes),
        )
        return {tuple(row[:-1]): row[-1] for row in rows}

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        """Rewrite and compare in one UPDATE … RETURNING; read again only if `MAY_ALTER` finds a reason."""
        texts = [change.new for change in changes]
        mark, table = separator(texts), sql.table_identifier(facts.table)
        if mark is None:
            return False
        counted = self._reaching.get(table, False)
        heads = common_heads(changes)
        if heads is None:
            update, values = sql.update_values(facts, changes)
        elif counted:
            # A BEFORE trigger may make the planned value out of another one than the planned: there the exact old value
            # is a condition. Its creation after the last look is seen as MAY_REACH.
            update, values = sql.swap_whole_values(facts, changes, heads, mark)
        else:
            update, values = sql.swap_heads(facts, changes, heads)
        try:
            ((count, found, may_alter, may_reach),) = self.run(
                # One statement, and no lock before it: a row that did not hold `old` does not become `new`, which the
                # result shows and ROLLBACK undoes. RETURNING sees what BEFORE triggers have made of a row.
                f"WITH rewritten AS ({update}"
                f" RETURNING {sql.numbered_keys(facts)}, t.{sql.quoted(facts.column)}::text AS v)"
                f" SELECT count(v), string_agg(v, %s ORDER BY {sql.key_numbers(facts)}),"
                f" ({sql.MAY_ALTER}), {'false' if counted else f'({sql.MAY_REACH})'}"
                " FROM rewritten",
                [*values, mark, *sql.may_alter_values(facts), *([] if counted else [table])],
            )
        except UnsupportedError:
            return False
        if may_reach:
            # a trigger was created meanwhile, so that nobody has counted
            self._reaching[table] = True
            return False
        if may_alter:
            self.run(FIRE_DEFERRED)
        if count != len(texts) or found != mark.join(texts):
            return False
        # the operator's condition may be about the very value, and has been met by the rows that are locked
        return not may_alter or self.lock_and_compare(replace(facts, where=None), changes, "new")

    def lock_and_compare(self, facts: TableFacts, changes: Sequence[Change], expected: Expected) -> bool:
        """Lock the rows, and return whether each of them holds the expected value, byte for byte."""
        texts = [change.old if expected == "old" else change.new for change in changes]
        mark = separator(texts)
        if mark is None:
            return False
        ((count, found),) = self.run(
            f"SELECT count(v), string_agg(v, %s ORDER BY {sql.key_numbers(facts)})"
            f" FROM (SELECT {sql.numbered_keys(facts)}, t.{sql.quoted(facts.column)}::text AS v"
            f" FROM {sql.quoted_table(facts.table)} t WHERE {sql.among(facts)} FOR NO KEY UPDATE OF t) AS locked",
            [mark, *sql.key_arrays(facts, changes)],
        )
        return bool(count == len(texts) and found == mark.join(texts))

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        """Update in one statement, with the changes as arrays, and let deferred triggers fire."""
        count = self._changed(*sql.update_values(facts, changes))
        self.run(FIRE_DEFERRED)
        return count

    def may_alter(self, facts: TableFacts) -> bool:
        """Return whether the values of rewritten rows may still differ from those that the UPDATE returned.

        Valid for the transaction that has rewritten them, as nobody can create a trigger until it ends. True if in
        doubt.
        """
        ((may,),) = self.run(sql.MAY_ALTER, sql.may_alter_values(facts))
        return bool(may)

    def update_refusal(self, facts: TableFacts) -> DatabaseError | None:
        """EXPLAIN the UPDATE and the SELECT … FOR NO KEY UPDATE, which checks the rights."""
        column, table = sql.quoted(facts.column), sql.quoted_table(facts.table)
        try:
            self.run(f"EXPLAIN UPDATE {table} SET {column} = {column} WHERE false")
            self.run(f"EXPLAIN SELECT {sql.key_list(facts)} FROM {table} t WHERE false FOR NO KEY UPDATE")
        except DatabaseError as refusal:
            return refusal
        return None

    def try_advisory_lock(self, name: str) -> LockHolder | None:
        """Take pg_try_advisory_lock with 64 bits of the name's digest."""
        # a lock of the session, which PgBouncer in transaction mode would pass on to another client
        ((taken, pid),) = self.run("SELECT pg_try_advisory_lock(%s), pg_backend_pid()", (_lock(name),))
        if taken:
            self._locked_in = pid
            return None
        return self.lock_holder(name) or LockHolder(0, "a connection that has just ended")

    def lock_holder(self, name: str) -> LockHolder | None:
        """Look for the lock's session in pg_locks."""
        number = _lock(name)
        high, low = number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF
        seen = self.run(
            "SELECT a.pid, a.usename, a.client_addr, a.backend_start"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted"
            " AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid",
            (high, low),
        )
        if not seen:
            return None
        pid, user, address, since = seen[0]
        words = f"connection {pid} of {user} from {address or 'this machine'}, since {since:%Y-%m-%d %H:%M:%S %Z}"
        return LockHolder(pid, words)

    def holds_advisory_lock(self, name: str) -> bool:
        """Return whether this is still the session that took the lock, which only its end releases."""
        return self.session_id() == self._locked_in

    def _journal_columns(self, schema: str) -> list[tuple[Any, ...]]:
        return self.run(
            # to_regclass would fail if this user has no right to the schema
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped"
            " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')",
            (schema, journal.TABLE),
        )

    def create_journal(self, schema: str) -> None:
        """Create the schema and the table, and the schema only if it is missing, which needs more rights."""
        if not self.run("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)):
            self.run(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(schema)}")
        self.run(
            f"CREATE TABLE IF NOT EXISTS {sql.journal_table(schema)} ("
            " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " chunk text NOT NULL UNIQUE, migration text NOT NULL, fingerprint text NOT NULL,"
            " reference text NOT NULL, direction text NOT NULL, undoes bigint,"
            " row_count integer NOT NULL, first_key text NOT NULL, last_key text NOT NULL,"
            " entries bytea NOT NULL, sha256 text NOT NULL,"
            " written_at timestamptz NOT NULL DEFAULT clock_timestamp(), written_by text NOT NULL)"
        )
        self.create_control(schema)

    def drop_journal(self, schema: str) -> None:
        """Drop the table, and the schema if pg_class has nothing else in it."""
        super().drop_journal(schema)
        others = self.run(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s",
            (schema,),
        )
        if not others[0][0]:
            self.run(f"DROP SCHEMA {sql.quoted(schema)}")

    def journal_table(self, schema: str) -> str:
        """Return the table's name, qualified with `schema`."""
        return sql.journal_table(schema)

    def control_table(self, schema: str) -> str:
        """Return the table's name, qualified with `schema`."""
        return sql.control_table(schema)

    def read_control(self, schema: str, migration: str) -> ControlRow | None:
        """Read in a transaction, which proxies that split reads from writes send to the primary."""
        with self.transaction():
            return super().read_control(schema, migration)

    def stored_form(self, user: str, password: str) -> str:
        """Return the SCRAM-SHA-256 verifier of a password, which the server keeps in its place. Nothing is sent."""
        return self._connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()

    def _changed(self, statement: str, values: Sequence[object]) -> int:
        with self._cursor() as cursor:
            self._execute(cursor, statement, values)
            return cursor.rowcount

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with psycopg's placeholders (%s), or explain it within `explaining`."""
        with self._cursor() as cursor:
            self._execute(cursor, statement, values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        try:
            # psycopg raises here if the connection is known to be lost
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            raise translated(error) from error

    def _execute(self, cursor: psycopg.Cursor[Any], statement: str, values: Sequence[object]) -> None:
        explained = self._is_explained(statement)
        cursor.execute(f"EXPLAIN (VERBOSE) {statement}" if explained else statement, tuple(values))
        if explained:
            self._keep_plan(cursor)


def _lock(name: str) -> int:
    """Return the number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"rehome {name}".encode()).digest()[:8], signed=True)
