"""Read what preflight checks from MariaDB and MySQL, with column rights alone if possible."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar, Final, NamedTuple

from ....checks import Check, Status, stop, unknown, warn
from ....codes import Code
from ....config.settings import Database
from ....errors import Finding
from ....mapping.value_map import ValueMap
from ... import journal
from ...dialect import Change, DatabaseError, Key, MissingRightError, Row, TableFacts
from ...inspector import (
    HIDDEN_RULE,
    SAMPLE_ROWS,
    SCAN_TIMEOUT_S,
    WHOLE_ROWS,
    Collision,
    ForeignKey,
    Hidden,
    RefusedByCheck,
    Rights,
    StatementPlan,
    Storage,
    UniqueIndex,
    Values,
)
from ...rights import columns_named
from ...server_checks import check_durable, check_version, check_writable
from ..base_inspector import READ_ONLY, BaseInspector, Senders, megabytes, self_join
from .constraints import CHECKS, WITHOUT_TRANSACTIONS, refusals_of
from .dialect import MySQL
from .expressions import as_sql, computed_from, in_collation, in_place, mentions
from .grants import holds_on_schema
from .session import Product
from .statements import as_text, condition, identifier, journal_table, key_list, quoted
from .visibility import Visibility

OLDEST: Final[Mapping[str, tuple[int, ...]]] = {"MariaDB": (10, 5), "MySQL": (8, 0)}
"""The dialect's statements need nothing newer (no JSON_TABLE, no VALUES ROW)."""

SMALL_PACKET: Final = 1024**2
BINLOG_BYTES: Final = 600
"""Per rewritten row with ROW format and full images; measured for rows of 250 bytes."""

VARIABLES: Final = (
    "read_only",
    "super_read_only",
    "innodb_read_only",
    "log_bin",
    "binlog_format",
    "max_allowed_packet",
    "wsrep_on",
    "innodb_flush_log_at_trx_commit",
    "innodb_doublewrite",
)
WEAK: Final = {"innodb_flush_log_at_trx_commit": ("0", "2"), "innodb_doublewrite": ("OFF", "0", "DETECT_ONLY")}
"""Values with which a crash may undo what was committed. DETECT_ONLY notices a torn page and cannot repair it."""
BY_KEY: Final = ("system", "const", "eq_ref", "ref", "range")
"""Access types in EXPLAIN that use an index ("EXPLAIN output format", MySQL manual)."""
NOT_BY_KEY: Final = (
    *("ALL", "index", "index_merge", "ref_or_null", "fulltext", "unique_subquery", "index_subquery"),
    *("hash", "hash_ALL", "hash_index", "hash_range", "hash_index_merge"),
)
"""Those that read more than the rows of a key. The hashes are MariaDB's. Any other word is no access type."""
WRITABLE_SCHEMA: Final = "Let an administrator ALTER SCHEMA {table} READ ONLY = 0 for the time of the migration"
SHOWN_PLAN: Final = 100
"""How many characters are shown of a plan that cannot be interpreted."""


class _IndexPart(NamedTuple):
    """A part of an index.

    column: its column; empty if it is an expression
    sql: of what is indexed
    changes: whether it is the column, or computed from it
    """

    column: str
    words: str
    sql: str
    changes: bool


class MySQLInspector(BaseInspector):
    """Reads what preflight checks; `inspector.Inspector` documents the methods."""

    hides_columns = True
    ways_out: ClassVar = {
        **dict.fromkeys(("1015", "1290", "1792", "1836"), READ_ONLY),
        "3989": WRITABLE_SCHEMA,
        **dict.fromkeys(("1033", "1034", "1035", "1194", "1195"), "CHECK TABLE {table}, and repair or restore it"),
        **dict.fromkeys(("1099", "1100"), "End the LOCK TABLES of the session: a proxy or init_connect has sent it"),
        **dict.fromkeys(("1814", "1932"), "Bring the table's tablespace back (ALTER TABLE {table} IMPORT TABLESPACE)"),
        **dict.fromkeys(("1356", "1449"), "Correct the DEFINER of the view or trigger that the message names"),
        **dict.fromkeys(("1288", "1348", "1906", "3105"), "Name a column that can be changed, of a base table"),
        "1036": "Let an administrator make {table} writable again (innodb_force_recovery, tablespace encryption)",
        "1175": "Switch sql_safe_updates off for this user's sessions",
        "1665": "Set binlog_format to ROW or MIXED on the server",
    }
    judges: ClassVar = {
        **dict.fromkeys(("1015", "1290", "1792", "1836", "3989"), "read-only"),
        "1665": "binary log",
    }
    _database: MySQL

    def __init__(self, database: MySQL, settings: Database) -> None:
        super().__init__(database)
        self._schema = settings.name or ""
        self._named = settings.engine

    @property
    def _product(self) -> Product:
        return self._database.product

    # The server

    def server_checks(self, dry_run: bool) -> list[Check]:
        """Check the global variables, the replicas and Galera."""
        version, account = self._run("SELECT VERSION(), CURRENT_USER()")[0]
        names = ", ".join(["%s"] * len(VARIABLES))
        variables = dict(self._run(f"SHOW GLOBAL VARIABLES WHERE variable_name IN ({names})", VARIABLES))
        closed = [
            name
            for name in ("read_only", "super_read_only", "innodb_read_only")
            # newer servers know degrees of it, such as NO_LOCK
            if variables.get(name, "OFF") != "OFF"
        ]
        return [
            check_version(self._product, str(version), OLDEST[self._product]),
            *self._engine(str(version)),
            Check("database", "user", "pass", str(account)),
            self._writable(closed, dry_run),
            check_durable({name: variables[name] for name, value in WEAK.items() if variables.get(name) in value}),
            self._binlog(variables, dry_run),
            _packet(int(variables["max_allowed_packet"])),
            *self._replication(),
            _galera(variables.get("wsrep_on") == "ON"),
        ]

    def _engine(self, version: str) -> list[Check]:
        """Tell a server of the other product: Rehome goes by the server, and the setting is easily put right."""
        if self._named.lower() == self._product.lower():
            return []
        found = f"the server is {self._product} {version}, and rehome_database.engine says {self._named}"
        advice = f"Rehome goes by the server; set rehome_database.engine to {self._product.lower()} to have it right"
        return [Check("database", "engine", "info", found, advice)]

    def _writable(self, closed: Sequence[str], dry_run: bool) -> Check:
        """closed: the variables that say that the server takes no writes"""
        if closed or not self._database.has_read_only_schema():
            return check_writable(", ".join(closed), dry_run)
        way_out = WRITABLE_SCHEMA.replace("{table}", identifier(self._schema))
        return check_writable(f"the schema {self._schema} is READ ONLY", dry_run, way_out)

    def _binlog(self, variables: Mapping[str, str], dry_run: bool) -> Check:
        if variables.get("log_bin") != "ON":
            return Check("database", "binary log", "pass", "off")
        form = variables.get("binlog_format", "ROW")
        if form != "STATEMENT":
            return Check("database", "binary log", "pass", f"on, {form}: about {BINLOG_BYTES} bytes for each row")
        finding = Finding(
            "rehome_database",
            None,
            "the server's binlog_format is STATEMENT, which does not work with READ COMMITTED: it would refuse every "
            "chunk (error 1665)",
            "Set binlog_format to ROW or MIXED on the server",
            Code.UNSUITABLE_SERVER,
        )
        if dry_run:
            return warn("database", "binary log", finding.problem, finding.way_out, code=Code.UNSUITABLE_SERVER)
        return stop("database", "binary log", finding)

    def _replication(self) -> list[Check]:
        watch = "Name them in rehome_throttle.replicas, so that the rewrite pauses while one lags"
        try:
            count = self._database.count_replicas()
        except DatabaseError as error:
            # MySQL alone needs a right to tell
            advice = f"GRANT REPLICATION SLAVE ON *.* TO {self._account()} shows whether there are any. {watch}"
            checks = [unknown("database", "replicas", str(error), advice)]
        else:
            checks = [
                Check("database", "replicas", "info", f"{count} connected: they follow every chunk", watch)
                if count
                else Check("database", "replicas", "pass", "none is connected")
            ]
        return checks + self._primary()

    def _primary(self) -> list[Check]:
        """Tell a server that is a replica itself."""
        # MariaDB shows this to everyone; MySQL's statement needs REPLICATION CLIENT
        status = dict(self._run("SHOW GLOBAL STATUS WHERE variable_name = 'Slave_running'"))
        try:
            running = status["Slave_running"] == "ON" if status else bool(self._database.replica_status())
        except DatabaseError as error:
            advice = f"GRANT REPLICATION CLIENT ON *.* TO {self._account()} shows it; or see that it is the primary"
            return [unknown("database", "primary", f"whether this server is a replica: {error}", advice)]
        if not running:
            return []
        found = "this server is a replica of another: what is written here is not written there"
        return [warn("database", "primary", found, "Connect to the primary", code=Code.DATABASE_READ_ONLY)]

    # Rights

    def grant_to_see(self, table: str, column: str) -> str:
        """Return a GRANT of SELECT on the key and the column: both are hidden without it, or without an active role."""
        shown = (
            "SELECT 1 FROM information_schema.columns WHERE table_schema = %s AND table_name = %s AND column_name = %s"
        )
        role = self._through_role(lambda: bool(self._run(shown, (self._schema, table, column))))
        seen = self._visibility(table)
        definitions = "" if seen.sees_columns else f"; {seen.grant_definitions} shows all keys and columns"
        return f"Correct the name, or {role}{self._grant(table, ['<its key>', column], [])}{definitions}"

    def rights(self, facts: TableFacts) -> Rights:
        """Try each column with EXPLAIN, which checks rights whatever granted them (an active role, for example)."""
        read = [*(part.name for part in facts.key), facts.column, *facts.keep_columns]
        grant = self._grant(facts.table, read, [facts.column, *facts.keep_columns])
        missing = self._rights_missing(facts, read)
        if missing:
            grant = self._through_role(lambda: not self._rights_missing(facts, read)) + grant
        return Rights(tuple(missing), grant)

    def _rights_missing(self, facts: TableFacts, read: Sequence[str]) -> list[str]:
        table = quoted(facts.table)
        # no value of the column itself, which would need SELECT, too
        values = {facts.column: "''", **dict.fromkeys(facts.keep_columns, "CURRENT_TIMESTAMP")}
        return [
            *(f"SELECT on {name}" for name in read if self._denied(f"EXPLAIN SELECT {quoted(name)} FROM {table}")),
            *(
                f"UPDATE on {name}"
                for name, value in values.items()
                if self._denied(f"EXPLAIN UPDATE {table} SET {quoted(name)} = {value} WHERE 1 = 0")
            ),
        ]

    def _denied(self, statement: str) -> MissingRightError | None:
        """Return how the server denies a right to the statement. Raises DatabaseError for any other refusal."""
        try:
            self._run(statement)
        except MissingRightError as denied:
            return denied
        return None

    def _through_role(self, has_all: Callable[[], bool]) -> str:
        """Return how to make use of a role that has what is missing, followed by "or"; empty if there is none."""
        active = self._run("SELECT CURRENT_ROLE()")[0][0]
        try:
            role = next((name for name in self._inactive_roles() if self._with_role(name, has_all)), None)
        finally:
            # MySQL prints roles as they are written in SQL
            self._run(f"SET ROLE {active if self._product == 'MySQL' else identifier(active) if active else 'NONE'}")
        if role is None:
            return ""
        words = f"{self._account()} has the role {identifier(role)}, which has the rights, but is not active: "
        if self._product == "MySQL":
            return f"{words}SET DEFAULT ROLE {identifier(role)} TO {self._account()}; or "
        return f"{words}SET DEFAULT ROLE {identifier(role)} FOR {self._account()}; or "

    def _inactive_roles(self) -> list[str]:
        return [
            str(name)
            for (name,) in self._run(
                "SELECT DISTINCT role_name FROM information_schema.applicable_roles WHERE role_name NOT IN"
                " (SELECT role_name FROM information_schema.enabled_roles WHERE role_name IS NOT NULL)"
            )
        ]

    def _with_role(self, role: str, has_all: Callable[[], bool]) -> bool:
        try:
            self._run(f"SET ROLE {quoted(role)}")
        except DatabaseError:
            return False  # granted to the administration only, for example
        return has_all()

    def _grant(self, table: str, read: Sequence[str], written: Sequence[str]) -> str:
        rights = [f"SELECT ({', '.join(map(identifier, read))})"]
        rights += [f"UPDATE ({', '.join(map(identifier, written))})"] if written else []
        return f"GRANT {', '.join(rights)} ON {identifier(self._schema)}.{identifier(table)} TO {self._account()}"

    def may_create_journal(self, schema: str) -> bool:
        """Return whether SHOW GRANTS lists CREATE, SELECT and INSERT on the schema, for the user or an active role."""
        return all(self._holds(right, schema) for right in ("CREATE", "SELECT", "INSERT"))

    def journal_rights(self, schema: str, seen: bool) -> Rights:
        """Explain statements on the journal, or read SHOW GRANTS if this user does not see it."""
        grant = self.journal_grant(schema, seen)
        if not seen:
            rights = ("CREATE", "SELECT", "INSERT")
            return Rights(tuple(f"{right} on {schema}.*" for right in rights if not self._holds(right, schema)), grant)
        table, name = journal_table(schema), f"{schema}.{journal.TABLE}"
        statements = {"SELECT": f"EXPLAIN SELECT 1 FROM {table}", "INSERT": f"EXPLAIN INSERT INTO {table} () VALUES ()"}
        denials = {right: self._denied(text) for right, text in statements.items()}
        return Rights(tuple(f"{right} on {name} ({denied})" for right, denied in denials.items() if denied), grant)

    def journal_grant(self, schema: str, exists: bool) -> str:
        """Return one GRANT, the same whether the table exists or not."""
        return f"GRANT CREATE, SELECT, INSERT ON {identifier(schema)}.* TO {self._account()}"

    def _account(self) -> str:
        user, _, host = str(self._run("SELECT CURRENT_USER()")[0][0]).rpartition("@")
        return f"'{user}'@'{host}'"

    # The table

    def storage(self, facts: TableFacts) -> Storage:
        """Read information_schema.TABLES, and compare literals to learn what the collation ignores."""
        engine, rows, data, indexes = self._run(
            "SELECT engine, table_rows, data_length, index_length FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            (self._schema, facts.table),
        )[0]
        (collation,) = self._run(
            "SELECT collation_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s AND column_name = %s",
            (self._schema, facts.table, facts.column),
        )[0]
        size = f", {int(data or 0) // 1024**2:,} MiB and {int(indexes or 0) // 1024**2:,} MiB of indexes"
        return Storage(f"{engine}{size}", self._equality(str(collation)), int(rows) if rows is not None else None)

    def _equality(self, collation: str) -> str:
        ignored = self._run(
            # the collation itself compares a value with the same value plus a space, or in upper case
            f"SELECT _utf8mb4'a' COLLATE {collation} = _utf8mb4'a ' COLLATE {collation},"
            f" _utf8mb4'a' COLLATE {collation} = _utf8mb4'A' COLLATE {collation}"
            if collation.startswith("utf8mb4")
            else "SELECT NULL, NULL"
        )[0]
        same = [words for words, equal in zip(("trailing spaces", "case"), ignored, strict=True) if equal]
        return f"{collation}, which ignores {' and '.join(same)}" if same else collation

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        """Count in one scan. Look-alikes are those by utf8mb4_general_ci, whatever the column's collation."""
        text, old = self._texts(facts)
        size = "CHAR_LENGTH" if facts.length_unit == "characters" else "LENGTH"
        # compare the bytes of utf8mb4, whatever the column's own character set
        rows, exact, alike, longest = self._scan(
            f"COUNT(*), SUM({old}), SUM({text} COLLATE utf8mb4_general_ci LIKE %s ESCAPE '|'),"
            f" MAX(IF({old}, {size}(t.{quoted(facts.column)}), 0)) FROM {quoted(facts.table)} t"
            f"{condition(facts, 'WHERE')}",
            [_like(values.source_head)] * 3,
        )[0]
        return Values(int(rows), int(exact or 0), int(alike or 0) - int(exact or 0), int(longest or 0))

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        """Select by CHAR_LENGTH or LENGTH, as the column's limit is in characters or bytes."""
        text, old = self._texts(facts)
        size = "CHAR_LENGTH" if facts.length_unit == "characters" else "LENGTH"
        rows = self._scan(
            f"{text} FROM {quoted(facts.table)} t WHERE {old} AND {size}(t.{quoted(facts.column)}) > %s"
            f"{condition(facts, 'AND')} LIMIT {SAMPLE_ROWS}",
            [_like(values.source_head), than],
        )
        return [str(value) for (value,) in rows]

    @staticmethod
    def _texts(facts: TableFacts) -> tuple[str, str]:
        """Return SQL of the column as text, and of the test for an old value, whose parameter is the pattern."""
        text = f"CONVERT(t.{quoted(facts.column)} USING utf8mb4)"
        # LIKE compares by character, so that a PAD SPACE collation does not add trailing spaces
        return text, f"{text} COLLATE utf8mb4_bin LIKE %s ESCAPE '|'"

    def unique_indexes(self, facts: TableFacts) -> list[UniqueIndex]:
        """Return those of information_schema.STATISTICS: over the column, or over what is computed from it."""
        # MySQL alone has indexes over expressions
        expression = "expression" if self._product == "MySQL" else "NULL"
        rows = self._run(
            f"SELECT index_name, column_name, sub_part, {expression} FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = %s AND non_unique = 0 ORDER BY index_name, seq_in_index",
            (self._schema, facts.table),
        )
        made = self._generated_from(facts)
        found = []
        for name, parts in groupby(rows, key=lambda row: row[0]):
            columns = [self._part(facts, made, *part) for _, *part in parts]
            if not any(part.changes for part in columns):
                continue
            computed = any(part.sql != identifier(part.column) for part in columns)
            found.append(
                UniqueIndex(
                    name,
                    ", ".join(part.words for part in columns),
                    tuple(part.column for part in columns if part.column and part.column != facts.column),
                    expression=", ".join(part.sql for part in columns) if computed else None,
                )
            )
        return found

    def _part(
        self, facts: TableFacts, made: Mapping[str, str], column: str | None, length: int | None, expression: str | None
    ) -> _IndexPart:
        """Return a part of an index. made: the expressions of the columns that are computed from the column"""
        if column is None:
            sql = in_place(made, as_sql(str(expression), self._product))
            return _IndexPart("", sql, f"({sql})", mentions(sql, facts.column))
        whole = made.get(column, identifier(column))
        words = column if length is None else f"{column}({length})"
        sql = whole if length is None else f"LEFT({whole}, {length})"
        return _IndexPart(column, words, sql, column == facts.column or column in made)

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> list[Collision]:
        """Join the table with itself; for an index on a prefix or an expression, group by what it would contain."""
        column, table = quoted(facts.column), quoted(facts.table)
        text, old = self._texts(facts)
        pattern = _like(values.source_head)
        new = f"CONCAT(%s, SUBSTRING(t.{column}, {len(values.source_head) + 1}))"
        if index.expression is not None:
            # group what the table would hold: a group with more than one row, one of them rewritten, is a collision
            named = columns_named(index.expression, self._column_names(facts))
            kept = "".join(f", t.{quoted(name)}" for name in named if name != facts.column)
            old = f"({old}{condition(facts, 'AND')})"
            expression = index.expression.replace("%", "%%")
            rows = self._scan(
                f"MIN(x.was) FROM (SELECT IF({old}, {text}, NULL) AS was,"
                f" IF({old}, {new}, t.{column}) AS {column}{kept} FROM {table} t) AS x"
                # CONCAT is NULL if any of them is, and then there is no collision
                f" WHERE CONCAT({expression}) IS NOT NULL GROUP BY {expression}"
                f" HAVING COUNT(*) > 1 AND COUNT(x.was) > 0 LIMIT {SAMPLE_ROWS}",
                [pattern, pattern, values.target_head],
            )
            return [Collision(value, None) for (value,) in rows]
        source, same, itself = self_join(facts, index.others, quoted, table, condition(facts, "WHERE"))
        rows = self._scan(
            f"{text}, CONVERT(s.{column} USING utf8mb4) FROM {source} STRAIGHT_JOIN {table} s"
            f" ON s.{column} = {new}{same} WHERE {old} AND NOT ({itself}) LIMIT {SAMPLE_ROWS}",
            [values.target_head, pattern],
        )
        return [Collision(*row) for row in rows]

    def hidden(self, facts: TableFacts) -> Mapping[str, Hidden]:
        """Return what `Visibility` finds, by rights and by what the server shows."""
        return self._visibility(facts.table).hidden(self._indexed(facts))

    def _visibility(self, table: str) -> Visibility:
        return Visibility(self._run, self._product, (self._schema, table), self._account())

    def foreign_keys(self, facts: TableFacts) -> list[ForeignKey]:
        """Read information_schema.KEY_COLUMN_USAGE, which hides tables that this user may not read: see `hidden`.

        REFERENTIAL_CONSTRAINTS hides more: of a key that it does not show, `on_update` is HIDDEN.
        """
        where = (self._schema, facts.table, facts.column)
        found = self._run(
            "SELECT k.constraint_name, IF(k.referenced_table_schema = %s, k.referenced_table_name,"
            "  CONCAT(k.referenced_table_schema, '.', k.referenced_table_name)), k.referenced_column_name,"
            " IF(k.table_schema = %s, k.table_name, CONCAT(k.table_schema, '.', k.table_name)), k.column_name,"
            f" IFNULL(r.update_rule, '{HIDDEN_RULE}'), (SELECT COUNT(*) FROM information_schema.key_column_usage o"
            "  WHERE o.constraint_schema = k.constraint_schema AND o.constraint_name = k.constraint_name"
            "  AND o.table_name = k.table_name)"
            " FROM information_schema.key_column_usage k LEFT JOIN information_schema.referential_constraints r"
            "  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name"
            "  AND r.table_name = k.table_name"
            " WHERE (k.referenced_table_schema, k.referenced_table_name, k.referenced_column_name) = (%s, %s, %s)"
            "  OR (k.table_schema, k.table_name, k.column_name) = (%s, %s, %s) AND k.referenced_table_name IS NOT NULL",
            (self._schema, self._schema, *where, *where),
        )
        return [
            ForeignKey(name, f"{parent}.{parent_column}", f"{child}.{child_column}", rule, int(columns))
            for name, parent, parent_column, child, child_column, rule, columns in found
        ]

    def _indexed(self, facts: TableFacts) -> bool:
        """Return whether the column has an index: InnoDB needs one for a foreign key ("FOREIGN KEY constraints")."""
        return bool(
            self._run(
                "SELECT 1 FROM information_schema.statistics"
                " WHERE table_schema = %s AND table_name = %s AND column_name = %s",
                (self._schema, facts.table, facts.column),
            )
        )

    def _holds(self, right: str, schema: str) -> bool:
        """Return whether this user, or a role that is active, has a right in the whole schema."""
        return holds_on_schema([str(line) for (line,) in self._run("SHOW GRANTS")], right, schema)

    def lacks_parent(self, facts: TableFacts, values: ValueMap, key: ForeignKey) -> bool:
        """Search for one old value without a parent, for SCAN_TIMEOUT_S at most."""
        parent, _, parent_column = key.parent.rpartition(".")
        column = quoted(facts.column)
        _, old = self._texts(facts)
        return bool(
            self._scan(
                f"1 FROM {quoted(facts.table)} t WHERE {old}{condition(facts, 'AND')}"
                f" AND NOT EXISTS (SELECT 1 FROM {quoted(parent)} p WHERE"
                f" p.{quoted(parent_column)} = CONCAT(%s, SUBSTRING(t.{column}, {len(values.source_head) + 1})))"
                " LIMIT 1",
                [_like(values.source_head), values.target_head],
            )
        )

    def sample(self, facts: TableFacts, values: ValueMap) -> list[Row]:
        """Select with LIKE under a binary collation, with no order: the server stops at the limit."""
        _, old = self._texts(facts)
        rows = self._scan(
            f"{key_list(facts)}, t.{quoted(facts.column)} FROM {quoted(facts.table)} t"
            f" WHERE {old}{condition(facts, 'AND')} LIMIT {WHOLE_ROWS}",
            [_like(values.source_head)],
        )
        return [Row(tuple(row[:-1]), as_text(row[-1])) for row in rows]

    def unable_to_hold(self, facts: TableFacts, text: str) -> str | None:
        """Convert the text to the column's character set and back."""
        ((charset,),) = self._run(
            "SELECT character_set_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s AND column_name = %s",
            (self._schema, facts.table, facts.column),
        )
        ((holds,),) = self._run(
            f"SELECT CAST(CONVERT(CONVERT(%s USING {charset}) USING utf8mb4) AS BINARY)"
            " = CAST(CONVERT(%s USING utf8mb4) AS BINARY)",
            (text, text),
        )
        return None if holds else str(charset)

    def refused_by_checks(self, facts: TableFacts, values: ValueMap) -> list[RefusedByCheck]:
        """Evaluate the clauses of information_schema.CHECK_CONSTRAINTS, which hides them from some users."""
        checks = self._run(CHECKS[self._product], (self._schema, facts.table))
        names, made = self._column_names(facts), self._generated_from(facts)
        _, old = self._texts(facts)
        found = []
        for name, clause in checks:
            expression = in_place(made, as_sql(str(clause), self._product))
            columns = columns_named(expression, names)
            if facts.column in columns:
                statement, parameters = refusals_of(facts, values, expression, columns, old)
                row = self._scan(statement, [*parameters, _like(values.source_head)])[0]
                found.append(RefusedByCheck(str(name), int(row[0]), int(row[1] or 0), as_text(row[2])))
        return found

    def _column_names(self, facts: TableFacts) -> list[str]:
        return [name for name, *_ in self._columns(facts)]

    def _columns(self, facts: TableFacts) -> list[tuple[str, str | None, str | None]]:
        """Return name, collation and expression of the columns of the table that this user sees, in their order."""
        return [
            (str(name), collation, made)
            for name, collation, made in self._run(
                "SELECT column_name, collation_name, generation_expression FROM information_schema.columns"
                " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
                (self._schema, facts.table),
            )
        ]

    def _generated_from(self, facts: TableFacts) -> Mapping[str, str]:
        """Return the SQL of the columns that are computed from the column."""
        columns = self._columns(facts)
        made = dict[str, str]()
        changing = computed_from(facts.column, {name: text for name, _, text in columns})
        for name, collation, text in columns:
            if name in changing:
                # one may be computed from another before it
                sql = in_place(made, as_sql(str(text), self._product))
                made[name] = in_collation(f"({sql})", collation)
        return made

    def irreversible(self, facts: TableFacts) -> str | None:
        """Search for tables without transactions that a trigger names, or may name if it or its body is hidden."""
        visible = self._visibility(facts.table)
        if not facts.triggers and visible.sees_triggers:
            return None
        if not visible.sees_bodies and not visible.sees_schema:
            what = "the bodies of the triggers are" if visible.sees_triggers else "triggers are"
            return f"{what} hidden from this user, and so are tables that they may write to ({visible.grant_triggers})"
        bodies = self._run(
            "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE event_object_schema = %s"
            " AND event_object_table = %s AND event_manipulation = 'UPDATE'",
            (self._schema, facts.table),
        )
        lasting = [str(name) for (name,) in self._scan(WITHOUT_TRANSACTIONS, ())]
        for trigger, body in bodies:
            # a routine that the trigger calls may write anywhere
            hidden = not body or re.search(r"\bCALL\b", str(body), re.IGNORECASE)
            written = lasting if hidden else columns_named(str(body), lasting)
            if written:
                return f"the trigger {trigger} may write to {', '.join(written[:3])}, which has no transactions"
        if lasting and not visible.sees_triggers:
            shows = visible.grant_triggers
            return f"a trigger that is hidden from this user may write to {', '.join(lasting[:3])} ({shows})"
        return None

    def generated_columns(self, facts: TableFacts) -> Sequence[str]:
        """Return the columns of information_schema.COLUMNS whose expression mentions the column, or another of them."""
        return list(self._generated_from(facts))

    def other_checks(self, facts: TableFacts) -> list[Check]:
        """Check for system versioning (MariaDB) and partitions."""
        subject = f"{facts.table}.{facts.column}"
        ((kind,),) = self._run(
            "SELECT table_type FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (self._schema, facts.table),
        )
        if kind == "SYSTEM VERSIONED":
            found = "system-versioned: the table keeps the old version of every rewritten row, and doubles in size"
            checks = [
                warn(
                    subject,
                    "versions",
                    found,
                    "Provide the disk space, or drop the table's history afterwards",
                    code=Code.SERVER_PAYS,
                )
            ]
        else:
            checks = [Check(subject, "versions", "pass", "the table keeps no old versions")]
        parts = self._run(
            "SELECT DISTINCT partition_method, partition_expression FROM information_schema.partitions"
            " WHERE table_schema = %s AND table_name = %s AND partition_name IS NOT NULL",
            (self._schema, facts.table),
        )
        partitions = [f"by {method} ({expression})" for method, expression in parts]
        # never by the column itself: it would be part of every unique key, and the table would have no usable one
        return [*checks, Check(subject, "partitions", "pass", ", ".join(partitions) or "none")]

    def _statements(self, facts: TableFacts, after: Key, changes: Sequence[Change]) -> Senders:
        return {
            "read": self._read(facts, after),
            "lock": lambda: self._database.lock_and_compare(facts, changes, "old"),
            "update": lambda: self._database.swap_heads(facts, changes, ("", "")),
        }

    def _plan(self, name: str, facts: TableFacts, steps: Sequence[Mapping[str, Any]]) -> StatementPlan:
        on_table = [step for step in steps if step.get("table") in ("t", facts.table)]
        # MariaDB adds a filter by another index: `range|filter`
        access = [str(step.get("type")).partition("|")[0] for step in on_table]
        if not access or not set(access) <= {*BY_KEY, *NOT_BY_KEY}:
            # "Impossible WHERE", or "no matching row", in place of the table; or a plan in another form
            said = (str(step.get("Extra") or next(iter(step.values()), None)) for step in steps)
            return StatementPlan(name, "; ".join(" ".join(words.split())[:SHOWN_PLAN] for words in said), None)
        words = "; ".join(f"{step['type']} by {step.get('key') or 'no index'}" for step in on_table)
        sorts = any("filesort" in str(step.get("Extra")) for step in steps)
        by_key = set(access) <= set(BY_KEY) and not (name == "read" and sorts)
        return StatementPlan(name, words + (", sorted" if sorts else ""), by_key)

    def cost(self, facts: TableFacts, rows: int) -> str:
        """Estimate the growth of the binary log, if it is on."""
        ((log,),) = self._run("SELECT @@log_bin")
        return f"the binary log grows by about {megabytes(rows * BINLOG_BYTES)}" if log else "no binary log is written"

    def _scan(self, select: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run a SELECT, given without that keyword, which the server cancels after SCAN_TIMEOUT_S."""
        if self._product == "MariaDB":
            return self._run(f"SET STATEMENT max_statement_time = {SCAN_TIMEOUT_S} FOR SELECT {select}", values)
        return self._run(f"SELECT /*+ MAX_EXECUTION_TIME({SCAN_TIMEOUT_S * 1_000}) */ {select}", values)


def _like(head: str) -> str:
    """Return the LIKE pattern for values that begin with `head`. `|` escapes, as the default depends on sql_mode."""
    return re.sub(r"([|%_])", r"|\1", head) + "%"


def _packet(size: int) -> Check:
    status: Status = "pass" if size >= SMALL_PACKET else "warn"
    advice = "Set max_allowed_packet to 16M or more: chunks must stay small otherwise" if status == "warn" else ""
    return Check("database", "max_allowed_packet", status, f"{size:,} bytes", advice, code=Code.SERVER_PAYS)


def _galera(on: bool) -> Check:
    if not on:
        return Check("database", "Galera", "pass", "off")
    found = "on: conflicts with the application on other nodes appear as deadlocks at COMMIT, and are retried"
    return warn(
        "database", "Galera", found, "Connect to the node that the application writes to", code=Code.SERVER_PAYS
    )
