"""MariaDB (10.5 and later) and MySQL (8 and later), through PyMySQL."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import pymysql
from pymysql.constants import CLIENT

from ....config.settings import Database
from ....errors import Finding, RefusedError
from ... import journal
from ...dialect import (
    EXPLAINABLE,
    Change,
    ConnectionLostError,
    DatabaseError,
    Explained,
    Heads,
    JournalEntry,
    Key,
    KeyColumn,
    KeyFamily,
    Page,
    ReadOnlyError,
    RecordedEntry,
    RetryableError,
    Row,
    RowRefusedError,
    Side,
    TableFacts,
    UnknownColumnError,
    UnknownTableError,
    UnusableTableError,
    common_heads,
    separator,
)

DEADLOCK_OR_TIMEOUT: Final = {1205, 1213, 1020, 1969, 3024, 1637}
"""1020: the row changed since the snapshot; 1969 and 3024: the statement's time-out, of MariaDB and of MySQL."""
CONNECTION_LOST: Final = {0, 1053, 1927, 2006, 2013, 2014, 2055, 4031}
"""0 is PyMySQL's own, for a connection that is closed; 1053: shutting down; 1927: killed; 4031: idle for too long."""
READ_ONLY: Final = {1047, 1290, 1792, 1836, 3100}
"""1047: a Galera node that is not ready."""
ROW_REFUSED: Final = {1048, 1062, 1264, 1300, 1366, 1406, 1451, 1452, 1644, 3819, 4025}
"""Duplicate keys, values that do not fit, foreign keys, checks (3819 MySQL, 4025 MariaDB), and SIGNALs of triggers."""
SPAN_AT_MOST: Final = 2
"""How many keys a range may have for each that is meant. Beyond, a list of keys reads less."""
JOINED_ROWS: Final = 500
"""Rows of one derived table: each SELECT of a UNION takes stack space of the server's parser."""
FAMILIES: Final[Mapping[str, KeyFamily]] = {
    **dict.fromkeys(["tinyint", "smallint", "mediumint", "int", "bigint"], "integer"),
    **dict.fromkeys(["char", "varchar", "uuid", "date", "datetime", "timestamp", "decimal", "inet4", "inet6"], "text"),
    **dict.fromkeys(["binary", "varbinary"], "binary"),
}
TEXT_TYPES: Final = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext"}
PATIENCE_S: Final = 300
"""How long a server that is silent in the midst of a statement is waited for."""
SESSION: Final = (
    # Strict, or an overlong value is cut with a warning; nothing else, so that old zero dates stay as they are.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
    # Assigning a TIMESTAMP to itself must not pass through an hour that daylight saving repeats.
    "SET SESSION time_zone = '+00:00'",
    # No gap locks: the application may insert while a chunk is open.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    # In a conflict it is this tool that loses, not the application.
    "SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 10",
    # A chunk's values come back as one text.
    "SET SESSION group_concat_max_len = 1073741824",
)
SESSION_MARIADB: Final = (
    # A list of keys must stay a list: made into a subquery, it would be joined and lock what it reads.
    "SET SESSION in_predicate_conversion_threshold = 0",
    # What we may have lost must not hold its locks for hours.
    "SET SESSION idle_transaction_timeout = 15, max_statement_time = 60",
)
SESSION_MYSQL: Final = (
    # Else a long list of keys means a scan of the table.
    "SET SESSION range_optimizer_max_mem_size = 0",
    "SET SESSION wait_timeout = 120, max_execution_time = 60000",
)
NULL, FIELD_END, ROW_END = "\x1d", "\x1f", "\x1e"
"""What stands in a packed page for NULL, between key and value, and behind a row (ASCII's separators)."""


def quoted(name: str) -> str:
    """A SQL identifier, in a statement that the driver formats: `%` is doubled for it."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


class MySQL:
    """See `dialect.Dialect`."""

    def __init__(self, settings: Database, patience_s: int = PATIENCE_S) -> None:
        self._settings = settings
        self._patience_s = patience_s
        self._plans: list[Mapping[str, Any]] | None = None
        self._most_bytes = 0
        self._connection = self._open()
        self._prepare()

    def reconnect(self) -> None:
        self.close()
        self._connection = self._open()
        self._prepare()

    def _prepare(self) -> None:
        try:
            is_mariadb = "mariadb" in str(self._run("SELECT VERSION()")[0][0]).lower()
            for statement in (*SESSION, *(SESSION_MARIADB if is_mariadb else SESSION_MYSQL)):
                self._run(statement)
            # an oversized statement looks like a lost server; what is escaped may double
            self._most_bytes = int(self._run("SELECT @@max_allowed_packet")[0][0]) // 4
        except DatabaseError as error:
            raise RefusedError([_connection_finding(self._settings, error)]) from error

    @property
    def most_bytes(self) -> int:
        return self._most_bytes

    def is_read_only(self) -> bool:
        # reading it takes no right, and a connection to a replica is made as easily as one to the primary
        return str(self._run("SELECT @@global.read_only")[0][0]) not in ("0", "OFF")

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()

    def keep_alive(self) -> None:
        try:
            self._run("SELECT 1")
        except DatabaseError:
            with suppress(RefusedError, DatabaseError):
                self.reconnect()

    def named_rows(self, statement: str) -> list[dict[str, Any]]:
        """Run one statement; each row by the names of its columns."""
        with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
            self._execute(cursor, statement, ())
            return list(cursor.fetchall())

    def describe(self, table: str, column: str) -> TableFacts:
        found = self._run(
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
            for row in self._run(
                "SELECT column_name, data_type, character_maximum_length, column_type, collation_name, extra,"
                " is_nullable FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
                (self._settings.name, table),
            )
        }
        if column not in columns:
            raise UnknownColumnError(f"table {table} has no column {column}; it has {', '.join(columns)}")
        engine, table_type = found[0]
        if table_type not in ("BASE TABLE", "SYSTEM VERSIONED"):
            raise UnusableTableError(f"{table} is a {table_type}, and only base tables can be rewritten")
        if str(engine).lower() != "innodb":
            raise UnusableTableError(
                f"table {table} uses the engine {engine}, which has no transactions: a crash could leave it half "
                "rewritten and unrecorded"
            )
        kind, length, _, _, extra, _ = columns[column]
        if kind not in TEXT_TYPES:
            raise UnusableTableError(f"column {table}.{column} is of type {kind}, which holds no text")
        if "GENERATED" in str(extra).upper():
            raise UnusableTableError(f"column {table}.{column} is generated from others; name those instead")
        return TableFacts(
            table=table,
            column=column,
            key=self._key(table, column, columns),
            max_length=int(length) if length is not None else None,
            # CHARACTER_MAXIMUM_LENGTH of the TEXT family is in bytes, of CHAR and VARCHAR in characters
            length_unit="characters" if kind in ("char", "varchar") else "bytes",
            keep_columns=tuple(
                name for name, facts in columns.items() if "on update" in str(facts[4]).lower() and name != column
            ),
            triggers=self._triggers(table),
        )

    def _key(self, table: str, column: str, columns: Mapping[str, Sequence[Any]]) -> tuple[KeyColumn, ...]:
        indexes: dict[str, list[tuple[str, bool]]] = {}
        for index, name, part in self._run(
            "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = %s AND non_unique = 0"
            " ORDER BY index_name = 'PRIMARY' DESC, index_name, seq_in_index",
            (self._settings.name, table),
        ):
            usable = (
                name in columns
                and name != column
                and part is None
                and columns[name][0] in FAMILIES
                and columns[name][5] == "NO"
            )
            indexes.setdefault(index, []).append((name, usable))
        for parts in indexes.values():
            if all(usable for _, usable in parts):
                return tuple(self._key_column(name, columns[name]) for name, _ in parts)
        raise UnusableTableError(
            f"table {table} has no usable unique key: a primary key or a unique index without {column} itself, over "
            "columns that are NOT NULL and hold integers, decimals, texts, UUIDs, dates, addresses or binary ids"
        )

    @staticmethod
    def _key_column(name: str, facts: Sequence[Any]) -> KeyColumn:
        kind, length, column_type, collation, *_ = facts
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
        found = self._run(
            "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = %s"
            " AND event_object_table = %s AND event_manipulation = 'UPDATE'",
            (self._settings.name, table),
        )
        return tuple(name for (name,) in found)

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

    def page(self, facts: TableFacts, after: Key | None, limit: int) -> Page:
        # in a transaction: outside one, a proxy that splits reads from writes would ask a replica, which may be late
        with self.transaction():
            packed = self._packed_page(facts, after, limit) if len(facts.key) == 1 else None
            return packed if packed is not None else self._plain_page(facts, after, limit)

    def _plain_page(self, facts: TableFacts, after: Key | None, limit: int) -> Page:
        rows, values = _rows(facts, after)
        found = self._run(f"SELECT {_key_list(facts)}, t.{quoted(facts.column)} {rows} LIMIT %s", [*values, limit])
        return Page.of([Row(tuple(row[:-1]), _text(row[-1])) for row in found])

    def _packed_page(self, facts: TableFacts, after: Key | None, limit: int) -> Page | None:
        """The page as one text: for the driver, each row and each column of it costs more than for the server.

        None where the text cannot be told apart again: values that hold the separators, or more than the server packs.
        """
        rows, values = _rows(facts, after)
        key = _travelling(facts.key[0], "{}")
        text = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin"
        found = self._run(
            # GROUP_CONCAT promises no order, so the last key is asked for; of one column, it is the greatest
            f"SELECT COUNT(*), COUNT(v), {key.format('MAX(k)')}, GROUP_CONCAT({text.format(key.format('k'))},"
            f" '{FIELD_END}', IFNULL({text.format('v')}, '{NULL}'), '{ROW_END}' SEPARATOR '') FROM ("
            f"SELECT t.{quoted(facts.key[0].name)} AS k, t.{quoted(facts.column)} AS v {rows} LIMIT %s) page",
            [*values, limit],
        )
        return _unpacked(facts.key[0], *found[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._run("START TRANSACTION")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # a connection that is gone has rolled back already; the first error is the one to tell
            with suppress(pymysql.Error):
                self._connection.rollback()
            raise

    def lock(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        return self._values(facts, changes, "FOR UPDATE")

    def read(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        return self._values(facts, changes, "")

    def _values(self, facts: TableFacts, changes: Sequence[Change], locking: str) -> Mapping[Key, str | None]:
        found: dict[Key, str | None] = {}
        for part in _parts(facts, changes):
            rows, where, values = _rows_of(facts, part)
            read = self._run(
                f"SELECT {_key_list(facts)}, t.{quoted(facts.column)} FROM {rows} {where} {locking}", values
            )
            found.update((tuple(row[:-1]), _text(row[-1])) for row in read)
        return found

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        heads = common_heads(changes)
        # the operator's condition may be about the very value, and has been met by the rows that are locked
        locked = replace(facts, where=None)
        return (
            self.holds(facts, changes, "old")
            and (self.swap_heads(locked, changes, heads) if heads else self.update(locked, changes)) == len(changes)
            # always: triggers are hidden from users without the right to them
            and self.holds(locked, changes, "new")
        )

    def holds(self, facts: TableFacts, changes: Sequence[Change], side: Side) -> bool:
        """Lock the rows, and tell whether each of them holds what `changes` says, to the last byte."""
        return all(self._part_holds(facts, part, side) for part in _parts(facts, changes))

    def _part_holds(self, facts: TableFacts, changes: Sequence[Change], side: Side) -> bool:
        texts = [change.old if side == "old" else change.new for change in changes]
        mark = separator(texts)
        if mark is None:
            return False
        rows, where, values = _rows_of(facts, changes)
        ((count, found),) = self._run(
            # One text in place of rows, which PyMySQL takes apart in Python. In which order a range is read is not
            # promised; any but that of the keys is only a no.
            f"SELECT count(t.{quoted(facts.column)}), GROUP_CONCAT(t.{quoted(facts.column)} SEPARATOR '{mark}')"
            f" FROM {rows} {where} FOR UPDATE",
            values,
        )
        return bool(count == len(texts) and _text(found) == mark.join(texts))

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        column = quoted(facts.column)
        return sum(
            self._changed(
                f"UPDATE {_as_table(facts, part, values=True)} STRAIGHT_JOIN {quoted(facts.table)} t ON {_on(facts)}"
                f" SET t.{column} = j.new_value{_keeps(facts)}"
                # `=` follows the collation (case, accents, trailing spaces); the bytes decide
                f" WHERE CAST(CONVERT(t.{column} USING utf8mb4) AS BINARY) = CAST(j.old_value AS BINARY)",
                [value for change in part for value in (*change.key, change.old, change.new)],
            )
            for part in _slices(changes)
        )

    def swap_heads(self, facts: TableFacts, changes: Sequence[Change], heads: Heads) -> int:
        """Rewrite rows that are known to hold `old`; answers how many there were."""
        old, new = heads
        column = f"t.{quoted(facts.column)}"
        count = 0
        for part in _parts(facts, changes):
            rows, where, values = _rows_of(facts, part)
            # the parameters stand in the statement's order: a derived table comes before SET, a list of keys after it
            joined = len(facts.key) > 1
            head = [new, len(old) + 1]
            count += self._changed(
                f"UPDATE {rows} SET {column} = CONCAT(%s, SUBSTRING({column}, %s)){_keeps(facts)} {where}",
                [*values, *head] if joined else [*head, *values],
            )
        return count

    def refuses_update(self, facts: TableFacts) -> str | None:
        sets = ", ".join(f"{quoted(name)} = {quoted(name)}" for name in (facts.column, *facts.keep_columns))
        try:
            self._run(f"EXPLAIN UPDATE {quoted(facts.table)} SET {sets} WHERE 1 = 0")
            self._run(f"SELECT {_key_list(facts)} FROM {quoted(facts.table)} t WHERE 1 = 0 FOR UPDATE")
        except DatabaseError as refusal:
            return str(refusal)
        return None

    def claim(self, name: str) -> str | None:
        # the session waits, idle, for as long as objects are copied; a year is the most that MariaDB takes
        self._run("SET SESSION wait_timeout = 31536000")
        lock = f"rehome.{hashlib.sha256(name.encode()).hexdigest()[:40]}"  # MySQL takes 64 characters
        if self._run("SELECT GET_LOCK(%s, 0)", (lock,)) == [(1,)]:
            return None
        holder = self._run("SELECT IS_USED_LOCK(%s)", (lock,))[0][0]
        seen = self._run("SELECT host, user FROM information_schema.processlist WHERE id = %s", (holder,))
        return f"connection {holder}{f' of {seen[0][1]} from {seen[0][0]}' if seen else ''}"

    def has_journal(self, schema: str) -> bool:
        columns = self._run(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            (schema, journal.TABLE),
        )
        return journal.check_columns(f"{schema}.{journal.TABLE}", (name for (name,) in columns))

    def create_journal(self, schema: str) -> None:
        if not self._run("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (schema,)):
            self._run(f"CREATE DATABASE IF NOT EXISTS {quoted(schema)}")
        self._run(
            f"CREATE TABLE IF NOT EXISTS {_journal(schema)} ("
            " id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,"
            " chunk CHAR(32) CHARACTER SET ascii NOT NULL UNIQUE,"
            " migration VARCHAR(64) NOT NULL, fingerprint CHAR(64) NOT NULL, reference VARCHAR(255) NOT NULL,"
            " direction VARCHAR(8) NOT NULL, undoes BIGINT UNSIGNED,"
            " row_count INT UNSIGNED NOT NULL, first_key TEXT NOT NULL, last_key TEXT NOT NULL,"
            " entries LONGBLOB NOT NULL, sha256 CHAR(64) NOT NULL,"
            " written_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), written_by VARCHAR(255) NOT NULL,"
            " KEY migration (migration, id)"
            ") ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"
        )

    def append_journal(self, schema: str, entry: JournalEntry) -> None:
        self._run(journal.insert(_journal(schema), "%s"), entry)

    def journal_fingerprints(self, schema: str, migration: str) -> list[str]:
        return [row[0] for row in self._run(journal.select_fingerprints(_journal(schema), "%s"), (migration,))]

    def journalled_rows(self, schema: str, chunk: str) -> int | None:
        found = self._run(journal.select_row_count(_journal(schema), "%s"), (chunk,))
        return int(found[0][0]) if found else None

    def read_journal(self, schema: str, migration: str, before: int | None, limit: int) -> list[RecordedEntry]:
        statement = journal.select_entries(_journal(schema), "%s", all_of_them=before is None)
        values = [migration, limit] if before is None else [migration, before, limit]
        return [journal.recorded(row) for row in self._run(statement, values)]

    def _changed(self, statement: str, values: Sequence[object]) -> int:
        with self._connection.cursor() as cursor:
            self._execute(cursor, statement, values)
            return int(cursor.rowcount)

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            self._execute(cursor, statement, values)
            return list(cursor.fetchall())

    def _execute(self, cursor: pymysql.cursors.Cursor, statement: str, values: Sequence[object]) -> None:
        explained = self._plans is not None and statement.startswith(EXPLAINABLE)
        try:
            cursor.execute(f"EXPLAIN {statement}" if explained else statement, tuple(values))
            if self._plans is not None and explained:
                names = [part[0] for part in cursor.description or ()]
                self._plans += [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                raise Explained
        except pymysql.Error as error:
            raise _translated(error) from error

    def _open(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        settings = self._settings
        try:
            return pymysql.connect(
                host=settings.host or "localhost",
                port=settings.port or 3306,
                unix_socket=settings.socket,
                user=settings.user,
                # as UTF-8: PyMySQL would encode a text as Latin-1, which fails and tells what it failed on
                password=(settings.password or "").encode(),
                database=settings.name,
                charset="utf8mb4",
                # rows matched, not rows changed: a same-value update must not look like a lost one
                client_flag=CLIENT.FOUND_ROWS,
                autocommit=True,
                connect_timeout=10,
                read_timeout=self._patience_s,
                write_timeout=self._patience_s,
                ssl=_tls_context(settings),
                program_name="rehome",
            )
        except (pymysql.Error, OSError, UnicodeError) as error:
            raise RefusedError([_connection_finding(settings, error)]) from error


def _tls_context(settings: Database) -> ssl.SSLContext | None:
    if not settings.tls.enabled:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls.ca)
    except (OSError, ssl.SSLError) as error:
        finding = Finding(
            "rehome_database.tls.ca",
            settings.tls.ca,
            f"cannot be read as certificates ({error})",
            "Name a readable file of CA certificates in PEM form",
        )
        raise RefusedError([finding]) from error
    if not settings.tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.tls.cert:
        context.load_cert_chain(settings.tls.cert, settings.tls.key)
    return context


def _connection_finding(settings: Database, error: Exception) -> Finding:
    number = error.args[0] if error.args else None
    said = str(error.args[-1]) if error.args else str(error)
    where = settings.socket or f"{settings.host}:{settings.port or 3306}"
    match number:
        case 1045 | 1698:
            return Finding(
                "rehome_database.user",
                settings.user,
                f"the server at {where} refuses this user with this password",
                "Correct rehome_database.user and rehome_database.password (or DB_USER and DB_PASSWD)",
            )
        case 1044 | 1049:
            return Finding(
                "rehome_database.name",
                settings.name,
                f"the server at {where} has no such database for user {settings.user}",
                "Correct rehome_database.name (or DB_NAME), or grant the user access to it",
            )
        case 2003 | 2005 | 2002:
            return Finding(
                "rehome_database.host",
                where,
                f"no database server answers there ({said})",
                "Correct rehome_database.host and port (or DB_HOST), and see that the server runs and is not "
                "behind a firewall",
            )
    return Finding(
        "rehome_database",
        where,
        f"the connection failed ({said})",
        "Check host, port and TLS settings under rehome_database",
    )


def _translated(error: pymysql.Error) -> DatabaseError:
    number = error.args[0] if error.args else 0
    said = f"{error.args[-1] if error.args else error} (error {number})"
    if number in CONNECTION_LOST:
        return ConnectionLostError(f"the connection to the database was lost: {said}")
    if number in READ_ONLY:
        return ReadOnlyError(f"the database takes no writes now: {said}")
    if number in DEADLOCK_OR_TIMEOUT:
        return RetryableError(f"the database asks to try again: {said}")
    if number in ROW_REFUSED:
        return RowRefusedError(f"the database refuses the row: {said}")
    return DatabaseError(f"the database answered: {said}")


def _journal(schema: str) -> str:
    return f"{quoted(schema)}.{quoted(journal.TABLE)}"


def _text(value: str | bytes | None) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value


def _key_list(facts: TableFacts) -> str:
    """The key columns of `t` as they travel."""
    return ", ".join(_travelling(part, f"t.{quoted(part.name)}") for part in facts.key)


def _travelling(part: KeyColumn, term: str) -> str:
    return {"integer": "{}", "text": "CAST({} AS CHAR)", "binary": "HEX({})"}[part.family].format(term)


def _unpacked(part: KeyColumn, count: int, filled: int, last: int | str | None, packed: str | None) -> Page | None:
    """The page that a packed one says, or None where it cannot be told.

    count, filled: how many rows there are, and how many of them are not NULL
    """
    if last is None:
        return Page((), (), None) if count == 0 else None
    fields = (packed or "").replace(ROW_END, FIELD_END).split(FIELD_END)
    # cut texts lack their last separator, and values with separators have too many
    if len(fields) != 2 * count + 1 or fields.pop() != "":
        return None
    keys, values = fields[::2], fields[1::2]
    if values.count(NULL) != count - filled:
        return None
    return Page(
        [(int(key),) for key in keys] if part.family == "integer" else [(key,) for key in keys],
        [None if value == NULL else value for value in values] if filled < count else values,
        (last,),
    )


def condition(facts: TableFacts, before: str) -> str:
    """The operator's condition behind the word `before`, in a statement that the driver formats."""
    return f" {before} ({facts.where.replace('%', '%%')})" if facts.where else ""


def _rows(facts: TableFacts, after: Key | None) -> tuple[str, list[int | str]]:
    """The rows of `t` behind a key, in their order, from FROM on, with its parameters."""
    behind, values = ("true", []) if after is None else _behind(facts.key, after)
    order = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
    table = f"{quoted(facts.table)} t"
    return f"FROM {table} WHERE {behind}{condition(facts, 'AND')} ORDER BY {order}", values


def _behind(key: Sequence[KeyColumn], after: Key) -> tuple[str, list[int | str]]:
    """The rows behind a key. Spelt out, as MariaDB scans the whole index for `(a, b) > (x, y)`."""
    terms: list[str] = []
    values: list[int | str] = []
    for depth, part in enumerate(key):
        equal = [f"t.{quoted(before.name)} = {_placeholder(before)}" for before in key[:depth]]
        terms.append("(" + " AND ".join([*equal, f"t.{quoted(part.name)} > {_placeholder(part)}"]) + ")")
        values += after[: depth + 1]
    return f"({' OR '.join(terms)})", values


def _placeholder(part: KeyColumn) -> str:
    if part.family == "binary":
        return "UNHEX(%s)"
    # MySQL compares a text with a decimal as floating-point numbers ("Type Conversion in Expression Evaluation")
    return f"CAST(%s AS {part.sql_type})" if part.sql_type.startswith("DECIMAL") else "%s"


def _keeps(facts: TableFacts) -> str:
    return "".join(f", t.{quoted(name)} = t.{quoted(name)}" for name in facts.keep_columns)


def _slices(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    return (changes[start : start + JOINED_ROWS] for start in range(0, len(changes), JOINED_ROWS))


def _parts(facts: TableFacts, changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    """What one statement takes: a list of keys may be long, a join with a derived table not."""
    return [changes] if len(facts.key) == 1 else _slices(changes)


def _rows_of(facts: TableFacts, changes: Sequence[Change]) -> tuple[str, str, list[int | str]]:
    """Those rows of `changes` that are meant: what stands behind FROM, the condition, and the parameters."""
    table = f"{quoted(facts.table)} t"
    if len(facts.key) > 1:
        # STRAIGHT_JOIN: the rows are found from the list by their key; a scan would lock the whole table
        joined = f"{_as_table(facts, changes)} STRAIGHT_JOIN {table} ON {_on(facts)}"
        return joined, condition(facts, "WHERE"), [value for change in changes for value in change.key]
    part = facts.key[0]
    name = f"t.{quoted(part.name)}"
    if part.family == "integer":
        numbers = _numbers(name, [int(change.key[0]) for change in changes])
        return table, f"WHERE {numbers}{condition(facts, 'AND')}", []
    marks = ", ".join([_placeholder(part)] * len(changes))
    return table, f"WHERE {name} IN ({marks}){condition(facts, 'AND')}", [change.key[0] for change in changes]


def _numbers(name: str, keys: list[int]) -> str:
    """The condition that is true for these keys. Where they lie close together it is a range, read three times as fast
    as a list is, without those between them that are not meant."""
    first, last = min(keys), max(keys)
    if last - first >= SPAN_AT_MOST * len(keys):
        return f"{name} IN ({', '.join(map(str, keys))})"
    span = f"{name} BETWEEN {first} AND {last}"
    gaps = set(range(first, last + 1)).difference(keys)
    # `+ 0` hides the list from the range optimizer, which would cut the range into pieces at great cost
    return f"{span} AND {name} + 0 NOT IN ({', '.join(map(str, gaps))})" if gaps else span


def _as_table(facts: TableFacts, changes: Sequence[Change], values: bool = False) -> str:
    """A table `j` of the keys of `changes`, with old_value and new_value where the `values` are wanted too.

    No JSON_TABLE: MariaDB has it from 10.6 on. No VALUES: MariaDB and MySQL spell it differently.
    """
    terms = [_typed(part) for part in facts.key] + ["%s", "%s"] * values
    names = [f"k{i}" for i in range(len(facts.key))] + ["old_value", "new_value"] * values
    first = ", ".join(f"{term} AS {name}" for term, name in zip(terms, names, strict=True))
    more = f" UNION ALL SELECT {', '.join(terms)}" * (len(changes) - 1)
    return f"(SELECT {first}{more}) j"


def _typed(part: KeyColumn) -> str:
    """A parameter as a value of the key column's own type, so that its index is used."""
    if part.family == "binary":
        return f"CAST(UNHEX(%s) AS {part.sql_type})"
    charset, _, collation = part.sql_type.partition(" ")
    return f"CONVERT(%s USING {charset}) COLLATE {collation}" if collation else f"CAST(%s AS {part.sql_type})"


def _on(facts: TableFacts) -> str:
    return " AND ".join(f"t.{quoted(part.name)} = j.k{i}" for i, part in enumerate(facts.key))
