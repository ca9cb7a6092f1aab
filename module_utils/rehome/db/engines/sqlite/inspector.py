"""What a SQLite file tells about itself. Whoever may read it may see everything."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from ....checks import Check
from ....config.settings import Database
from ....mapping.value_map import ValueMap
from ...dialect import Change, Dialect, TableFacts
from ...inspector import SAMPLE, Collision, ForeignKey, Rights, StatementPlan, Storage, UniqueIndex, Unknown, Values
from ...server_checks import check_version
from .dialect import condition, quoted

OLDEST: Final = (3, 33)
"""The first one that knows its schema's table by the name `sqlite_schema`."""


class SQLiteInspector:
    """See `facts.Inspector`."""

    hides_columns = False

    def __init__(self, database: Dialect, settings: Database) -> None:
        self._database = database
        self._path = settings.path or ""

    def server_checks(self, dry_run: bool) -> list[Check]:
        ((mode,),) = self._rows("PRAGMA journal_mode")
        advice = "" if mode == "wal" else "Readers wait while a chunk is written; WAL would let them on"
        return [
            check_version("SQLite", sqlite3.sqlite_version, OLDEST),
            Check("database", "journal mode", "pass" if mode == "wal" else "info", str(mode), advice),
        ]

    def grant_to_see(self, table: str, column: str) -> str:
        return "Correct the name"

    def rights(self, facts: TableFacts) -> Rights:
        return Rights((), f"Let the user who runs this write {self._path} and its folder")

    def may_create_journal(self, schema: str) -> bool:
        return os.access(self._path, os.W_OK)

    def journal_grant(self, schema: str, there: bool) -> str:
        return f"Let the user who runs this write {self._path} and its folder"

    def storage(self, facts: TableFacts) -> Storage:
        ((size,),) = self._rows("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        found = re.search(
            rf'["`\[]?\b{re.escape(facts.column)}\b["`\]]?[^,]*?\bCOLLATE\s+["`\[]?(\w+)',
            self._sql(facts),
            re.IGNORECASE,
        )
        collation = found[1].upper() if found else "BINARY"
        told = {"NOCASE": ", which ignores case", "RTRIM": ", which ignores trailing spaces"}.get(collation, "")
        return Storage(f"file of {int(size) // 1024:,} KiB", f"{collation}{told}", None)

    def _sql(self, facts: TableFacts) -> str:
        return str(self._rows("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (facts.table,))[0][0])

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        column, head = quoted(facts.column), values.source_head
        begins = f"substr({column}, 1, {len(head)}) COLLATE BINARY"
        rows = self._rows(
            f"SELECT count(*), total({begins} = ?), total(lower({begins}) = lower(?)),"
            f" max(CASE WHEN {begins} = ? THEN length({column}) END) FROM {quoted(facts.table)} t"
            f" WHERE true{condition(facts)}",
            [head] * 3,
        )
        count, old, alike, longest = (int(count or 0) for count in rows[0])
        return Values(count, old, alike - old, longest)

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        column, head = quoted(facts.column), values.source_head
        rows = self._rows(
            f"SELECT {column} FROM {quoted(facts.table)} t WHERE substr({column}, 1, {len(head)}) COLLATE BINARY = ?"
            f" AND length({column}) > ?{condition(facts)} LIMIT {SAMPLE}",
            (head, than),
        )
        return [value for (value,) in rows]

    def unique_indexes(self, facts: TableFacts) -> list[UniqueIndex]:
        found = []
        for name, partial in self._rows(
            'SELECT name, partial FROM pragma_index_list(?) WHERE "unique" ORDER BY name', (facts.table,)
        ):
            parts = self._rows("SELECT name, coll, cid FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", (name,))
            names = [part[0] for part in parts]
            sql = self._rows("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", (name,))
            text = str(sql[0][0]) if sql and sql[0][0] else ""
            computed = any(cid == -2 for _, _, cid in parts)
            if facts.column not in names and not (computed and re.search(rf"\b{re.escape(facts.column)}\b", text)):
                continue
            others = tuple(column for column in names if column is not None and column != facts.column)
            collation = next((coll for column, coll, _ in parts if column == facts.column), None)
            words = ", ".join(str(column) for column in names if column is not None)
            words = text.partition("(")[2].rpartition(")")[0] if computed else words
            special = text if computed or partial else None
            found.append(UniqueIndex(name, words, others, None, special, None, collation))
        return found

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> list[Collision] | Unknown:
        if index.expression is not None:
            return Unknown("SQLite does not tell what an index over expressions, or over some rows, holds")
        column, table, head = quoted(facts.column), quoted(facts.table), values.source_head
        same = "".join(f" AND s.{quoted(name)} = t.{quoted(name)}" for name in index.others)
        itself = " AND ".join(f"s.{quoted(part.name)} = t.{quoted(part.name)}" for part in facts.key)
        rows = self._rows(
            f"SELECT t.{column}, s.{column} FROM {_narrowed(facts, index.others)} JOIN {table} s"
            f" ON s.{column} = (? || substr(t.{column}, {len(head) + 1})) COLLATE {quoted(index.collation or 'BINARY')}"
            f"{same} WHERE substr(t.{column}, 1, {len(head)}) COLLATE BINARY = ? AND NOT ({itself}) LIMIT {SAMPLE}",
            (values.target_head, head),
        )
        return [Collision(*row) for row in rows]

    def foreign_keys(self, facts: TableFacts) -> list[ForeignKey]:
        rows = self._rows(
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
        parent, _, parent_column = key.parent.rpartition(".")
        column, head = quoted(facts.column), values.source_head
        return bool(
            self._rows(
                f"SELECT 1 FROM {quoted(facts.table)} t WHERE substr(t.{column}, 1, {len(head)}) COLLATE BINARY = ?"
                f"{condition(facts)} AND NOT EXISTS (SELECT 1 FROM {quoted(parent)} p WHERE p.{quoted(parent_column)}"
                f" = ? || substr(t.{column}, {len(head) + 1})) LIMIT 1",
                (head, values.target_head),
            )
        )

    def generated_columns(self, facts: TableFacts) -> Sequence[str]:
        # hidden: 2 is a virtual generated column, 3 a stored one; what it is made of is in the table's text alone
        names = [
            name
            for (name,) in self._rows("SELECT name FROM pragma_table_xinfo(?) WHERE hidden IN (2, 3)", (facts.table,))
        ]
        made = re.findall(r"\bAS\s*\((.*)", self._sql(facts), re.IGNORECASE)
        return names if any(re.search(rf"\b{re.escape(facts.column)}\b", text) for text in made) else []

    def other_checks(self, facts: TableFacts) -> list[Check]:
        return []

    def plans(self, facts: TableFacts) -> list[StatementPlan]:
        page = list(self._database.read_batch(facts, None, 3))
        if not page:
            return []
        changes = [Change(row.key, row.value or "", row.value or "") for row in page]
        return [
            self._plan("read", lambda: self._database.read_batch(facts, page[0].key, 1_000)),
            # the update finds its rows as this does
            self._plan("lock", lambda: self._database.lock(facts, changes)),
        ]

    def _plan(self, name: str, send: Callable[[], object]) -> StatementPlan:
        with self._database.explaining() as plans:
            send()
        steps = list(dict.fromkeys(str(plan["detail"]) for plan in plans))
        leaves = any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in steps)
        return StatementPlan(name, "; ".join(steps), not leaves)

    def cost(self, facts: TableFacts, rows: int) -> str:
        return f"the journal beside the file takes about {rows * 100 / 1024**2:,.0f} MiB for a while"

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._database.rows(statement, values)


def _narrowed(facts: TableFacts, others: Sequence[str]) -> str:
    """The rows that are meant, as a table `t` with key, column and `others`.

    Where another table stands beside it, the names in the operator's condition would be ambiguous.
    """
    names = dict.fromkeys([*(part.name for part in facts.key), facts.column, *others])
    columns = ", ".join(f"t.{quoted(name)}" for name in names)
    table = f"{quoted(facts.table)} t"
    return f"(SELECT {columns} FROM {table} WHERE true{condition(facts)}) t" if facts.where else table
