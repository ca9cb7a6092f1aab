"""Search the columns of PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from ...dialect import Dialect, Key, KeyColumn
from ...search import BEFORE, SHOWN_CHARACTERS, Contents, NotSearched, Pages, SearchTable, TextColumn, Texts
from ..base_search import BaseSearch, Clause, containing, like_pattern, places
from . import statements as sql
from .dialect import FAMILIES

PLACE: Final = KeyColumn("ctid", "text", "tid")
"""Where a row is. By it a table without a key is read in pages of blocks."""
BLOCK_ROWS: Final = 50
"""Rows of a block, where the server's statistics do not tell."""

RELATIONS: Final = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text, pg_table_is_visible(c.oid),
    has_schema_privilege(n.oid, 'USAGE'),
    CASE c.relkind WHEN 'p' THEN (
        SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid
        WHERE p.isleaf)
    ELSE nullif(c.reltuples, -1) END::bigint, row_security_active(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname
"""

COLUMNS: Final = """
WITH RECURSIVE typed(relid, attnum, oid) AS (
    SELECT a.attrelid, a.attnum, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.oid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT d.relid, d.attnum, coalesce(nullif(t.typbasetype, 0), t.typelem)
    FROM typed d JOIN pg_type t ON t.oid = d.oid AND (t.typtype = 'd' OR t.typcategory = 'A')
)
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod),
    CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname END, a.attgenerated <> '',
    has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM typed d JOIN pg_type t ON t.oid = d.oid AND t.typtype <> 'd' AND t.typcategory <> 'A'
JOIN pg_attribute a ON a.attrelid = d.relid AND a.attnum = d.attnum ORDER BY a.attrelid, a.attnum
"""
"""The columns of some tables: a domain and an array count as what is in them."""

KEYS: Final = """
SELECT i.indrelid, array_agg(a.attname::text ORDER BY k.position),
    array_agg(CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname::text END ORDER BY k.position),
    array_agg(format_type(t.oid, -1) ORDER BY k.position)
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
JOIN pg_type t ON t.oid = a.atttypid
WHERE i.indrelid = ANY(%s::oid[]) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indrelid, i.indexrelid, i.indisprimary
HAVING bool_and(a.attnotnull AND has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid
"""

TEXTS: Final = {"text", "varchar", "bpchar", "citext", "name", "json", "jsonb", "xml", "enum", "hstore", "tsvector"}
UNREADABLE: Final[Mapping[str, str]] = {
    "v": "a view: the tables that it reads are searched",
    "m": "a materialized view: the tables that it reads are searched; REFRESH it after the migration",
    "f": "a foreign table: its rows are in another server or file",
}


class PostgreSQLSearch(BaseSearch):
    """Reads all schemas of the database that this user sees, or those that are asked for."""

    def __init__(self, database: Dialect) -> None:
        super().__init__(database)
        self._partitioned: set[tuple[str, str]] = set()

    def contents(self, schemas: Sequence[str]) -> Contents:
        """Read pg_catalog, which hides nothing: what this user may not read is told."""
        found = Contents([], [])
        tables: dict[int, tuple[str, str, str, int | None]] = {}
        for oid, schema, table, kind, is_visible, sees_schema, rows, filtered in self._database.run(RELATIONS):
            if schemas and not any(fnmatchcase(schema, glob) for glob in schemas):
                continue
            name = table if is_visible else f"{schema}.{table}"
            if why := _unreadable(kind, sees_schema, filtered):
                found.not_searched.append(NotSearched(name, "", why))
            if kind in "rp" and sees_schema:
                if kind == "p":
                    self._partitioned.add((schema, table))
                tables[oid] = schema, table, name, rows
        columns = self._columns(tables, found.not_searched)
        keys = self._keys(tables)
        for oid, (schema, table, name, rows) in tables.items():
            if oid in columns:
                found.tables.append(SearchTable(schema, table, name, tuple(columns[oid]), keys.get(oid, ()), rows))
        return found

    def _columns(
        self, tables: Mapping[int, tuple[str, str, str, int | None]], not_searched: list[NotSearched]
    ) -> dict[int, list[TextColumn]]:
        found: dict[int, list[TextColumn]] = {}
        for oid, name, shown, kind, is_generated, readable in self._database.run(COLUMNS, (list(tables),)):
            if kind not in TEXTS and kind != "bytea":
                continue
            table = tables[oid][2]
            if is_generated:
                why = "computed from other columns, which are searched"
                not_searched.append(NotSearched(table, name, why))
            elif not readable:
                not_searched.append(NotSearched(table, name, "this user may not read it"))
            else:
                # an array of bytes is searched as the text that it is shown as
                found.setdefault(oid, []).append(TextColumn(name, shown, shown == "bytea"))
        return found

    def _keys(self, tables: Mapping[int, object]) -> dict[int, tuple[KeyColumn, ...]]:
        found: dict[int, tuple[KeyColumn, ...]] = {}
        for oid, names, kinds, types in self._database.run(KEYS, (list(tables),)):
            if oid not in found and all(kind in FAMILIES for kind in kinds):
                parts = zip(names, kinds, types, strict=True)
                found[oid] = tuple(KeyColumn(name, FAMILIES[kind], shown) for name, kind, shown in parts)
        whole = self._database.run(
            "SELECT oid FROM pg_class WHERE oid = ANY(%s::oid[]) AND relkind = 'r' AND"
            " has_table_privilege(oid, 'SELECT')",
            (list(tables),),
        )
        return {**{oid: (PLACE,) for (oid,) in whole}, **found}

    def page_end(self, table: SearchTable, after: Key | None, rows: int) -> Key | None:
        """Count blocks instead of rows where there is no key."""
        if table.key != (PLACE,):
            return super().page_end(table, after, rows)
        blocks = self._blocks(table)
        block = _block(after) + max(1, rows * blocks // table.rows if table.rows else rows // BLOCK_ROWS)
        return (f"({block},0)",) if block < blocks else None

    def size(self, table: SearchTable, pages: Pages, rows: int) -> int:
        """Count the rows of the blocks where there is no key."""
        return super().size(table, pages, rows) if table.key != (PLACE,) else self.count(table, pages)

    def starts(self, table: SearchTable, count: int, rows: int) -> list[Key]:
        """Spread them over the blocks where there is no key."""
        if table.key != (PLACE,):
            return super().starts(table, count, rows)
        step = self._blocks(table) // (count + 1)
        return [(f"({step * number},0)",) for number in range(1, count + 1)] if step else []

    def _blocks(self, table: SearchTable) -> int:
        size = "pg_relation_size(%s::regclass) / current_setting('block_size')::bigint"
        return int(self._database.run(f"SELECT {size}", (_name(table),))[0][0])

    def _quoted(self, name: str) -> str:
        return sql.quoted(name)

    def _from(self, table: SearchTable) -> str:
        # tables that inherit from another one are searched themselves; partitions are not
        only = "" if (table.schema, table.table) in self._partitioned else "ONLY "
        return f"{only}{_name(table).replace('%', '%%')} t"

    def _key_list(self, table: SearchTable) -> str:
        forms = {"integer": "t.{}", "text": "t.{}::text", "binary": "encode(t.{}, 'hex')"}
        return ", ".join(forms[part.family].format(sql.quoted(part.name)) for part in table.key)

    def _within(self, table: SearchTable, pages: Pages) -> Clause:
        names = ", ".join(f"t.{sql.quoted(part.name)}" for part in table.key)
        marks = ", ".join(sql.from_text(part, "%s") for part in table.key)
        terms, values = [], list[object]()
        for key, sign in ((pages.after, ">"), (pages.upto, "<=")):
            if key is not None:
                terms.append(f"({names}) {sign} ({marks})")
                values += key
        return " AND ".join(terms) or "true", values

    def _contains(self, column: TextColumn, text: str) -> Clause:
        if column.binary:
            return f"position(%s::bytea in t.{sql.quoted(column.name)}) > 0", [text.encode()]
        return f"{_text(column)} LIKE %s", [containing(text)]

    def _like(self, column: TextColumn, glob: str) -> Clause:
        if column.binary:
            return "false", []
        return f"{_text(column)} LIKE %s", [like_pattern(glob)]

    def _length(self, column: TextColumn) -> str:
        return f"length(t.{sql.quoted(column.name)}{'' if column.binary else '::text'})"

    def _shown(self, column: TextColumn, texts: Texts) -> Clause:
        value = f"t.{sql.quoted(column.name)}" if column.binary else _text(column)
        found = places(texts)
        kind = "bytea" if column.binary else "text"
        first = ", ".join([*(f"nullif(position(%s::{kind} in {value}), 0)" for _ in found), "1"])
        return (
            f"CASE WHEN {self._length(column)} <= {SHOWN_CHARACTERS} THEN {value}"
            f" ELSE substr({value}, greatest(coalesce({first}) - {BEFORE}, 1), {SHOWN_CHARACTERS}) END",
            [text.encode() if column.binary else text for text in found],
        )


def _unreadable(kind: str, sees_schema: bool, filtered: bool) -> str:
    """Return why a relation is not searched, or not whole; empty if it is."""
    if kind in UNREADABLE:
        return UNREADABLE[kind]
    if not sees_schema:
        return "this user may not use the schema"
    if filtered:
        return "row-level security may hide rows of it from this user; the others are searched"
    return ""


def _name(table: SearchTable) -> str:
    return f"{sql.identifier(table.schema)}.{sql.identifier(table.table)}"


def _block(place: Key | None) -> int:
    return 0 if place is None else int(str(place[0]).strip("()").split(",")[0])


def _text(column: TextColumn) -> str:
    # some collations cannot be searched at all, and none is as quick as this one
    return f'(t.{sql.quoted(column.name)}::text COLLATE "C")'
