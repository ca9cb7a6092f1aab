"""What MariaDB and MySQL tell about themselves, with column rights alone where that is possible."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from ....checks import Check, Status, stop, unknown
from ....config.settings import Database
from ....errors import Finding
from ....mapping.value_map import ValueMap
from ...dialect import Change, DatabaseError, TableFacts
from ...inspector import (
    PATIENCE_S,
    SAMPLE,
    Collision,
    ForeignKey,
    Rights,
    StatementPlan,
    Storage,
    UniqueIndex,
    Unknown,
    Values,
)
from ...server_checks import check_version, check_writable
from .dialect import MySQL
from .statements import condition, quoted

OLDEST: Final[Mapping[str, tuple[int, ...]]] = {"MariaDB": (10, 5), "MySQL": (8, 0)}
"""The dialect's statements use nothing newer (no JSON_TABLE, no VALUES ROW)."""

SMALL_PACKET: Final = 1024**2
BINLOG_BYTES: Final = 600
"""Of one rewritten row with ROW format and full images; measured for rows of 250 bytes."""

VARIABLES: Final = (
    "read_only",
    "super_read_only",
    "innodb_read_only",
    "log_bin",
    "binlog_format",
    "max_allowed_packet",
    "wsrep_on",
    "version_comment",
)
BY_KEY: Final = ("system", "const", "eq_ref", "ref", "range")
"""Types of access in EXPLAIN that go by an index ("EXPLAIN output format", MySQL manual)."""


class MySQLInspector:
    """See `facts.Inspector`."""

    hides_columns = True

    def __init__(self, database: MySQL, settings: Database) -> None:
        self._database = database
        self._schema = settings.name or ""
        self._product = ""

    # The server

    def server_checks(self, dry_run: bool) -> list[Check]:
        version, mode, account = self._rows("SELECT VERSION(), @@SESSION.sql_mode, CURRENT_USER()")[0]
        names = ", ".join(["%s"] * len(VARIABLES))
        variables = dict(self._rows(f"SHOW GLOBAL VARIABLES WHERE variable_name IN ({names})", VARIABLES))
        self._product = "MariaDB" if "mariadb" in f"{version} {variables.get('version_comment')}".lower() else "MySQL"
        strict = "STRICT" in str(mode)
        closed = [name for name in ("read_only", "super_read_only", "innodb_read_only") if variables.get(name) == "ON"]
        return [
            check_version(self._product, str(version), OLDEST[self._product]),
            Check("database", "user", "pass", str(account)),
            Check("database", "sql_mode", "pass", f"{mode}, set by Rehome for its own connections")
            if strict
            else stop("database", "sql_mode", _not_strict(str(mode))),
            check_writable(", ".join(closed), dry_run),
            self._binlog(variables, dry_run),
            _packet(int(variables["max_allowed_packet"])),
            *self._replication(),
            _galera(variables.get("wsrep_on") == "ON"),
        ]

    def _binlog(self, variables: Mapping[str, str], dry_run: bool) -> Check:
        if variables.get("log_bin") != "ON":
            return Check("database", "binary log", "pass", "off")
        form = variables.get("binlog_format", "ROW")
        if form != "STATEMENT":
            return Check("database", "binary log", "pass", f"on, {form}: about {BINLOG_BYTES} bytes for each row")
        finding = Finding(
            "rehome_database",
            None,
            "the server's binlog_format is STATEMENT, which does not go with READ COMMITTED: it would refuse every "
            "chunk (error 1665)",
            "Set binlog_format to ROW or MIXED on the server",
        )
        if dry_run:
            return Check("database", "binary log", "warn", finding.problem, finding.way_out)
        return stop("database", "binary log", finding)

    def _replication(self) -> list[Check]:
        try:
            # MariaDB tells these to everyone; MySQL's own words need REPLICATION CLIENT and REPLICATION SLAVE
            status = dict(self._rows("SHOW GLOBAL STATUS WHERE variable_name IN ('Slaves_connected', 'Slave_running')"))
            if "Slaves_connected" not in status:
                status = {
                    "Slaves_connected": str(len(self._rows("SHOW REPLICAS"))),
                    "Slave_running": "ON" if self._rows("SHOW REPLICA STATUS") else "OFF",
                }
        except DatabaseError as error:
            return [unknown("database", "replicas", str(error), "See rehome_throttle for how to hold back for them")]
        count = int(status["Slaves_connected"])
        checks = [
            Check("database", "replicas", "info", f"{count} connected: they follow every chunk", "Watch their lag")
            if count
            else Check("database", "replicas", "pass", "none is connected")
        ]
        if status.get("Slave_running") == "ON":
            found = "this server is a replica of another: what is written here is not written there"
            checks.append(Check("database", "primary", "warn", found, "Connect to the primary"))
        return checks

    # Rights

    def grant_to_see(self, table: str, column: str) -> str:
        return f"Correct the name, or {self._grant(table, ['<its key>', column], [])}"

    def rights(self, facts: TableFacts) -> Rights:
        read = [*(part.name for part in facts.key), facts.column, *facts.keep_columns]
        written = [facts.column, *facts.keep_columns]
        table = quoted(facts.table)
        missing = [f"SELECT on {name}" for name in read if self._refused(f"EXPLAIN SELECT {quoted(name)} FROM {table}")]
        missing += [
            f"UPDATE on {name}"
            for name in written
            if self._refused(f"EXPLAIN UPDATE {table} SET {quoted(name)} = DEFAULT WHERE 1 = 0")
        ]
        return Rights(tuple(missing), self._grant(facts.table, read, written))

    def _refused(self, statement: str) -> bool:
        try:
            self._rows(statement)
        except DatabaseError as error:
            return any(f"error {number}" in str(error) for number in (1142, 1143))
        return False

    def _grant(self, table: str, read: Sequence[str], written: Sequence[str]) -> str:
        rights = [f"SELECT ({', '.join(map(_named, read))})"]
        rights += [f"UPDATE ({', '.join(map(_named, written))})"] if written else []
        return f"GRANT {', '.join(rights)} ON {_named(self._schema)}.{_named(table)} TO {self._account()}"

    def may_create_journal(self, schema: str) -> bool:
        return self._holds("CREATE", schema)

    def journal_grant(self, schema: str, there: bool) -> str:
        return f"GRANT CREATE, SELECT, INSERT ON {_named(schema)}.* TO {self._account()}"

    def _account(self) -> str:
        user, _, host = str(self._rows("SELECT CURRENT_USER()")[0][0]).rpartition("@")
        return f"'{user}'@'{host}'"

    # The table

    def storage(self, facts: TableFacts) -> Storage:
        engine, rows, data, indexes = self._rows(
            "SELECT engine, table_rows, data_length, index_length FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            (self._schema, facts.table),
        )[0]
        (collation,) = self._rows(
            "SELECT collation_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s AND column_name = %s",
            (self._schema, facts.table, facts.column),
        )[0]
        size = f", {int(data or 0) // 1024**2:,} MiB and {int(indexes or 0) // 1024**2:,} MiB of indexes"
        return Storage(f"{engine}{size}", self._equality(str(collation)), int(rows) if rows is not None else None)

    def _equality(self, collation: str) -> str:
        told = self._rows(
            # a value is held against another with a space behind it, as the collation does
            f"SELECT _utf8mb4'a' COLLATE {collation} = _utf8mb4'a ' COLLATE {collation},"
            f" _utf8mb4'a' COLLATE {collation} = _utf8mb4'A' COLLATE {collation}"
            if collation.startswith("utf8mb4")
            else "SELECT NULL, NULL"
        )[0]
        same = [words for words, equal in zip(("trailing spaces", "case"), told, strict=True) if equal]
        return f"{collation}, which ignores {' and '.join(same)}" if same else collation

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        text, old = self._texts(facts)
        size = "CHAR_LENGTH" if facts.length_unit == "characters" else "LENGTH"
        # the bytes of utf8mb4, whatever the column's own character set
        rows, exact, alike, longest = self._patiently(
            f"COUNT(*), SUM({old}), SUM({text} COLLATE utf8mb4_general_ci LIKE %s ESCAPE '|'),"
            f" MAX(IF({old}, {size}(t.{quoted(facts.column)}), 0)) FROM {quoted(facts.table)} t"
            f"{condition(facts, 'WHERE')}",
            [_like(values.source_head)] * 3,
        )[0]
        return Values(int(rows), int(exact or 0), int(alike or 0) - int(exact or 0), int(longest or 0))

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        text, old = self._texts(facts)
        size = "CHAR_LENGTH" if facts.length_unit == "characters" else "LENGTH"
        rows = self._patiently(
            f"{text} FROM {quoted(facts.table)} t WHERE {old} AND {size}(t.{quoted(facts.column)}) > %s"
            f"{condition(facts, 'AND')} LIMIT {SAMPLE}",
            [_like(values.source_head), than],
        )
        return [str(value) for (value,) in rows]

    @staticmethod
    def _texts(facts: TableFacts) -> tuple[str, str]:
        """The column as text, and the test for an old value, which takes the pattern."""
        text = f"CONVERT(t.{quoted(facts.column)} USING utf8mb4)"
        # LIKE goes character by character, so that not even a PAD SPACE collation sees more than is there
        return text, f"{text} COLLATE utf8mb4_bin LIKE %s ESCAPE '|'"

    def unique_indexes(self, facts: TableFacts) -> list[UniqueIndex]:
        rows = self._rows(
            "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = %s AND non_unique = 0 ORDER BY index_name, seq_in_index",
            (self._schema, facts.table),
        )
        found = []
        for name, parts in groupby(rows, key=lambda row: row[0]):
            columns = {column: part for _, column, part in parts}
            if facts.column not in columns:
                continue
            words = ", ".join(f"{column}({part})" if part else str(column) for column, part in columns.items())
            others = tuple(column for column in columns if column != facts.column)
            part = columns[facts.column]
            found.append(UniqueIndex(name, words, others, None if part is None else int(part)))
        return found

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> list[Collision]:
        column, table = quoted(facts.column), quoted(facts.table)
        text, old = self._texts(facts)
        pattern = _like(values.source_head)
        new = f"CONCAT(%s, SUBSTRING(t.{column}, {len(values.source_head) + 1}))"
        if index.characters is not None:
            # what the whole table would hold; a group with a moved row in it and more than one row is a collision
            others = "".join(f", t.{quoted(name)}" for name in index.others)
            old = f"({old}{condition(facts, 'AND')})"
            some = f"MIN(IF({old}, {text}, NULL))"
            rows = self._patiently(
                f"{some} FROM {table} t WHERE t.{column} IS NOT NULL"
                f" GROUP BY LEFT(IF({old}, {new}, t.{column}), {index.characters}){others}"
                f" HAVING COUNT(*) > 1 AND {some} IS NOT NULL LIMIT {SAMPLE}",
                [pattern, pattern, values.target_head, pattern],
            )
            return [Collision(value, None) for (value,) in rows]
        same = "".join(f" AND s.{quoted(name)} = t.{quoted(name)}" for name in index.others)
        itself = " AND ".join(f"s.{quoted(part.name)} = t.{quoted(part.name)}" for part in facts.key)
        rows = self._patiently(
            f"{text}, CONVERT(s.{column} USING utf8mb4) FROM {_narrowed(facts, index.others)} STRAIGHT_JOIN {table} s"
            f" ON s.{column} = {new}{same} WHERE {old} AND NOT ({itself}) LIMIT {SAMPLE}",
            [values.target_head, pattern],
        )
        return [Collision(*row) for row in rows]

    def foreign_keys(self, facts: TableFacts) -> list[ForeignKey]:
        where = (self._schema, facts.table, facts.column)
        found = self._rows(
            "SELECT k.constraint_name, k.referenced_table_name, k.referenced_column_name, k.table_name, k.column_name,"
            " r.update_rule, (SELECT COUNT(*) FROM information_schema.key_column_usage o"
            "  WHERE o.constraint_schema = k.constraint_schema AND o.constraint_name = k.constraint_name"
            "  AND o.table_name = k.table_name)"
            " FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r"
            "  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name"
            "  AND r.table_name = k.table_name"
            " WHERE (k.referenced_table_schema, k.referenced_table_name, k.referenced_column_name) = (%s, %s, %s)"
            "  OR (k.table_schema, k.table_name, k.column_name) = (%s, %s, %s) AND k.referenced_table_name IS NOT NULL",
            (*where, *where),
        )
        keys = [
            ForeignKey(name, f"{parent}.{parent_column}", f"{child}.{child_column}", rule, int(columns))
            for name, parent, parent_column, child, child_column, rule, columns in found
        ]
        if not keys and self._indexed(facts) and not self._holds("SELECT", self._schema):
            raise DatabaseError(
                "foreign keys of tables that this user may not read are hidden from it; the column has an index, as "
                f"they need. {self._referential(facts)}"
            )
        return keys

    def _indexed(self, facts: TableFacts) -> bool:
        """InnoDB has no foreign key from or to a column without an index ("FOREIGN KEY constraints", both manuals)."""
        return bool(
            self._rows(
                "SELECT 1 FROM information_schema.statistics"
                " WHERE table_schema = %s AND table_name = %s AND column_name = %s",
                (self._schema, facts.table, facts.column),
            )
        )

    def _holds(self, right: str, schema: str) -> bool:
        """Whether this user has a right in the whole schema, as far as can be seen: rights by a role cannot."""
        return bool(
            self._rows(
                "SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = %s"
                " UNION SELECT 1 FROM information_schema.schema_privileges"
                " WHERE privilege_type = %s AND %s LIKE table_schema",
                (right, right, schema),
            )
        )

    def _referential(self, facts: TableFacts) -> str:
        """Constraints show more than their columns do."""
        found = self._rows(
            "SELECT constraint_name, table_name, referenced_table_name FROM information_schema.referential_constraints"
            " WHERE constraint_schema = %s AND %s IN (table_name, referenced_table_name)",
            (self._schema, facts.table),
        )
        told = ", ".join(f"{name} ({child} to {parent})" for name, child, parent in found)
        return f"These may be about it: {told}" if told else "An administrator can look"

    def lacks_parent(self, facts: TableFacts, values: ValueMap, key: ForeignKey) -> bool:
        parent, _, parent_column = key.parent.rpartition(".")
        column = quoted(facts.column)
        _, old = self._texts(facts)
        return bool(
            self._patiently(
                f"1 FROM {quoted(facts.table)} t WHERE {old}{condition(facts, 'AND')}"
                f" AND NOT EXISTS (SELECT 1 FROM {quoted(parent)} p WHERE"
                f" p.{quoted(parent_column)} = CONCAT(%s, SUBSTRING(t.{column}, {len(values.source_head) + 1})))"
                " LIMIT 1",
                [_like(values.source_head), values.target_head],
            )
        )

    def generated_columns(self, facts: TableFacts) -> Sequence[str] | Unknown:
        columns = self._rows(
            "SELECT column_name, generation_expression, privileges FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s",
            (self._schema, facts.table),
        )
        mention = re.compile(rf"(?<![\w$]){re.escape(facts.column)}(?![\w$])", re.IGNORECASE)
        found = [name for name, made, _ in columns if made and mention.search(made)]
        if not found and not self._sees_table(facts):
            return Unknown("columns that this user may not read are hidden from it")
        return found

    def _sees_table(self, facts: TableFacts) -> bool:
        """Whether SELECT is granted on the whole table, in what way ever: only then are all columns to be seen."""
        return not self._refused(f"EXPLAIN SELECT * FROM {quoted(facts.table)}")

    def other_checks(self, facts: TableFacts) -> list[Check]:
        subject = f"{facts.table}.{facts.column}"
        ((kind,),) = self._rows(
            "SELECT table_type FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (self._schema, facts.table),
        )
        if kind == "SYSTEM VERSIONED":
            found = "system-versioned: the table keeps the old version of every rewritten row, and doubles"
            checks = [Check(subject, "versions", "warn", found, "Have room for it, or drop its history afterwards")]
        else:
            checks = [Check(subject, "versions", "pass", "the table keeps no old versions")]
        parts = self._rows(
            "SELECT DISTINCT partition_method, partition_expression FROM information_schema.partitions"
            " WHERE table_schema = %s AND table_name = %s AND partition_name IS NOT NULL",
            (self._schema, facts.table),
        )
        told = [f"by {method} ({expression})" for method, expression in parts]
        # by the column itself cannot be: it would be in every unique key, and the table have none to be walked by
        return [*checks, Check(subject, "partitions", "pass", ", ".join(told) or "none")]

    def plans(self, facts: TableFacts) -> list[StatementPlan]:
        page = list(self._database.read_batch(facts, None, 3))
        if not page:
            return []
        changes = [Change(row.key, row.value or "", row.value or "") for row in page]
        return [
            self._plan("read", facts, lambda: self._database.read_batch(facts, page[0].key, 1_000)),
            self._plan("lock", facts, lambda: self._database.lock_and_compare(facts, changes, "old")),
            self._plan("update", facts, lambda: self._database.swap_heads(facts, changes, ("", ""))),
        ]

    def _plan(self, name: str, facts: TableFacts, send: Callable[[], object]) -> StatementPlan:
        try:
            with self._database.explaining() as plans:
                send()
        except DatabaseError as error:
            return StatementPlan(name, f"unknown: {error}", by_key=True)
        steps = [plan for plan in plans if plan.get("table") in ("t", facts.table)]
        words = "; ".join(f"{step['type']} by {step['key'] or 'no index'}" for step in steps)
        sorts = any("filesort" in str(step.get("Extra")) for step in plans)
        by_key = bool(steps) and all(step["type"] in BY_KEY for step in steps) and not (name == "read" and sorts)
        return StatementPlan(name, words + (", sorted" if sorts else ""), by_key)

    def cost(self, facts: TableFacts, rows: int) -> str:
        ((log,),) = self._rows("SELECT @@log_bin")
        return f"the binary log grows by about {_mib(rows * BINLOG_BYTES)}" if log else "no binary log is written"

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._database.rows(statement, values)

    def _patiently(self, select: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """A SELECT, without that word, that may take a while: the server ends it after PATIENCE_S."""
        if self._product == "MariaDB":
            return self._rows(f"SET STATEMENT max_statement_time = {PATIENCE_S} FOR SELECT {select}", values)
        return self._rows(f"SELECT /*+ MAX_EXECUTION_TIME({PATIENCE_S * 1_000}) */ {select}", values)


def _named(name: str) -> str:
    """A SQL identifier as people write it."""
    return "`" + name.replace("`", "``") + "`"


def _like(head: str) -> str:
    """The pattern of what begins with `head`. The escape is ours: the server's depends on its sql_mode."""
    return re.sub(r"([|%_])", r"|\1", head) + "%"


def _mib(count: float) -> str:
    return f"{count / 1024**2:,.0f} MiB" if count < 1024**3 else f"{count / 1024**3:,.1f} GiB"


def _not_strict(mode: str) -> Finding:
    return Finding(
        "rehome_database",
        None,
        f"the connection's sql_mode ({mode}) is not strict: too long a value would be cut without an error",
        "See that nothing between here and the server (a proxy, init_connect) sets another sql_mode",
    )


def _packet(size: int) -> Check:
    status: Status = "pass" if size >= SMALL_PACKET else "warn"
    advice = "Set max_allowed_packet to 16M or more: chunks must stay small otherwise" if status == "warn" else ""
    return Check("database", "max_allowed_packet", status, f"{size:,} bytes", advice)


def _galera(on: bool) -> Check:
    if not on:
        return Check("database", "Galera", "pass", "off")
    found = "on: conflicts with the application on other nodes show as deadlocks at COMMIT, and are tried again"
    return Check("database", "Galera", "warn", found, "Connect to the node that the application writes to")


def _narrowed(facts: TableFacts, others: Sequence[str]) -> str:
    """The rows that are meant, as a table `t` with key, column and `others`.

    Where another table stands beside it, the names in the operator's condition would be ambiguous.
    """
    names = dict.fromkeys([*(part.name for part in facts.key), facts.column, *others])
    columns = ", ".join(f"t.{quoted(name)}" for name in names)
    table = f"{quoted(facts.table)} t"
    return f"(SELECT {columns} FROM {table}{condition(facts, 'WHERE')}) t" if facts.where else table
