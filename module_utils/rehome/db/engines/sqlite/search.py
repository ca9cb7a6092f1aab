"""Search the columns of SQLite, where any column may hold a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...dialect import DatabaseError, KeyColumn
from ...search import BEFORE, SHOWN_CHARACTERS, Contents, NotSearched, Pages, SearchTable, TextColumn, Texts
from ..base_search import BaseSearch, Clause, places
from . import dialect as sql

ROW_ID: Final = ("rowid", "_rowid_", "oid")
"""The names of a row's number, each of which a column may take ("ROWIDs and the INTEGER PRIMARY KEY")."""

IN_CLASS: Final = frozenset("/\\%:=+@#&,;! ")
"""Characters that mean themselves between the brackets of a glob."""


class SQLiteSearch(BaseSearch):
    """Reads the file's own tables."""

    placeholder = "?"

    def contents(self, schemas: Sequence[str]) -> Contents:
        """Read sqlite_schema and pragmas. SQLite has no schemas, so that `schemas` says nothing."""
        found = Contents([], [])
        for kind, table, definition in self._database.run(
            "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('table', 'view')"
            " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        ):
            if kind == "view":
                why = "a view: the tables that it reads are searched"
                found.not_searched.append(NotSearched(table, "", why))
            elif str(definition).upper().startswith("CREATE VIRTUAL"):
                why = "a virtual table: the tables that it keeps its rows in are searched"
                found.not_searched.append(NotSearched(table, "", why))
            else:
                self._add(table, found)
        return found

    def _add(self, table: str, found: Contents) -> None:
        columns = self._database.run('SELECT name, type, pk, hidden, "notnull" FROM pragma_table_xinfo(?)', (table,))
        names = {str(name).lower() for name, *_ in columns}
        key, rows = self._row_number(table, names)
        if not key:
            primary = sorted((pk, name, kind) for name, kind, pk, *_ in columns if pk)
            key = tuple(KeyColumn(name, sql.family(kind), "") for _, name, kind in primary)
        texts = []
        for name, kind, pk, hidden, _ in columns:
            is_number = pk and kind.upper() == "INTEGER" and sum(bool(column[2]) for column in columns) == 1
            if hidden in (2, 3):
                why = "computed from other columns, which are searched"
                found.not_searched.append(NotSearched(table, name, why))
            elif not (is_number and key[0].name in ROW_ID):
                texts.append(TextColumn(name, kind or "no type"))
        if texts:
            found.tables.append(SearchTable("", table, table, tuple(texts), key, rows))

    def _row_number(self, table: str, names: set[str]) -> tuple[tuple[KeyColumn, ...], int | None]:
        """Return the row's number as the key, and the greatest one, which is an upper bound of the count of rows."""
        for name in ROW_ID:
            if name not in names:
                try:
                    ((greatest,),) = self._database.run(f"SELECT max({name}) FROM {sql.quoted(table)}")
                except DatabaseError:
                    break  # WITHOUT ROWID
                return (KeyColumn(name, "integer", ""),), greatest or 0
        return (), None

    def _quoted(self, name: str) -> str:
        return sql.quoted(name)

    def _from(self, table: SearchTable) -> str:
        return f"{sql.quoted(table.table)} t"

    def _key_list(self, table: SearchTable) -> str:
        return ", ".join(sql.transferable(part, f"t.{sql.quoted(part.name)}") for part in table.key)

    def _within(self, table: SearchTable, pages: Pages) -> Clause:
        names = ", ".join(f"t.{sql.quoted(part.name)}" for part in table.key)
        marks = ", ".join(sql.placeholder(part) for part in table.key)
        terms, values = [], list[object]()
        for key, sign in ((pages.after, ">"), (pages.upto, "<=")):
            if key is not None:
                terms.append(f"({names}) {sign} ({marks})")
                values += key
        return " AND ".join(terms) or "true", values

    def _contains(self, column: TextColumn, text: str) -> Clause:
        return f"instr(t.{sql.quoted(column.name)}, ?) > 0", [text]

    def _interesting(self, column: TextColumn, texts: Texts) -> Clause:
        """Let one pattern find all spellings, where it can."""
        marks = "".join(text[len(texts.hint) :] for text in texts.spelled)
        if not marks or texts.name or not IN_CLASS.issuperset(marks):
            return super()._interesting(column, texts)
        name = f"t.{sql.quoted(column.name)}"
        # no pattern matches bytes
        in_bytes, values = super()._interesting(column, texts)
        condition = f"CASE typeof({name}) WHEN 'text' THEN {name} GLOB ? WHEN 'blob' THEN {in_bytes} END"
        return condition, [f"*{texts.hint}[{marks}]*", *values]

    def _like(self, column: TextColumn, glob: str) -> Clause:
        return f"t.{sql.quoted(column.name)} GLOB ?", [glob.replace("[!", "[^")]

    def _length(self, column: TextColumn) -> str:
        return f"length(t.{sql.quoted(column.name)})"

    def _shown(self, column: TextColumn, texts: Texts) -> Clause:
        name = f"t.{sql.quoted(column.name)}"
        found = places(texts)
        first = ", ".join([*(f"nullif(instr({name}, ?), 0)" for _ in found), "1", "1"])
        return (
            f"CASE WHEN {self._length(column)} <= {SHOWN_CHARACTERS} THEN {name}"
            f" ELSE substr({name}, max(coalesce({first}) - {BEFORE}, 1), {SHOWN_CHARACTERS}) END",
            list(found),
        )
