"""Search all columns of a database for texts: what an engine tells of its columns, and how it finds values in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from .dialect import Key, KeyColumn

SHOWN_CHARACTERS: Final = 8_192
"""Of a longer value, so much around the first place where the text is: a value may have gigabytes."""

BEFORE: Final = 1_024
"""How much of it lies before that place."""


class TextColumn(NamedTuple):
    """A column that may hold texts. type: as the server names it; binary: it holds bytes, which may be a text's"""

    name: str
    type: str
    binary: bool = False


@dataclass(frozen=True, slots=True)
class SearchTable:
    """A table with columns that may hold texts.

    schema: empty where the engine has none
    name: as a reference names the table
    key: the columns by which it is read in pages; empty: it can only be read as a whole
    rows: the server's estimate; None if it has none
    """

    schema: str
    table: str
    name: str
    columns: tuple[TextColumn, ...]
    key: tuple[KeyColumn, ...] = ()
    rows: int | None = None


class NotSearched(NamedTuple):
    """What is not searched, and why. table: as a reference names it, or a whole schema; column: empty for all of it"""

    table: str
    column: str
    why: str


class Contents(NamedTuple):
    """What a database has, in a stable order."""

    tables: list[SearchTable]
    not_searched: list[NotSearched]


class Texts(NamedTuple):
    """What a value must contain to be of interest.

    hint: a text of ASCII letters, digits and `_.~-`; empty: any value
    spelled: of these, at least one: the hint with one more character each; empty: the hint is enough
    name: instead, a pattern in the syntax of globs for a whole value; empty: none
    """

    hint: str
    spelled: tuple[str, ...] = ()
    name: str = ""


class Hit(NamedTuple):
    """A row with at least one value of interest.

    values: by the columns of the table, None for the others; of long ones a part, which `cut` says
    key: empty if the table has none
    """

    key: Key
    values: tuple[str | None, ...]
    cut: tuple[bool, ...]


class Pages(NamedTuple):
    """The rows after a key, up to another one. None: from the first, and to the last."""

    after: Key | None = None
    upto: Key | None = None


class ColumnSearch(Protocol):
    """Reads one database to find texts in it. Every method raises DatabaseError if the server refuses."""

    def contents(self, schemas: Sequence[str]) -> Contents:
        """Read the database's own catalog. schemas: globs; empty: those that the settings are about"""

    def page_end(self, table: SearchTable, after: Key | None, rows: int) -> Key | None:
        """Return the key of the row that is so many rows after a key; None if there are fewer."""

    def starts(self, table: SearchTable, count: int, rows: int) -> list[Key]:
        """Return keys after which samples of `rows` rows are read, spread over the table as well as the key allows."""

    def count(self, table: SearchTable, pages: Pages, most: int | None = None) -> int:
        """Count rows, up to so many."""

    def size(self, table: SearchTable, pages: Pages, rows: int) -> int:
        """Return how many rows there are up to a key that `page_end` has returned for so many rows."""

    def hits(self, table: SearchTable, texts: Texts, pages: Pages, limit: int) -> list[Hit]:
        """Return the first `limit` rows in the order of the key that have a value of interest."""
