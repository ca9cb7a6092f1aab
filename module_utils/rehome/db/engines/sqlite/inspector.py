"""Read what preflight checks from a SQLite file. Whoever may read the file sees everything."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ....checks import Check
from ....config.settings import Database
from ....mapping.value_map import ValueMap
from ...dialect import Change, DatabaseError, Dialect, Key, MissingRightError, Row, TableFacts
from ...inspector import (
    SAMPLE_ROWS,
    WHOLE_ROWS,
    Collision,
    ForeignKey,
    RefusedByCheck,
    Rights,
    StatementPlan,
    Storage,
    UniqueIndex,
    Unknown,
    Values,
)
from ...server_checks import check_version
from ..base_inspector import BaseInspector, Senders, self_join
from .constraints import refused_by_copy
from .dialect import condition, key_list, quoted

LONG_ROW: Final = 100_000
"""Rows of more characters and bytes are not read as a whole."""
OLDEST: Final = (3, 33)
"""The first version in which the schema's table has the name `sqlite_schema`."""


class SQLiteInspector(BaseInspector):
    """Reads what preflight checks; `inspector.Inspector` documents the methods."""

    hides_columns = False

    def __init__(self, database: Dialect, settings: Database) -> None:
        super().__init__(database)
        self._path = settings.path or ""

    def server_checks(self, dry_run: bool) -> list[Check]:
        """Check the library's version and the journal mode; there is no server."""
        ((mode,),) = self._run("PRAGMA journal_mode")
        advice = "" if mode == "wal" else "Readers wait while a chunk is written; in WAL mode they would not"
        return [
            check_version("SQLite", sqlite3.sqlite_version, OLDEST),
            Check("database", "journal mode", "pass" if mode == "wal" else "info", str(mode), advice),
        ]

    def grant_to_see(self, table: str, column: str) -> str:
        """Return only that the name is wrong: SQLite has no rights that could hide it."""
        return "Correct the name"

    def rights(self, facts: TableFacts) -> Rights:
        """Ask the file system: SQLite has no users of its own."""
        return Rights(tuple(self._not_writable()), self._write_access())

    def way_out(self, error: DatabaseError, place: str) -> str:
        """Return that the file needs write access if that is denied."""
        return self._write_access() if isinstance(error, MissingRightError) else super().way_out(error, place)

    def _not_writable(self) -> list[str]:
        path = Path(self._path)
        # the rollback journal, or the WAL, is a file beside it
        return [f"write access to {place}" for place in (path, path.absolute().parent) if not os.access(place, os.W_OK)]

    def _write_access(self) -> str:
        return f"Give the user who runs this write access to {self._path} and its folder"

    def may_create_journal(self, schema: str) -> bool:
        """Return whether this process may write the file."""
        return os.access(self._path, os.W_OK)

    def journal_rights(self, schema: str, seen: bool) -> Rights:
        """Ask the file system: the journal is a table of the same file."""
        return Rights(tuple(self._not_writable()), self._write_access())

    def journal_grant(self, schema: str, exists: bool) -> str:
        """Return what to do instead: SQLite has no GRANT, but needs write access to the file's folder too."""
        return self._write_access()

    def storage(self, facts: TableFacts) -> Storage:
        """Read the size of the whole file, and the collation from the text of CREATE TABLE. No number of rows."""
        ((size,),) = self._run("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        found = re.search(
            rf'["`\[]?\b{re.escape(facts.column)}\b["`\]]?[^,]*?\bCOLLATE\s+["`\[]?(\w+)',
            self._sql(facts),
            re.IGNORECASE,
        )
        collation = found[1].upper() if found else "BINARY"
        ignores = {"NOCASE": ", which ignores case", "RTRIM": ", which ignores trailing spaces"}.get(collation, "")
        return Storage(f"file of {int(size) // 1024:,} KiB", f"{collation}{ignores}", None)

    def _sql(self, facts: TableFacts) -> str:
        return str(self._run("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (facts.table,))[0][0])

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        """Count in one scan. Look-alikes differ in the case of ASCII letters only, which is all that lower() knows."""
        column, head = quoted(facts.column), values.source_head
        begins = f"substr({column}, 1, {len(head)}) COLLATE BINARY"
        rows = self._run(
            f"SELECT count(*), total({begins} = ?), total(lower({begins}) = lower(?)),"
            f" max(CASE WHEN {begins} = ? THEN length({column}) END) FROM {quoted(facts.table)} t"
            f" WHERE true{condition(facts)}",
            [head] * 3,
        )
        count, old, alike, longest = (int(count or 0) for count in rows[0])
        return Values(count, old, alike - old, longest)

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        """Select by length(), in characters. SQLite itself enforces no limit."""
        column, head = quoted(facts.column), values.source_head
        rows = self._run(
            f"SELECT {column} FROM {quoted(facts.table)} t WHERE substr({column}, 1, {len(head)}) COLLATE BINARY = ?"
            f" AND length({column}) > ?{condition(facts)} LIMIT {SAMPLE_ROWS}",
            (head, than),
        )
        return [value for (value,) in rows]

    def unique_indexes(self, facts: TableFacts) -> list[UniqueIndex]:
        """Return the unique indexes from pragma_index_list, with the collation that each has of its own."""
        found = []
        for name, partial in self._run(
            'SELECT name, partial FROM pragma_index_list(?) WHERE "unique" ORDER BY name', (facts.table,)
        ):
            parts = self._run("SELECT name, coll, cid FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", (name,))
            names = [part[0] for part in parts]
            sql = self._run("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", (name,))
            text = str(sql[0][0]) if sql and sql[0][0] else ""
            computed = any(cid == -2 for _, _, cid in parts)
            if facts.column not in names and not (computed and re.search(rf"\b{re.escape(facts.column)}\b", text)):
                continue
            others = tuple(column for column in names if column is not None and column != facts.column)
            collation = next((coll for column, coll, _ in parts if column == facts.column), None)
            words = ", ".join(str(column) for column in names if column is not None)
            words = text.partition("(")[2].rpartition(")")[0] if computed else words
            special = text if computed or partial else None
            found.append(UniqueIndex(name, words, others, special, None, collation))
        return found

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> list[Collision] | Unknown:
        """Join the table with itself. Unknown for an index over expressions, or a partial one."""
        if index.expression is not None:
            return Unknown("SQLite does not show what an index over expressions, or a partial one, contains")
        column, table, head = quoted(facts.column), quoted(facts.table), values.source_head
        source, same, itself = self_join(facts, index.others, quoted, table, f" WHERE true{condition(facts)}")
        rows = self._run(
            f"SELECT t.{column}, s.{column} FROM {source} JOIN {table} s"
            f" ON s.{column} = (? || substr(t.{column}, {len(head) + 1})) COLLATE {quoted(index.collation or 'BINARY')}"
            f"{same} WHERE substr(t.{column}, 1, {len(head)}) COLLATE BINARY = ? AND NOT ({itself})"
            f" LIMIT {SAMPLE_ROWS}",
            (values.target_head, head),
        )
        return [Collision(*row) for row in rows]

    def foreign_keys(self, facts: TableFacts) -> list[ForeignKey]:
        """Return the foreign keys of all tables from pragma_foreign_key_list. They have numbers, not names."""
        rows = self._run(
            'SELECT t.name, k.id, k."table", coalesce(k."to", k."from"), k."from", k.on_update,'
            " (SELECT count(*) FROM pragma_foreign_key_list(t.name) o WHERE o.id = k.id)"
            " FROM sqlite_schema t, pragma_foreign_key_list(t.name) k WHERE t.type = 'table'"
            ' AND (t.name = ? AND k."from" = ? OR k."table" = ? AND k."to" = ?) ORDER BY 1, 2',
            (facts.table, facts.column) * 2,
        )
        return [
            ForeignKey(f"number {number} of {child}", f"{parent}.{to}", f"{child}.{column}", rule, int(columns))
            for child, number, parent, to, column, rule, columns in rows
        ]

    def lacks_parent(self, facts: TableFacts, values: ValueMap, key: ForeignKey) -> bool:
        """Search for one old value without a parent, by the parent column's own collation, with no time limit."""
        parent, _, parent_column = key.parent.rpartition(".")
        column, head = quoted(facts.column), values.source_head
        return bool(
            self._run(
                f"SELECT 1 FROM {quoted(facts.table)} t WHERE substr(t.{column}, 1, {len(head)}) COLLATE BINARY = ?"
                f"{condition(facts)} AND NOT EXISTS (SELECT 1 FROM {quoted(parent)} p WHERE p.{quoted(parent_column)}"
                f" = ? || substr(t.{column}, {len(head) + 1})) LIMIT 1",
                (head, values.target_head),
            )
        )

    def sample(self, facts: TableFacts, values: ValueMap) -> list[Row]:
        """Select without an order: the search ends at the limit."""
        rows = self._run(
            f"SELECT {key_list(facts)}, t.{quoted(facts.column)} FROM {quoted(facts.table)} t"
            f" WHERE substr(t.{quoted(facts.column)}, 1, {len(values.source_head)}) COLLATE BINARY = ?"
            f"{condition(facts)} LIMIT {WHOLE_ROWS}",
            (values.source_head,),
        )
        return [Row(tuple(row[:-1]), row[-1]) for row in rows if isinstance(row[-1], str)]

    def unable_to_hold(self, facts: TableFacts, text: str) -> str | None:
        """Return None: each encoding of SQLite is one of Unicode."""
        return None

    def refused_by_checks(self, facts: TableFacts, values: ValueMap) -> list[RefusedByCheck]:
        """Rewrite the rows in a table of the same definition in memory: only CREATE TABLE has the constraints."""
        names = [
            str(name)
            for (name,) in self._run("SELECT name FROM pragma_table_xinfo(?) WHERE NOT hidden", (facts.table,))
        ]
        head, columns = values.source_head, [f"t.{quoted(name)}" for name in names]
        rows = self._run(
            f"SELECT {', '.join(columns)} FROM {quoted(facts.table)} t"
            f" WHERE substr(t.{quoted(facts.column)}, 1, {len(head)}) COLLATE BINARY = ?{condition(facts)}"
            # the values pass through this process
            f" AND {' + '.join(f'ifnull(length({column}), 0)' for column in columns)} < {LONG_ROW}"
            f" LIMIT {WHOLE_ROWS}",
            (head,),
        )
        place = names.index(facts.column)
        rows = [row for row in rows if isinstance(row[place], str)]
        return refused_by_copy(self._sql(facts), quoted(facts.table), names, rows, place, values)

    def generated_columns(self, facts: TableFacts) -> Sequence[str]:
        """Return all generated columns if an expression in CREATE TABLE mentions the column."""
        # hidden: 2 is a virtual generated column, 3 a stored one; only CREATE TABLE has their expressions
        names = [
            name
            for (name,) in self._run("SELECT name FROM pragma_table_xinfo(?) WHERE hidden IN (2, 3)", (facts.table,))
        ]
        made = re.findall(r"\bAS\s*\((.*)", self._sql(facts), re.IGNORECASE)
        return names if any(re.search(rf"\b{re.escape(facts.column)}\b", text) for text in made) else []

    def other_checks(self, facts: TableFacts) -> list[Check]:
        """Always empty: SQLite has no partitions, rules or row security."""
        return []

    def _statements(self, facts: TableFacts, after: Key, changes: Sequence[Change]) -> Senders:
        # the update finds its rows as the lock does
        return {"read": self._read(facts, after), "lock": lambda: self._database.lock(facts, changes)}

    def _plan(self, name: str, facts: TableFacts, steps: Sequence[Mapping[str, Any]]) -> StatementPlan:
        details = list(dict.fromkeys(str(step["detail"]) for step in steps))
        leaves = any(detail.startswith("SCAN") or "TEMP B-TREE" in detail for detail in details)
        return StatementPlan(name, "; ".join(details), not leaves)

    def cost(self, facts: TableFacts, rows: int) -> str:
        """Estimate the rollback journal or WAL file, which SQLite keeps beside the database."""
        return f"the journal beside the file takes about {rows * 100 / 1024**2:,.0f} MiB for a while"
