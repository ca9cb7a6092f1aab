"""Search the columns of MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from ....config.settings import Database
from ...dialect import KeyColumn
from ...search import BEFORE, SHOWN_CHARACTERS, Contents, NotSearched, Pages, SearchTable, TextColumn, Texts
from ..base_search import BaseSearch, Clause, containing, like_pattern, places
from . import statements as sql
from .dialect import FAMILIES, TEXT_TYPES, MySQL
from .grants import holds_on_schema

TEXTS: Final = TEXT_TYPES | {"json", "enum", "set"}
BYTES: Final = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
SYSTEM: Final = ("information_schema", "mysql", "performance_schema", "sys")
READABLE: Final = ("BASE TABLE", "SYSTEM VERSIONED")
UNREADABLE: Final[Mapping[str, str]] = {
    "VIEW": "a view: the tables that it reads are searched",
    "SEQUENCE": "a sequence",
}


_KeyColumns = tuple[KeyColumn, ...]


class _Column(NamedTuple):
    """What information_schema tells of a column. generated: the expression that computes it"""

    type: str
    length: int | None
    column_type: str
    collation: str | None
    nullable: int
    generated: str | None
    privileges: str


class MySQLSearch(BaseSearch):
    """Reads the database of the connection, or those that are asked for."""

    _database: MySQL

    def __init__(self, database: MySQL, settings: Database) -> None:
        super().__init__(database)
        self._own = settings.name or ""

    def contents(self, schemas: Sequence[str]) -> Contents:
        """Read information_schema, which hides what this user has no right on."""
        found = Contents([], [])
        visible = [str(name) for (name,) in self._database.run("SELECT schema_name FROM information_schema.schemata")]
        grants = [str(line) for (line,) in self._database.run("SHOW GRANTS")]
        for schema in sorted(visible):
            if schema.lower() in SYSTEM:
                continue
            if not (any(fnmatchcase(schema, glob) for glob in schemas) if schemas else schema == self._own):
                found.not_searched.append(NotSearched(schema, "", "another database of the server"))
                continue
            if not holds_on_schema(grants, "SELECT", schema):
                why = "tables and columns that this user has no right on are hidden from it, and may be there"
                found.not_searched.append(NotSearched(schema, "", why))
            self._add(schema, found)
        return found

    def _add(self, schema: str, found: Contents) -> None:
        columns = self._columns(schema)
        keys = self._keys(schema, columns)
        for table, kind, rows in self._database.run(
            "SELECT table_name, table_type, table_rows FROM information_schema.tables WHERE table_schema = %s"
            " ORDER BY table_name",
            (schema,),
        ):
            name = table if schema == self._own else f"{schema}.{table}"
            if kind not in READABLE:
                why = UNREADABLE.get(kind, f"a {kind}, and no table")
                found.not_searched.append(NotSearched(name, "", why))
                continue
            texts = tuple(_searched(columns.get(table, {}), name, found.not_searched))
            if texts:
                usable = next(iter(keys.get(table, ())), ())
                readable = all("select" in columns[table][part.name].privileges for part in usable)
                estimate = None if rows is None else int(rows)
                found.tables.append(SearchTable(schema, table, name, texts, usable if readable else (), estimate))

    def _columns(self, schema: str) -> dict[str, dict[str, _Column]]:
        found: dict[str, dict[str, _Column]] = {}
        for table, column, *facts in self._database.run(
            "SELECT table_name, column_name, data_type, character_maximum_length, column_type, collation_name,"
            " is_nullable = 'YES', generation_expression, privileges FROM information_schema.columns"
            " WHERE table_schema = %s ORDER BY table_name, ordinal_position",
            (schema,),
        ):
            found.setdefault(table, {})[column] = _Column(*facts)
        return found

    def _keys(self, schema: str, columns: Mapping[str, Mapping[str, _Column]]) -> dict[str, list[_KeyColumns]]:
        indexes: dict[tuple[str, str], list[tuple[str, bool]]] = {}
        for table, index, name, part in self._database.run(
            "SELECT table_name, index_name, column_name, sub_part FROM information_schema.statistics"
            " WHERE table_schema = %s AND non_unique = 0"
            " ORDER BY table_name, index_name = 'PRIMARY' DESC, index_name, seq_in_index",
            (schema,),
        ):
            details = columns.get(table, {}).get(name)
            usable = details is not None and part is None and details.type in FAMILIES and not details.nullable
            indexes.setdefault((table, index), []).append((name, usable))
        found: dict[str, list[_KeyColumns]] = {}
        for (table, _), parts in indexes.items():
            if all(usable for _, usable in parts):
                found.setdefault(table, []).append(
                    tuple(MySQL.key_column(name, columns[table][name][:4]) for name, _ in parts)
                )
        return found

    def _quoted(self, name: str) -> str:
        return sql.quoted(name)

    def _from(self, table: SearchTable) -> str:
        return f"{sql.quoted(table.schema)}.{sql.quoted(table.table)} t"

    def _key_list(self, table: SearchTable) -> str:
        return ", ".join(sql.transferable(part, f"t.{sql.quoted(part.name)}") for part in table.key)

    def _within(self, table: SearchTable, pages: Pages) -> Clause:
        terms, values = [], list[object]()
        if pages.after is not None:
            term, of_term = sql.after_key(table.key, pages.after)
            terms.append(term)
            values += of_term
        if pages.upto is not None:
            first = table.key[0]
            terms.append(f"t.{sql.quoted(first.name)} <= {sql.placeholder(first)}")
            values.append(pages.upto[0])
            if len(table.key) > 1:
                term, of_term = sql.after_key(table.key, pages.upto)
                terms.append(f"NOT {term}")
                values += of_term
        return " AND ".join(terms) or "true", values

    def _contains(self, column: TextColumn, text: str) -> Clause:
        return f"t.{sql.quoted(column.name)} LIKE %s", [containing(text)]

    def _like(self, column: TextColumn, glob: str) -> Clause:
        return f"t.{sql.quoted(column.name)} LIKE %s", [like_pattern(glob)]

    def _length(self, column: TextColumn) -> str:
        return f"CHAR_LENGTH(t.{sql.quoted(column.name)})"

    def _shown(self, column: TextColumn, texts: Texts) -> Clause:
        name = f"t.{sql.quoted(column.name)}"
        # of several character sets, both have to be made one
        shown = "{}" if column.binary else "CONVERT({} USING utf8mb4)"
        found = places(texts)
        first = ", ".join([*(f"NULLIF(LOCATE(%s, {name}), 0)" for _ in found), "1"])
        return (
            f"IF({self._length(column)} <= {SHOWN_CHARACTERS}, {shown.format(name)}, "
            + shown.format(f"SUBSTRING({name}, GREATEST(COALESCE({first}) - {BEFORE}, 1), {SHOWN_CHARACTERS})")
            + ")",
            list(found),
        )


def _searched(columns: Mapping[str, _Column], table: str, not_searched: list[NotSearched]) -> Iterator[TextColumn]:
    for name, details in columns.items():
        kind = details.type
        if kind not in TEXTS | BYTES:
            continue
        if details.generated:
            not_searched.append(NotSearched(table, name, "computed from other columns, which are searched"))
        elif "select" not in details.privileges:
            not_searched.append(NotSearched(table, name, "this user may not read it"))
        else:
            yield TextColumn(name, kind, kind in BYTES)
