"""Read what preflight checks from PostgreSQL. Everyone may read its catalogs, but not the rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from ....checks import Check, stop, warn
from ....codes import Code
from ....errors import Finding
from ....mapping.value_map import ValueMap
from ... import journal
from ...dialect import Change, DatabaseError, Key, Row, TableFacts
from ...inspector import (
    SAMPLE_ROWS,
    SCAN_TIMEOUT_S,
    WHOLE_ROWS,
    Collision,
    ForeignKey,
    RefusedByCheck,
    Rights,
    StatementPlan,
    Storage,
    UniqueIndex,
    Values,
)
from ...server_checks import check_durable, check_version, check_writable
from ..base_inspector import READ_ONLY, BaseInspector, Senders, megabytes, self_join
from .constraints import CHECKS, refusals_of
from .statements import COLUMNS, condition, identifier, key_list, quoted, quoted_table, table_identifier

OLDEST: Final = (13,)

WEAK: Final = ["fsync", "full_page_writes"]
"""Parameters without which a crash may undo what was committed."""

WAL_BYTES, WAL_BYTES_INDEXED = 745, 925
"""Per rewritten row, without and with an index on the column; measured for rows of 250 bytes."""

ROLES_NOT_INHERITED: Final = """
SELECT rolname FROM pg_roles
WHERE pg_has_role(current_user, oid, 'MEMBER') AND NOT pg_has_role(current_user, oid, 'USAGE') ORDER BY 1
"""
"""The roles that this user may SET ROLE to, and whose rights it does not have until then."""

PUBLISHED_WITHOUT_IDENTITY: Final = """
WITH leaf AS (
    SELECT c.oid, c.relreplident FROM pg_class c WHERE c.relkind = 'r' AND (
        c.oid = to_regclass(%s) OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%s))))
)
SELECT leaf.oid::regclass::text, array_agg(DISTINCT p.pubname::text ORDER BY p.pubname::text) FROM leaf
JOIN pg_class c ON c.oid = leaf.oid OR c.oid IN (SELECT relid FROM pg_partition_ancestors(leaf.oid))
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_publication_tables t ON t.schemaname = n.nspname AND t.tablename = c.relname
JOIN pg_publication p ON p.pubname = t.pubname AND p.pubupdate
WHERE leaf.relreplident <> 'f' AND NOT EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = leaf.oid AND i.indisvalid AND i.indimmediate
    AND CASE leaf.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
) GROUP BY 1 ORDER BY 1
"""
"""The tables that hold the rows and whose updates are published, but that have no replica identity: the server refuses
every UPDATE of them ("Publication", section 31.1 of PostgreSQL's manual). A partition is published with its parents,
and needs an identity of its own."""

UNTRANSLATABLE: Final = ("22P05", "22021")
"""A character that the database's encoding lacks, or that is none in it."""

ON_UPDATE: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
"""pg_constraint.confupdtype."""


class PostgreSQLInspector(BaseInspector):
    """Reads what preflight checks; `inspector.Inspector` documents the methods."""

    hides_columns = False
    ways_out: ClassVar = {
        "55000": "If its updates are published, give {table} a replica identity (ALTER TABLE {table} REPLICA IDENTITY "
        "USING INDEX <a unique index>, or FULL), or take it out of the publication",
        "42P10": "Let the replica identity of {table} have the columns of the publication's WHERE, and its column list "
        "those of the replica identity",
        "25006": READ_ONLY,
        "428C9": "Name the columns that it is generated from in rehome_references instead",
    }
    judges: ClassVar = {"55000": "publications", "25006": "read-only"}

    # The server

    def server_checks(self, dry_run: bool) -> list[Check]:
        """Check the version, recovery, autovacuum, connected replicas and idle replication slots."""
        version, user, recovery, closed, autovacuum, replicas = self._run(
            "SELECT current_setting('server_version'), current_user, pg_is_in_recovery(),"
            " current_setting('transaction_read_only') = 'on', current_setting('autovacuum') = 'on',"
            " (SELECT count(*) FROM pg_stat_replication)"
        )[0]
        (may_lock,) = self._run("SELECT has_function_privilege('pg_try_advisory_lock(bigint)', 'EXECUTE')")[0]
        idle = self._run("SELECT slot_name FROM pg_replication_slots WHERE NOT active ORDER BY 1")
        off = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s) AND setting = 'off'"
        why = "in recovery" if recovery else "default_transaction_read_only" if closed else ""
        return [
            check_version("PostgreSQL", version, OLDEST),
            Check("database", "user", "pass", user),
            check_writable(why, dry_run),
            check_durable(dict(self._run(off, (WEAK,)))),
            Check("database", "lock", "pass", "this user may lock the migration against a second run")
            if may_lock
            else stop("database", "lock", self._no_lock()),
            Check("database", "autovacuum", "pass", "on")
            if autovacuum
            else warn(
                "database",
                "autovacuum",
                "off: every rewritten row leaves a dead tuple, and nothing removes them",
                "Turn it on, or VACUUM the table while the migration runs",
                code=Code.SERVER_PAYS,
            ),
            Check("database", "replicas", "info", f"{replicas} connected: they follow every chunk", "Watch their lag")
            if replicas
            else Check("database", "replicas", "pass", "none is connected"),
            warn(
                "database",
                "replication slots",
                f"{', '.join(name for (name,) in idle)}: nobody reads them, and the server keeps all its WAL for them",
                "Drop them, or reconnect their consumers, before the migration writes more WAL",
                code=Code.SERVER_PAYS,
            )
            if idle
            else Check("database", "replication slots", "pass", "none is idle"),
        ]

    # Rights

    def grant_to_see(self, table: str, column: str) -> str:
        """Return GRANTs of USAGE on the schema, which hides its tables without it, and of SELECT on the columns."""
        schema, dot, name = table.rpartition(".")
        may = (
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s"
            " AND (n.nspname = %s OR %s = '') AND has_schema_privilege(%s, n.oid, 'USAGE')"
            " AND has_any_column_privilege(%s, c.oid, 'SELECT')"
        )
        through = self._through_role(lambda role: bool(self._run(may, (name, schema, schema, role, role))))
        usage = f"GRANT USAGE ON SCHEMA {identifier(schema) if dot else '<its schema>'} TO {self._user()}; "
        grant = f"GRANT SELECT (<its key>, {identifier(column)}) ON {table_identifier(table)} TO {self._user()}"
        return f"Correct the name, or {through}{usage}{grant}"

    def rights(self, facts: TableFacts) -> Rights:
        """Check with has_column_privilege and has_schema_privilege, which include rights through inherited roles."""
        (user, schema), *_ = self._run(
            "SELECT current_user, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid = to_regclass(%s)",
            (table_identifier(facts.table),),
        )
        missing = self._rights_missing(facts, str(user), str(schema))
        usage = f"USAGE on schema {schema}"
        grant = f"GRANT USAGE ON SCHEMA {identifier(schema)} TO {self._user()}; " if usage in missing else ""
        columns = ", ".join(identifier(name) for name in self._read_columns(facts))
        grant += (
            f"GRANT SELECT ({columns}), UPDATE ({identifier(facts.column)}) ON {table_identifier(facts.table)} "
            f"TO {self._user()}"
        )
        if missing:
            grant = self._through_role(lambda role: not self._rights_missing(facts, role, str(schema))) + grant
        return Rights(tuple(missing), grant)

    @staticmethod
    def _read_columns(facts: TableFacts) -> list[str]:
        return [*(part.name for part in facts.key), facts.column]

    def _rights_missing(self, facts: TableFacts, role: str, schema: str) -> list[str]:
        missing = [
            f"{right} on {name}"
            for right, names in (("SELECT", self._read_columns(facts)), ("UPDATE", [facts.column]))
            for name in names
            if not self._run(
                "SELECT has_column_privilege(%s, c.oid, %s, %s) FROM pg_class c WHERE c.oid = to_regclass(%s)",
                (role, name, right, table_identifier(facts.table)),
            )[0][0]
        ]
        if not self._run("SELECT has_schema_privilege(%s, %s, 'USAGE')", (role, schema))[0][0]:
            missing.append(f"USAGE on schema {schema}")
        return missing

    def _through_role(self, has_all: Callable[[str], bool]) -> str:
        """Return how to make use of a role that has what is missing, followed by "or"; empty if there is none."""
        role = next((name for (name,) in self._run(ROLES_NOT_INHERITED) if has_all(name)), None)
        if role is None:
            return ""
        user = self._user()
        return (
            f"{user} is a member of role {identifier(role)}, which has the rights, but does not inherit them: ALTER "
            f"ROLE {user} SET role = {identifier(role)}; or "
        )

    def _no_lock(self) -> Finding:
        problem = "may not execute pg_try_advisory_lock, by which a migration keeps a second run of itself out"
        way_out = f"GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) TO {self._user()}"
        return Finding("rehome_database.user", None, problem, way_out, Code.DATABASE_DENIED)

    def may_create_journal(self, schema: str) -> bool:
        """Return whether this user has CREATE on the schema, or on the database if there is no such schema."""
        return bool(
            self._run(
                "SELECT coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s),"
                " has_database_privilege(current_database(), 'CREATE'))",
                (schema,),
            )[0][0]
        )

    def journal_rights(self, schema: str, seen: bool) -> Rights:
        """Check with has_schema_privilege and has_table_privilege, or by `may_create_journal` if it does not exist."""
        held = self._run(
            "SELECT has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'),"
            " has_table_privilege(c.oid, 'INSERT') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s",
            (schema, journal.TABLE),
        )
        if not held:
            create = [] if self.may_create_journal(schema) else [f"CREATE on schema {schema}, or on the database"]
            return Rights(tuple(create), self.journal_grant(schema, exists=False))
        table = f"{schema}.{journal.TABLE}"
        rights = (f"USAGE on schema {schema}", f"SELECT on {table}", f"INSERT on {table}")
        missing = tuple(right for right, has in zip(rights, held[0], strict=True) if not has)
        return Rights(missing, self.journal_grant(schema, exists=True))

    def journal_grant(self, schema: str, exists: bool) -> str:
        """Return GRANTs on schema and table; if the table does not exist, what lets this user create it."""
        user, name = self._user(), identifier(schema)
        if not exists:
            return f"CREATE SCHEMA {name} AUTHORIZATION {user}, or GRANT USAGE, CREATE ON SCHEMA {name} TO {user}"
        return f"GRANT USAGE ON SCHEMA {name} TO {user}; GRANT SELECT, INSERT ON {name}.{journal.TABLE} TO {user}"

    def _user(self) -> str:
        return identifier(str(self._run("SELECT current_user")[0][0]))

    # The table

    def storage(self, facts: TableFacts) -> Storage:
        """Read pg_class, pg_collation and the type: citext and char(n) ignore something by themselves."""
        kind, rows, heap, indexes, collation, deterministic = self._run(
            "SELECT c.relkind, c.reltuples, pg_table_size(c.oid), pg_indexes_size(c.oid), l.collname,"
            " coalesce(l.collisdeterministic, true)"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = %s"
            " LEFT JOIN pg_collation l ON l.oid = a.attcollation"
            " WHERE c.oid = to_regclass(%s)",
            (facts.column, table_identifier(facts.table)),
        )[0]
        of_type, words = self._base_type(facts), str(collation)
        words += "" if deterministic else ", not deterministic: other bytes may be equal"
        words += ", citext: case is ignored" if of_type == "citext" else ""
        words += ", char(n): trailing spaces are ignored" if of_type in ("bpchar", "character") else ""
        engine = "partitioned table" if kind == "p" else "heap"
        size = f"{heap // 1024**2:,} MiB and {indexes // 1024**2:,} MiB of indexes"
        # -1: never analyzed
        return Storage(f"{engine}, {size}", words, int(rows) if rows >= 0 else None)

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        """Count in one scan with FILTER, under the collation "C"."""
        column = f't.{quoted(facts.column)}::text COLLATE "C"'
        head = values.source_head
        rows = self._scan(
            f"SELECT count(*), count(*) FILTER (WHERE starts_with({column}, %s)),"
            f" count(*) FILTER (WHERE lower(left({column}, {len(head)})) = lower(%s)"
            f" AND NOT starts_with({column}, %s)),"
            f" max(length({column})) FILTER (WHERE starts_with({column}, %s)) FROM {quoted_table(facts.table)} t"
            f"{condition(facts, 'WHERE')}",
            [head] * 4,
        )
        return Values(*(int(count or 0) for count in rows[0]))

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        """Select by length(), as limits are always in characters."""
        column = f't.{quoted(facts.column)}::text COLLATE "C"'
        rows = self._scan(
            f"SELECT {column} FROM {quoted_table(facts.table)} t WHERE starts_with({column}, %s)"
            f" AND length({column}) > %s{condition(facts, 'AND')} LIMIT {SAMPLE_ROWS}",
            [values.source_head, than],
        )
        return [value for (value,) in rows]

    def unique_indexes(self, facts: TableFacts) -> list[UniqueIndex]:
        """Return the unique indexes from pg_index, with expressions and predicates as the server prints them."""
        rows = self._run(
            "SELECT x.relname, array_agg(a.attname::text ORDER BY p.n), i.indpred IS NOT NULL, i.indexprs IS NOT NULL,"
            " pg_get_expr(i.indpred, i.indrelid, true),"
            " array_agg(pg_get_indexdef(i.indexrelid, p.n, true) ORDER BY p.n),"
            " pg_get_expr(i.indexprs, i.indrelid, true)"
            " FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
            " CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS p(n)"
            " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.n - 1]"
            " WHERE i.indrelid = to_regclass(%s) AND i.indisunique GROUP BY x.relname, i.indexrelid, i.indrelid,"
            " i.indpred, i.indexprs ORDER BY 1",
            (table_identifier(facts.table),),
        )
        found = []
        mention = re.compile(
            rf'(?<![\w$"]){re.escape(identifier(facts.column))}(?![\w$"])|\b{re.escape(facts.column)}\b'
        )
        for name, columns, partial, computed, where, definitions, expressions in rows:
            if facts.column not in columns and not mention.search(expressions or ""):
                continue
            others = tuple(column for column in columns if column is not None and column != facts.column)
            words = ", ".join(definitions) + (f" WHERE {where}" if partial else "")
            plain = not partial and not computed
            found.append(UniqueIndex(name, words, others, None if plain else ", ".join(definitions), where))
        return found

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> list[Collision]:
        """Join the table with itself, or group by the index's expressions if it has any or is partial."""
        column, table = quoted(facts.column), quoted_table(facts.table)
        old = f'starts_with(t.{column}::text COLLATE "C", %s)'
        new = f"(%s || substr(t.{column}::text, {len(values.source_head) + 1}))::{self._type(facts)}"
        if index.expression is not None:
            return self._collisions_of_expression(facts, values, index, old, new)
        source, same, itself = self_join(facts, index.others, quoted, table, condition(facts, "WHERE"))
        rows = self._scan(
            f"SELECT t.{column}::text, s.{column}::text FROM {source}"
            f" JOIN {table} s ON s.{column} = {new}{same}"
            f" WHERE {old} AND NOT ({itself}) LIMIT {SAMPLE_ROWS}",
            [values.target_head, values.source_head],
        )
        return [Collision(*row) for row in rows]

    def _collisions_of_expression(
        self, facts: TableFacts, values: ValueMap, index: UniqueIndex, old: str, new: str
    ) -> list[Collision]:
        """Return the collisions in an index over expressions, or a partial one: group by what the table would hold.

        Expression and predicate are the catalog's own text, in which columns are not qualified.
        """
        column, table = quoted(facts.column), quoted_table(facts.table)
        names = [
            quoted(name)
            for (name,) in self._run(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
                " AND NOT attisdropped AND attname <> %s",
                (table_identifier(facts.table), facts.column),
            )
            if re.search(rf"\b{re.escape(name)}\b", f"{index.expression} {index.where}")
        ]
        kept = "".join(f", t.{name}" for name in names)
        old = f"({old}{condition(facts, 'AND')})"
        expression, where = (part.replace("%", "%%") for part in (index.expression or "", index.where or "true"))
        rows = self._scan(
            f"SELECT min(was) FROM (SELECT CASE WHEN {old} THEN t.{column}::text END AS was,"
            f" CASE WHEN {old} THEN {new} ELSE t.{column} END AS {column}{kept} FROM {table} t) AS x"
            f" WHERE {where} GROUP BY {expression}"
            f" HAVING count(*) > 1 AND count(was) > 0 AND min({column}::text) IS NOT NULL LIMIT {SAMPLE_ROWS}",
            [values.source_head, values.source_head, values.target_head],
        )
        return [Collision(was, None) for (was,) in rows]

    def _type(self, facts: TableFacts) -> str:
        """Return the column's type without its length, as a cast to `varchar(10)` would truncate."""
        return str(
            self._run(
                "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass(%s)"
                " AND attname = %s",
                (table_identifier(facts.table), facts.column),
            )[0][0]
        )

    def foreign_keys(self, facts: TableFacts) -> list[ForeignKey]:
        """Return the foreign keys from pg_constraint, without those that partitions inherit."""
        rows = self._run(
            "SELECT k.conname, k.confrelid::regclass::text, p.attname, k.conrelid::regclass::text, c.attname,"
            " k.confupdtype::text, cardinality(k.conkey), k.conrelid = to_regclass(%s) AND c.attname = %s"
            " FROM pg_constraint k CROSS JOIN LATERAL unnest(k.confkey, k.conkey) AS n(parent, child)"
            " JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = n.parent"
            " JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = n.child"
            " WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.confrelid = to_regclass(%s) AND p.attname = %s"
            "  OR k.conrelid = to_regclass(%s) AND c.attname = %s) ORDER BY 1",
            (table_identifier(facts.table), facts.column) * 3,
        )
        own = f"{facts.table}.{facts.column}"
        return [
            ForeignKey(
                name,
                f"{parent}.{parent_column}",
                own if outgoing else f"{child}.{child_column}",
                ON_UPDATE[rule],
                columns,
            )
            for name, parent, parent_column, child, child_column, rule, columns, outgoing in rows
        ]

    def lacks_parent(self, facts: TableFacts, values: ValueMap, key: ForeignKey) -> bool:
        """Search for one old value without a parent, under a statement_timeout of SCAN_TIMEOUT_S."""
        parent, _, parent_column = key.parent.rpartition(".")
        column = quoted(facts.column)
        return bool(
            self._scan(
                f'SELECT 1 FROM {quoted_table(facts.table)} t WHERE starts_with(t.{column}::text COLLATE "C", %s)'
                f"{condition(facts, 'AND')}"
                # regclass has quoted the parent already
                f" AND NOT EXISTS (SELECT 1 FROM {parent.replace('%', '%%')} p WHERE p.{quoted(parent_column)}"
                f" = (%s || substr(t.{column}::text, {len(values.source_head) + 1}))) LIMIT 1",
                [values.source_head, values.target_head],
            )
        )

    def sample(self, facts: TableFacts, values: ValueMap) -> list[Row]:
        """Select under the collation "C", with no order: the server stops at the limit."""
        column = f"t.{quoted(facts.column)}::text"
        rows = self._scan(
            f"SELECT {key_list(facts)}, {column} FROM {quoted_table(facts.table)} t"
            f' WHERE starts_with({column} COLLATE "C", %s){condition(facts, "AND")} LIMIT {WHOLE_ROWS}',
            [values.source_head],
        )
        return [Row(tuple(row[:-1]), row[-1]) for row in rows]

    def unable_to_hold(self, facts: TableFacts, text: str) -> str | None:
        """Send the text: the server converts it to the database's encoding, the same for all columns."""
        try:
            self._run("SELECT %s::text", (text,))
        except DatabaseError as error:
            if error.code not in UNTRANSLATABLE:
                raise
            return str(self._run("SHOW server_encoding")[0][0])
        return None

    def refused_by_checks(self, facts: TableFacts, values: ValueMap) -> list[RefusedByCheck]:
        """Evaluate the constraints of the table and of the column's domains, as the server prints them."""
        sql_type = self._base_type(facts)
        checks = self._run(CHECKS, (table_identifier(facts.table), facts.column))
        return [
            RefusedByCheck(name, *self._scan(*refusals_of(facts, values, expression, columns, sql_type))[0])
            for name, expression, columns in checks
        ]

    def _base_type(self, facts: TableFacts) -> str:
        """Return the SQL name of the column's type below its domains, without its length."""
        columns = self._run(COLUMNS, (table_identifier(facts.table),) * 2)
        return next(str(sql_type) for name, _, _, _, sql_type, _ in columns if name == facts.column)

    def generated_columns(self, facts: TableFacts) -> Sequence[str]:
        """Follow pg_depend from the column to the generated ones: no expression is parsed."""
        return [
            name
            for (name,) in self._run(
                "SELECT DISTINCT g.attname FROM pg_attrdef d JOIN pg_attribute g ON g.attrelid = d.adrelid"
                " AND g.attnum = d.adnum AND g.attgenerated <> ''"
                " JOIN pg_depend x ON x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid"
                " OR x.classid = 'pg_class'::regclass AND x.objid = d.adrelid AND x.objsubid = d.adnum"
                " JOIN pg_attribute c ON c.attrelid = x.refobjid AND c.attnum = x.refobjsubid"
                " WHERE d.adrelid = to_regclass(%s) AND x.refobjid = d.adrelid AND c.attname = %s",
                (table_identifier(facts.table), facts.column),
            )
        ]

    def other_checks(self, facts: TableFacts) -> list[Check]:
        """Check row security, inheritance, rules, materialized views and the table's autovacuum."""
        table = (table_identifier(facts.table),)
        hidden, vacuumed, kind = self._run(
            "SELECT row_security_active(oid), NOT coalesce('autovacuum_enabled=false' = ANY(reloptions)"
            " OR 'autovacuum_enabled=off' = ANY(reloptions), false), relkind FROM pg_class"
            " WHERE oid = to_regclass(%s)",
            table,
        )[0]
        heirs = self._run("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(%s)", table)
        rules = self._run(
            # ev_type: 2 is UPDATE (pg_rewrite)
            "SELECT rulename FROM pg_rewrite WHERE ev_class = to_regclass(%s) AND ev_type = '2'",
            table,
        )
        subject = f"{facts.table}.{facts.column}"
        checks = [
            self._row_security(subject, facts, hidden),
            self._heirs(subject, facts, [name for (name,) in heirs], kind == "p"),
            self._rules(subject, facts, [name for (name,) in rules]),
            *self._views(subject, facts),
            *self._publications(subject, facts),
        ]
        if not vacuumed:
            found = "autovacuum is off for the table: nothing removes the dead tuple that each rewritten row leaves"
            checks.append(
                warn(subject, "autovacuum", found, "VACUUM it while the migration runs", code=Code.SERVER_PAYS)
            )
        return checks

    @staticmethod
    def _row_security(subject: str, facts: TableFacts, hidden: bool) -> Check:
        if not hidden:
            return Check(subject, "row security", "pass", "does not apply to this user")
        problem = (
            f"row security is on for table {facts.table}: policies may hide rows, which would then not be migrated"
        )
        way_out = "Let an administrator ALTER ROLE this user BYPASSRLS, or use a user to whom the policies do not apply"
        return stop(
            subject, "row security", Finding("rehome_database.user", None, problem, way_out, Code.TABLE_INTERFERES)
        )

    @staticmethod
    def _heirs(subject: str, facts: TableFacts, heirs: Sequence[str], partitioned: bool) -> Check:
        if partitioned or not heirs:
            # never by the column itself: it would be part of every unique key, and the table would have no usable one
            found = f"{len(heirs)}, not by this column" if partitioned else "none"
            return Check(subject, "partitions", "pass", found)
        problem = (
            f"table {facts.table} is inherited by {', '.join(heirs)}: their rows appear in it, and no key of the "
            "table distinguishes them"
        )
        way_out = "Make them partitions, or end the inheritance (ALTER TABLE … NO INHERIT) for the migration"
        return stop(
            subject, "partitions", Finding("rehome_references", subject, problem, way_out, Code.TABLE_INTERFERES)
        )

    @staticmethod
    def _rules(subject: str, facts: TableFacts, rules: Sequence[str]) -> Check:
        if not rules:
            return Check(subject, "rules", "pass", "none on UPDATE")
        problem = f"table {facts.table} has the rule {', '.join(rules)}, which replaces Rehome's statements by others"
        way_out = "Drop the rule for the duration of the migration"
        return stop(subject, "rules", Finding("rehome_references", subject, problem, way_out, Code.TABLE_INTERFERES))

    def _views(self, subject: str, facts: TableFacts) -> list[Check]:
        """Check for materialized views, which keep the values of their last refresh."""
        rows = self._run(
            "SELECT DISTINCT v.oid::regclass::text FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid"
            " JOIN pg_class v ON v.oid = w.ev_class AND v.relkind = 'm'"
            " JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
            " WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = to_regclass(%s) AND a.attname = %s",
            (table_identifier(facts.table), facts.column),
        )
        if not rows:
            return [Check(subject, "materialized views", "pass", "none shows the column")]
        names = ", ".join(name for (name,) in rows)
        advice = "REFRESH MATERIALIZED VIEW after the migration, and after a rollback"
        return [
            warn(
                subject,
                "materialized views",
                f"{names}: they keep the old values",
                advice,
                code=Code.OLD_VALUES_ELSEWHERE,
            )
        ]

    def _publications(self, subject: str, facts: TableFacts) -> list[Check]:
        """Check that the updates of each table that holds the rows can be published, if they are."""
        rows = self._run(PUBLISHED_WITHOUT_IDENTITY, (table_identifier(facts.table),) * 2)
        if not rows:
            return [Check(subject, "publications", "pass", "none that the table has no replica identity for")]
        tables = ", ".join(table for table, _ in rows)
        names = ", ".join(dict.fromkeys(name for _, names in rows for name in names))
        problem = (
            f"the publication {names} publishes the updates of {tables}, which has no usable replica identity: the "
            "server would refuse every row"
        )
        way_out = " ".join(
            f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX <a unique index over columns that are NOT NULL>, or "
            "FULL;"
            for table, _ in rows
        )
        way_out += f" or ALTER PUBLICATION {names} SET (publish = 'insert')"
        return [
            stop(
                subject, "publications", Finding("rehome_references", subject, problem, way_out, Code.TABLE_INTERFERES)
            )
        ]

    def _statements(self, facts: TableFacts, after: Key, changes: Sequence[Change]) -> Senders:
        return {
            "read": self._read(facts, after),
            "lock": lambda: self._database.lock(facts, changes),
            "update": lambda: self._database.rewrite_as_planned(facts, changes),
        }

    def _plan(self, name: str, facts: TableFacts, steps: Sequence[Mapping[str, Any]]) -> StatementPlan:
        lines = [str(step["QUERY PLAN"]) for step in steps]
        # scans of the catalog do not concern the table
        scan = re.compile(r"((?:\w+ )*Scan(?: using \S+)?) on (?!pg_catalog\.)")
        scans = [found[1] for line in lines if (found := scan.search(line))]
        # these read the results of the statement's own parts
        scans = [words for words in scans if words not in ("CTE Scan", "WorkTable Scan")]
        leaves = any(words.endswith("Seq Scan") for words in scans) or (name == "read" and "Sort" in "".join(lines))
        return StatementPlan(name, "; ".join(dict.fromkeys(scans)), not leaves if scans else None)

    def cost(self, facts: TableFacts, rows: int) -> str:
        """Estimate the WAL, and the growth of the table if no dead tuple is reused."""
        size, total, indexed = self._run(
            "SELECT pg_table_size(c.oid), greatest(c.reltuples, 1), EXISTS (SELECT 1 FROM pg_index i"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
            " WHERE i.indrelid = c.oid AND a.attname = %s) FROM pg_class c WHERE c.oid = to_regclass(%s)",
            (facts.column, table_identifier(facts.table)),
        )[0]
        log = rows * (WAL_BYTES_INDEXED if indexed else WAL_BYTES)
        growth = size * min(1.0, rows / float(total))
        index = ", and the column's indexes by as much again; REINDEX CONCURRENTLY afterwards" if indexed else ""
        return (
            f"the server writes about {megabytes(log)} of WAL, and the table grows by up to {megabytes(growth)} "
            f"if vacuum does not keep up{index}"
        )

    def _scan(self, select: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run a SELECT, which the server cancels after SCAN_TIMEOUT_S."""
        with self._database.transaction():
            self._run(f"SET LOCAL statement_timeout = '{SCAN_TIMEOUT_S}s'")
            return self._run(select, values)
