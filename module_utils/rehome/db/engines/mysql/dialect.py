"""MariaDB (10.5 and later) and MySQL (8 and later), through PyMySQL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any, ClassVar, Final

import pymysql

from ....config.settings import Database
from ....errors import RefusedError
from ... import journal
from ...control import ControlRow
from ...dialect import (
    Change,
    DatabaseError,
    Expected,
    Heads,
    Key,
    KeyColumn,
    KeyFamily,
    LockHolder,
    Row,
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
from .connection import open_connection, translated
from .expressions import computed_from
from .refused_connection import server_finding

FAMILIES: Final[Mapping[str, KeyFamily]] = {
    **dict.fromkeys(["tinyint", "smallint", "mediumint", "int", "bigint"], "integer"),
    **dict.fromkeys(["char", "varchar", "uuid", "date", "datetime", "timestamp", "decimal", "inet4", "inet6"], "text"),
    **dict.fromkeys(["binary", "varbinary"], "binary"),
}
TEXT_TYPES: Final = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext"}
READ_TIMEOUT_S: Final = 300
UNKNOWN_STATEMENT: Final = "1064"
EXPLAIN: Final[Mapping[session.Product, str]] = {"MySQL": "EXPLAIN FORMAT=TRADITIONAL", "MariaDB": "EXPLAIN"}
"""MySQL's own format is what its administrator chose; MariaDB has one, without a name."""


class MySQL(BaseDialect):
    """An open connection; `dialect.Dialect` documents the methods.

    read_timeout_s: how long the server may be silent during a statement
    """

    locking = "FOR UPDATE"
    control_types: ClassVar[Mapping[str, str]] = {
        # a name is compared by its bytes, as everywhere else
        "name": "VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "short": "VARCHAR(255)",
        "long": "TEXT",
    }
    control_options = " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"

    def __init__(self, settings: Database, read_timeout_s: int = READ_TIMEOUT_S) -> None:
        super().__init__()
        self._settings = settings
        self._following: dict[str, bool] = {}
        self._read_timeout_s = read_timeout_s
        self._max_chunk_bytes = 0
        self._product: session.Product = "MySQL"
        self._connection = open_connection(settings, read_timeout_s)
        self._prepare()

    def reconnect(self) -> None:
        """Open a new connection, and set its session variables again."""
        self.close()
        self._connection = open_connection(self._settings, self._read_timeout_s)
        self._prepare()

    def _prepare(self) -> None:
        try:
            self.run(session.FIRST)
            known = self._variables(session.READ)
            self._product = session.product(known)
            prepare_session(self._settings, session.variables(known), self._variables, self._assign)
            # an oversized statement looks like a lost connection; escaping may double the text
            self._max_chunk_bytes = int(known["max_allowed_packet"]) // 4
        except DatabaseError as error:
            # an expired password is told at the first statement only
            finding = server_finding(self._settings, error.code, str(error))
            raise RefusedError([finding or unusable_session(self._settings, str(error))]) from error

    def _variables(self, names: Collection[str]) -> Mapping[str, str]:
        return dict(self.run("SHOW SESSION VARIABLES WHERE Variable_name IN %s", (tuple(names),)))

    def _assign(self, values: Mapping[str, str]) -> None:
        # DEFAULT is a word of the language; all other values may be quoted, but numbers must not be
        given = {name: int(value) if value.isdigit() else value for name, value in values.items() if value != "DEFAULT"}
        assignments = ", ".join(f"{name} = {'%s' if name in given else 'DEFAULT'}" for name in values)
        self.run(f"SET SESSION {assignments}", list(given.values()))

    @property
    def product(self) -> session.Product:
        """Whose server it is."""
        return self._product

    @property
    def max_chunk_bytes(self) -> int:
        """A quarter of max_allowed_packet, as it was when the connection was opened."""
        return self._max_chunk_bytes

    def is_read_only(self) -> bool:
        """Return whether the global variable read_only or innodb_read_only is on, or the database is read-only."""
        # needs no right; a name or proxy may have led the connection to a replica (Aurora's have the second alone)
        closed = self.run("SELECT @@global.read_only, @@global.innodb_read_only")[0]
        return any(str(value) not in ("0", "OFF") for value in closed) or self.has_read_only_schema()

    def has_read_only_schema(self) -> bool:
        """Return whether somebody has made the connection's own database read-only (MySQL from 8.0.22 on)."""
        if self._product == "MariaDB":
            return False
        try:
            options = self.run(
                "SELECT options FROM information_schema.schemata_extensions WHERE schema_name = %s",
                (self._settings.name,),
            )
        except DatabaseError:
            return False  # an older server has no such table
        return any("READ ONLY=1" in str(option) for (option,) in options)

    def session_id(self) -> int:
        """Return CONNECTION_ID(), under a name: a proxy may answer the bare question itself."""
        return int(self.run("SELECT CONNECTION_ID() AS session_id")[0][0])

    def connection_limits(self) -> Mapping[str, int]:
        """Read max_user_connections, which is the account's own limit if it has one, and max_connections."""
        account, server = self.run("SELECT @@SESSION.max_user_connections, @@GLOBAL.max_connections")[0]
        return {"max_user_connections": int(account), "max_connections": int(server)}

    def hourly_limits(self) -> Mapping[str, int]:
        """Read the limits from SHOW CREATE USER, which everyone may see of themselves."""
        account = str(self.run("SHOW CREATE USER CURRENT_USER()")[0][0])
        return {name: int(limit) for name, limit in re.findall(r"(MAX_\w+_PER_HOUR) ([1-9]\d*)", account)}

    def close(self) -> None:
        """Close the connection; its advisory locks end with the session."""
        if self._connection.open:
            self._connection.close()

    def named_rows(self, *statements: str) -> list[dict[str, Any]]:
        """Run the first statement that this server knows; return its rows as mappings from column name to value."""
        for statement in statements[:-1]:
            try:
                return self._named_rows(statement)
            except DatabaseError as error:
                if error.code != UNKNOWN_STATEMENT:
                    raise
        return self._named_rows(statements[-1])

    def _named_rows(self, statement: str) -> list[dict[str, Any]]:
        with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
            self._execute(cursor, statement, ())
            return list(cursor.fetchall())

    def count_replicas(self) -> int:
        """Return how many replicas are connected to this server.

        MariaDB tells everyone. MySQL needs REPLICATION SLAVE for it, and raises MissingRightError without, unless it
        writes no binary log, which no replica can follow.
        """
        if self._product == "MariaDB":
            found = self.run("SHOW GLOBAL STATUS WHERE Variable_name = 'Slaves_connected'")
            return int(found[0][1]) if found else 0
        if not self.run("SELECT @@global.log_bin")[0][0]:
            return 0
        return len(self.named_rows("SHOW REPLICAS", "SHOW SLAVE HOSTS"))

    def replica_status(self) -> list[dict[str, Any]]:
        """Return the state of each channel by which this server is a replica; none if it is none."""
        return self.named_rows("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")

    def describe(self, table: str, column: str) -> TableFacts:
        """Read the facts from information_schema. Only InnoDB tables of the connection's own database are usable."""
        found = self.run(
            "SELECT engine, table_type FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (self._settings.name, table),
        )
        if not found:
            other = "; a table of another database is a migration of its own" if "." in table else ""
            raise UnknownTableError(
                f"database {self._settings.name} has no table {table} that this user can see{other}"
            )
        columns = {
            row[0]: row[1:]
            for row in self.run(
                "SELECT column_name, data_type, character_maximum_length, column_type, collation_name, extra,"
                " is_nullable, generation_expression FROM information_schema.columns"
                " WHERE table_schema = %s AND table_name = %s",
                (self._settings.name, table),
            )
        }
        check_column(table, column, columns)
        engine, table_type = found[0]
        if table_type not in ("BASE TABLE", "SYSTEM VERSIONED"):
            raise UnusableTableError(f"{table} is a {table_type}, and only base tables can be rewritten")
        if str(engine).lower() != "innodb":
            raise UnusableTableError(
                f"table {table} uses the engine {engine}, which has no transactions: a crash could leave it half "
                "rewritten and unrecorded"
            )
        kind, length, *_, expression = columns[column]
        # not by EXTRA: a default that is an expression is DEFAULT_GENERATED there
        check_text(table, column, kind, TEXT_TYPES, bool(expression))
        return TableFacts(
            table=table,
            column=column,
            key=self._key(table, column, columns),
            max_length=int(length) if length is not None else None,
            # CHARACTER_MAXIMUM_LENGTH of the TEXT family is in bytes, of CHAR and VARCHAR in characters
            length_unit="characters" if kind in ("char", "varchar") else "bytes",
            keep_columns=tuple(
                name for name, details in columns.items() if "on update" in str(details[4]).lower() and name != column
            ),
            triggers=self._triggers(table),
        )

    def _key(self, table: str, column: str, columns: Mapping[str, Sequence[Any]]) -> tuple[KeyColumn, ...]:
        indexes: dict[str, list[tuple[str, bool]]] = {}
        # what is computed from the column changes with it
        changing = {column, *computed_from(column, {name: details[6] for name, details in columns.items()})}
        for index, name, part in self.run(
            "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = %s AND non_unique = 0"
            " ORDER BY index_name = 'PRIMARY' DESC, index_name, seq_in_index",
            (self._settings.name, table),
        ):
            usable = (
                name in columns
                and name not in changing
                and part is None
                and columns[name][0] in FAMILIES
                and columns[name][5] == "NO"
            )
            indexes.setdefault(index, []).append((name, usable))
        for parts in indexes.values():
            if all(usable for _, usable in parts):
                return tuple(self.key_column(name, columns[name]) for name, _ in parts)
        families = " and hold integers, decimals, texts, UUIDs, dates, addresses or binary ids"
        raise no_usable_key(table, column, families, f" that this user sees{self._hidden_keys(table, indexes)}")

    def _hidden_keys(self, table: str, seen: Collection[str]) -> str:
        """Return in words the keys whose names this user sees, and whose columns MariaDB hides from it."""
        named = self.run(
            "SELECT constraint_name FROM information_schema.table_constraints WHERE table_schema = %s"
            " AND table_name = %s AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')",
            (self._settings.name, table),
        )
        names = ", ".join(sorted(str(name) for (name,) in named if name not in seen))
        return f" (hidden from it: {names})" if names else ""

    @staticmethod
    def key_column(name: str, details: Sequence[Any]) -> KeyColumn:
        """Return a column of a key. details: its type, its length, its type in full, its collation"""
        kind, length, column_type, collation, *_ = details
        if FAMILIES[kind] == "integer":
            return KeyColumn(name, "integer", "UNSIGNED" if "unsigned" in column_type else "SIGNED")
        if FAMILIES[kind] == "binary":
            return KeyColumn(name, "binary", f"BINARY({length})" if kind == "binary" else "BINARY")
        if kind == "decimal":
            return KeyColumn(name, "text", f"DECIMAL{column_type.removeprefix('decimal').partition(')')[0]})")
        if collation is None:
            return KeyColumn(name, "text", {"timestamp": "DATETIME(6)", "datetime": "DATETIME(6)"}.get(kind, kind))
        return KeyColumn(name, "text", f"{str(collation).split('_', 1)[0]} {collation}")

    def _triggers(self, table: str) -> tuple[str, ...]:
        found = self.run(
            "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = %s"
            " AND event_object_table = %s AND event_manipulation = 'UPDATE'",
            (self._settings.name, table),
        )
        return tuple(name for (name,) in found)

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        """Read the batch as one text if the key has one column and the text is unambiguous, else row by row."""
        # in a transaction: outside one, a proxy that splits reads from writes would ask a replica, which may lag
        with self.transaction():
            packed = self._packed_batch(facts, after, limit) if len(facts.key) == 1 else None
            return packed if packed is not None else self._plain_batch(facts, after, limit)

    def _plain_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        rows, values = sql.rows_after(facts, after)
        found = self.run(
            f"SELECT {sql.key_list(facts)}, t.{sql.quoted(facts.column)} {rows} LIMIT %s", [*values, limit]
        )
        return RowBatch.of([Row(tuple(row[:-1]), sql.as_text(row[-1])) for row in found])

    def _packed_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch | None:
        """Read the batch as one text, as each row and each column costs the driver more than the server.

        None if the text is ambiguous, because values contain the separators, or longer than the server packs.
        """
        rows, values = sql.rows_after(facts, after)
        key = sql.transferable(facts.key[0], "{}")
        text = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin"
        found = self.run(
            # GROUP_CONCAT guarantees no order, so the last key is selected too; of one column, it is the greatest
            f"SELECT COUNT(*), COUNT(v), {key.format('MAX(k)')}, GROUP_CONCAT({text.format(key.format('k'))},"
            f" '{sql.FIELD_END}', IFNULL({text.format('v')}, '{sql.NULL}'), '{sql.ROW_END}' SEPARATOR '') FROM ("
            f"SELECT t.{sql.quoted(facts.key[0].name)} AS k, t.{sql.quoted(facts.column)} AS v {rows} LIMIT %s) page",
            [*values, limit],
        )
        return sql.unpack_batch(facts.key[0], *found[0])

    def transaction(self) -> AbstractContextManager[None]:
        """Send START TRANSACTION and COMMIT, as the connection is in autocommit mode otherwise."""
        return self._transaction("START TRANSACTION")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.run(begin)
        try:
            yield
            self.run(self._end_of_transaction)
        except BaseException:
            # a lost connection has rolled back already; the first error is the one to report
            with suppress(pymysql.Error):
                self._connection.rollback()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """REPEATABLE READ, for this transaction only."""
        self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with self._transaction("START TRANSACTION WITH CONSISTENT SNAPSHOT"):
            yield

    def touched(self, facts: TableFacts) -> Touched | None:
        """Read the handler's counters of this session, of all tables, if a trigger's work may come back to the table.

        A trigger may not change the table that it fires for (error 1442), but another one whose rows a foreign key of
        this one follows. The counters count what the trigger did to that other table, in MySQL from 9.6 on also what
        the foreign key does. Whether there are triggers is not asked: they may be hidden from this user.
        """
        if not self._follows(facts):
            return None
        counts = {str(name).lower(): int(value) for name, value in self.run("SHOW SESSION STATUS LIKE 'Handler\\_%%'")}
        return Touched(changed=counts["handler_update"], deleted=counts["handler_delete"])

    def _follows(self, facts: TableFacts) -> bool:
        """Return whether rows of the table follow those of others, or whether that is hidden from this user."""
        if facts.table not in self._following:
            place = (self._settings.name, facts.table)
            rules = self.run(
                "SELECT constraint_name, update_rule, delete_rule FROM information_schema.referential_constraints"
                " WHERE constraint_schema = %s AND table_name = %s",
                place,
            )
            ((keys,),) = self.run(
                "SELECT COUNT(*) FROM information_schema.table_constraints WHERE constraint_type = 'FOREIGN KEY'"
                " AND table_schema = %s AND table_name = %s",
                place,
            )
            follows = any({update, delete} & {"CASCADE", "SET NULL"} for _, update, delete in rules)
            self._following[facts.table] = follows or keys > len(rules)
        return self._following[facts.table]

    def others(self, facts: TableFacts, changes: Sequence[Change]) -> tuple[int, int]:
        """Add up CRC-32 of each row."""
        table = replace(facts, where=None)
        rows, total = self.run(f"{sql.sums(table)} FROM {sql.quoted(facts.table)} t")[0]
        for part in sql.statement_parts(table, changes):
            own, where, values = sql.rows_of(table, part)
            count, crc = self.run(f"{sql.sums(table)} FROM {own} {where}", values)[0]
            rows, total = rows - count, total - crc
        return int(rows), int(total)

    def _values(self, facts: TableFacts, changes: Sequence[Change], locking: str) -> Mapping[Key, str | None]:
        found: dict[Key, str | None] = {}
        for part in sql.statement_parts(facts, changes):
            rows, where, values = sql.rows_of(facts, part)
            read = self.run(
                f"SELECT {sql.key_list(facts)}, t.{sql.quoted(facts.column)} FROM {rows} {where} {locking}", values
            )
            found.update((tuple(row[:-1]), sql.as_text(row[-1])) for row in read)
        return found

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        """Lock and compare the rows, rewrite them, and compare again, each in one statement per part.

        The second comparison locks nothing. A locking range asks for the row behind it as well, which is the first of
        the next chunk, and another connection holds that until its COMMIT.
        """
        heads = common_heads(changes)
        # the operator's condition may be about the very value, and has been met by the rows that are locked
        locked = replace(facts, where=None)
        return (
            self.lock_and_compare(facts, changes, "old")
            and (self.swap_heads(locked, changes, heads) if heads else self.update(locked, changes)) == len(changes)
            # always: triggers are hidden from users without the right to them
            and self._compare(locked, changes, "new", "")
        )

    def lock_and_compare(self, facts: TableFacts, changes: Sequence[Change], expected: Expected) -> bool:
        """Lock the rows, and return whether each of them holds the expected value, byte for byte."""
        return self._compare(facts, changes, expected, self.locking)

    def _compare(self, facts: TableFacts, changes: Sequence[Change], expected: Expected, locking: str) -> bool:
        parts = sql.statement_parts(facts, changes)
        return all(self._compare_part(facts, part, expected, locking) for part in parts)

    def _compare_part(self, facts: TableFacts, changes: Sequence[Change], expected: Expected, locking: str) -> bool:
        texts = [change.old if expected == "old" else change.new for change in changes]
        mark = separator(texts)
        if mark is None:
            return False
        rows, where, values = sql.rows_of(facts, changes)
        ((count, found),) = self.run(
            # One text in place of rows, which PyMySQL parses in Python. The order in which a range is read is not
            # guaranteed; any order but that of the keys makes the result False, which is safe.
            f"SELECT count(t.{sql.quoted(facts.column)}), GROUP_CONCAT(t.{sql.quoted(facts.column)} SEPARATOR '{mark}')"
            f" FROM {rows} {where} {locking}",
            values,
        )
        return bool(count == len(texts) and sql.as_text(found) == mark.join(texts))

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        """Update by a join with a derived table of the changes, in slices."""
        column = sql.quoted(facts.column)
        return sum(
            self._changed(
                f"UPDATE {sql.as_table(facts, part, values=True)} STRAIGHT_JOIN {sql.quoted(facts.table)} t"
                f" ON {sql.same_key(facts)} SET t.{column} = j.new_value{sql.kept_columns(facts)}"
                # `=` would follow the collation (case, accents, trailing spaces); the bytes decide
                f" WHERE CAST(CONVERT(t.{column} USING utf8mb4) AS BINARY) = CAST(j.old_value AS BINARY)",
                [value for change in part for value in (*change.key, change.old, change.new)],
            )
            for part in sql.slices(changes)
        )

    def swap_heads(self, facts: TableFacts, changes: Sequence[Change], heads: Heads) -> int:
        """Rewrite rows that are known to hold `old`, replacing the head of their values. Return their number."""
        old, new = heads
        column = f"t.{sql.quoted(facts.column)}"
        count = 0
        for part in sql.statement_parts(facts, changes):
            rows, where, values = sql.rows_of(facts, part)
            # parameters in the order of the statement: a derived table comes before SET, a list of keys after it
            joined = len(facts.key) > 1
            head = [new, len(old) + 1]
            count += self._changed(
                f"UPDATE {rows} SET {column} = CONCAT(%s, SUBSTRING({column}, %s)){sql.kept_columns(facts)} {where}",
                [*values, *head] if joined else [*head, *values],
            )
        return count

    def update_refusal(self, facts: TableFacts) -> DatabaseError | None:
        """EXPLAIN an UPDATE, and run a SELECT … FOR UPDATE that finds no row: both check the rights."""
        sets = ", ".join(f"{sql.quoted(name)} = {sql.quoted(name)}" for name in (facts.column, *facts.keep_columns))
        try:
            self.run(f"EXPLAIN UPDATE {sql.quoted(facts.table)} SET {sets} WHERE 1 = 0")
            self.run(f"SELECT {sql.key_list(facts)} FROM {sql.quoted(facts.table)} t WHERE 1 = 0 FOR UPDATE")
        except DatabaseError as refusal:
            return refusal
        return None

    def try_advisory_lock(self, name: str) -> LockHolder | None:
        """Take GET_LOCK with a digest of the name, and raise wait_timeout so that the idle session keeps it."""
        # the session is idle for as long as objects are copied
        self.run(f"SET SESSION wait_timeout = {session.LOCK_WAIT_TIMEOUT_S}")
        if self.run("SELECT GET_LOCK(%s, 0)", (_lock(name),)) == [(1,)]:
            return None
        return self.lock_holder(name) or LockHolder(0, "a connection that has just ended")

    def lock_holder(self, name: str) -> LockHolder | None:
        """Ask IS_USED_LOCK, and the process list for its user and host."""
        holder = int(self.run("SELECT IS_USED_LOCK(%s)", (_lock(name),))[0][0] or 0)
        if not holder:
            return None
        seen = self.run("SELECT host, user FROM information_schema.processlist WHERE id = %s", (holder,))
        return LockHolder(holder, f"connection {holder}{f' of {seen[0][1]} from {seen[0][0]}' if seen else ''}")

    def holds_advisory_lock(self, name: str) -> bool:
        """Compare the session that uses the lock with this one."""
        return self.run("SELECT IS_USED_LOCK(%s) = CONNECTION_ID()", (_lock(name),)) == [(1,)]

    def _journal_columns(self, schema: str) -> list[tuple[Any, ...]]:
        return self.run(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            (schema, journal.TABLE),
        )

    def create_journal(self, schema: str) -> None:
        """Create the database and the table, and the database only if it is missing, which needs more rights."""
        if not self.run("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (schema,)):
            self.run(f"CREATE DATABASE IF NOT EXISTS {sql.quoted(schema)}")
        self.run(
            f"CREATE TABLE IF NOT EXISTS {sql.journal_table(schema)} ("
            " id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,"
            " chunk CHAR(32) CHARACTER SET ascii NOT NULL UNIQUE,"
            " migration VARCHAR(64) NOT NULL, fingerprint CHAR(64) NOT NULL, reference VARCHAR(255) NOT NULL,"
            " direction VARCHAR(8) NOT NULL, undoes BIGINT UNSIGNED,"
            " row_count INT UNSIGNED NOT NULL, first_key TEXT NOT NULL, last_key TEXT NOT NULL,"
            " entries LONGBLOB NOT NULL, sha256 CHAR(64) NOT NULL,"
            " written_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), written_by VARCHAR(255) NOT NULL,"
            " KEY migration (migration, id)"
            f"){self.control_options}"
        )
        self.create_control(schema)

    def drop_journal(self, schema: str) -> None:
        """Drop the table, and the database if no other table is in it."""
        super().drop_journal(schema)
        others = self.run("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s", (schema,))
        if not others[0][0]:
            self.run(f"DROP DATABASE {sql.quoted(schema)}")

    def journal_table(self, schema: str) -> str:
        """Return the table's name in the database `schema`."""
        return sql.journal_table(schema)

    def control_table(self, schema: str) -> str:
        """Return the table's name in the database `schema`."""
        return sql.control_table(schema)

    def read_control(self, schema: str, migration: str) -> ControlRow | None:
        """Read in a transaction, which proxies that split reads from writes send to the primary."""
        with self.transaction():
            return super().read_control(schema, migration)

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with PyMySQL's placeholders (%s), or explain it within `explaining`."""
        with self._connection.cursor() as cursor:
            self._execute(cursor, statement, values)
            return list(cursor.fetchall())

    def _changed(self, statement: str, values: Sequence[object]) -> int:
        with self._connection.cursor() as cursor:
            self._execute(cursor, statement, values)
            return int(cursor.rowcount)

    def _execute(self, cursor: pymysql.cursors.Cursor, statement: str, values: Sequence[object]) -> None:
        explained = self._is_explained(statement)
        try:
            cursor.execute(f"{EXPLAIN[self._product]} {statement}" if explained else statement, tuple(values))
            if explained:
                self._keep_plan(cursor)
        except pymysql.Error as error:
            raise translated(error) from error


def _lock(name: str) -> str:
    """Return the name of an advisory lock, of which MySQL takes at most 64 characters."""
    return f"rehome.{hashlib.sha256(name.encode()).hexdigest()[:40]}"
