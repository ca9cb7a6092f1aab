"""What the searches of all engines share: the statements, made from the parts that differ."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from ..dialect import Dialect, Key
from ..search import BEFORE, SHOWN_CHARACTERS, ColumnSearch, Hit, Pages, SearchTable, TextColumn, Texts

Clause = tuple[str, list[object]]
"""A piece of SQL, and its parameters."""


class BaseSearch(ColumnSearch):
    """Base class of the engines' searches; `search.ColumnSearch` documents the methods."""

    placeholder: ClassVar[str] = "%s"

    def __init__(self, database: Dialect) -> None:
        self._database = database

    def page_end(self, table: SearchTable, after: Key | None, rows: int) -> Key | None:
        """Read the key alone, which an index serves."""
        where, values = self._within(table, Pages(after))
        found = self._database.run(
            f"SELECT {self._key_list(table)} FROM {self._from(table)} WHERE {where} ORDER BY {self._order(table)}"
            f" LIMIT 1 OFFSET {rows - 1}",
            values,
        )
        return tuple(found[0]) if found else None

    def starts(self, table: SearchTable, count: int, rows: int) -> list[Key]:
        """Spread them evenly over a number, and take the table's end of any other key."""
        if len(table.key) == 1 and table.key[0].family == "integer":
            name = f"t.{self._quoted(table.key[0].name)}"
            ((first, last),) = self._database.run(f"SELECT min({name}), max({name}) FROM {self._from(table)}")
            if first is None:
                return []
            step = (last - first) // (count + 1)
            return [(first + step * number,) for number in range(1, count + 1)] if step else []
        backward = ", ".join(f"{part} DESC" for part in self._order(table).split(", "))
        found = self._database.run(
            f"SELECT {self._key_list(table)} FROM {self._from(table)} ORDER BY {backward} LIMIT 1 OFFSET {rows}"
        )
        return [tuple(row) for row in found]

    def count(self, table: SearchTable, pages: Pages, most: int | None = None) -> int:
        """Count them on the server."""
        where, values = self._within(table, pages)
        rows = f"FROM {self._from(table)} WHERE {where}"
        if most is not None:
            rows = f"FROM (SELECT 1 {rows} LIMIT {most}) some_rows"
        return int(self._database.run(f"SELECT count(*) {rows}", values)[0][0])

    def size(self, table: SearchTable, pages: Pages, rows: int) -> int:
        """Return `rows`: the page ends with the last of them."""
        return rows

    def hits(self, table: SearchTable, texts: Texts, pages: Pages, limit: int) -> list[Hit]:
        """Let the server find them in one pass over all columns, and send what it found alone."""
        conditions = [self._interesting(column, texts) for column in table.columns]
        selected: list[str] = []
        values: list[object] = []
        for column, (condition, of_condition) in zip(table.columns, conditions, strict=True):
            shown, of_shown = self._shown(column, texts)
            selected.append(f"CASE WHEN {condition} THEN {shown} END")
            selected.append(f"CASE WHEN {condition} THEN {self._length(column)} END")
            values += [*of_condition, *of_shown, *of_condition]
        where, of_where = self._within(table, pages)
        either = " OR ".join(f"({condition})" for condition, _ in conditions)
        values += [*of_where, *(value for _, of_condition in conditions for value in of_condition)]
        keys = f"{self._key_list(table)}, " if table.key else ""
        order = f" ORDER BY {self._order(table)}" if table.key else ""
        rows = self._database.run(
            f"SELECT {keys}{', '.join(selected)} FROM {self._from(table)} WHERE {where} AND ({either}){order}"
            f" LIMIT {limit}",
            values,
        )
        return [_hit(row, len(table.key)) for row in rows]

    def _interesting(self, column: TextColumn, texts: Texts) -> Clause:
        """Return the condition of a value of interest."""
        if texts.name:
            return self._like(column, texts.name)
        if not texts.hint:
            return f"{self._length(column)} > 0", []
        hinted, values = self._contains(column, texts.hint)
        if not texts.spelled:
            return hinted, values
        spelled = [self._contains(column, text) for text in texts.spelled]
        # most values lack the hint, and are looked at once
        either = " OR ".join(term for term, _ in spelled)
        return f"{hinted} AND ({either})", [*values, *(value for _, of_term in spelled for value in of_term)]

    @abstractmethod
    def _quoted(self, name: str) -> str:
        """Return a name as an identifier."""

    @abstractmethod
    def _from(self, table: SearchTable) -> str:
        """Return the table, called `t`."""

    @abstractmethod
    def _key_list(self, table: SearchTable) -> str:
        """Return the select list of the key."""

    def _order(self, table: SearchTable) -> str:
        return ", ".join(f"t.{self._quoted(part.name)}" for part in table.key)

    @abstractmethod
    def _within(self, table: SearchTable, pages: Pages) -> Clause:
        """Return the condition of the rows of these pages; `true` for all."""

    @abstractmethod
    def _contains(self, column: TextColumn, text: str) -> Clause:
        """Return the condition that a value contains a text. It may hold for other cases and accents, too."""

    @abstractmethod
    def _like(self, column: TextColumn, glob: str) -> Clause:
        """Return a condition that holds at least for the values that a glob matches."""

    @abstractmethod
    def _length(self, column: TextColumn) -> str:
        """Return the length of a value."""

    @abstractmethod
    def _shown(self, column: TextColumn, texts: Texts) -> Clause:
        """Return a value, or of a long one SHOWN_CHARACTERS of it: BEFORE of them before the text of interest."""


def places(texts: Texts) -> tuple[str, ...]:
    """Return the texts at whose first place a long value is of interest, the best one first."""
    return (*texts.spelled, texts.hint) if texts.hint else ()


def like_pattern(glob: str) -> str:
    """Return the pattern of LIKE, with a backslash as its escape, that matches what a glob matches, and maybe more."""
    pattern, at = "", 0
    while at < len(glob):
        character, end = glob[at], glob.find("]", at + 2)
        at += 1
        if character == "[" and end >= 0:
            pattern, at = f"{pattern}_", end + 1
        elif character in "*?":
            pattern += {"*": "%", "?": "_"}[character]
        else:
            pattern += f"\\{character}" if character in "\\%_" else character
    return pattern


def containing(text: str) -> str:
    """Return the pattern of LIKE, with a backslash as its escape, of values that contain a text."""
    escaped = "".join(f"\\{character}" if character in "\\%_" else character for character in text)
    return f"%{escaped}%"


def _hit(row: Sequence[Any], keys: int) -> Hit:
    values, lengths = row[keys::2], row[keys + 1 :: 2]
    texts = tuple(map(_text, values))
    # the length of bytes is that of their text or more
    cut = tuple(
        text is not None and int(length) > max(SHOWN_CHARACTERS, len(text))
        for text, length in zip(texts, lengths, strict=True)
    )
    return Hit(tuple(row[:keys]), texts, cut)


def _text(value: object) -> str | None:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode(errors="replace")
    return None if value is None else str(value)


__all__ = ["BEFORE", "SHOWN_CHARACTERS", "BaseSearch", "Clause", "containing", "like_pattern", "places"]
