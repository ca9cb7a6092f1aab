"""What an inspection brings back, and what it asks of a dialect. One file per dialect answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from ..checks import Check
from ..mapping.value_map import ValueMap
from .dialect import DatabaseError, TableFacts

Fact = TypeVar("Fact")

PATIENCE_S = 30
"""How long one question may keep the server busy; the plan reads everything anyway, and says it exactly."""

SAMPLE = 1_000
"""Rows of a kind that are looked at one by one; where there are more, that many are told of."""


class Unknown(NamedTuple):
    """A fact that this user may not see, or that takes too long to find out."""

    why: str


def or_unknown(ask: Callable[[], Fact]) -> Fact | Unknown:
    """What `ask` brings, or why the database did not answer."""
    try:
        return ask()
    except DatabaseError as error:
        return Unknown(str(error))


class Storage(NamedTuple):
    """How the table is kept.

    engine: with its size where that is known, in words
    collation: of the column, and what it takes to be equal, in words
    rows: the server's estimate; None where it has none
    """

    engine: str
    collation: str
    rows: int | None


class Values(NamedTuple):
    """What the column holds, by a scan on the server.

    rows: all of them
    old: those that begin with the old head, byte for byte
    look_alikes: those that would, were case and accents ignored
    longest: of the old ones, in the unit of the column's limit
    """

    rows: int
    old: int
    look_alikes: int
    longest: int


class ForeignKey(NamedTuple):
    """A foreign key on the column.

    parent, child: `table.column`; the column itself is one of them
    on_update: CASCADE, SET NULL, SET DEFAULT, RESTRICT or NO ACTION
    columns: how many it has
    """

    name: str
    parent: str
    child: str
    on_update: str
    columns: int = 1


class UniqueIndex(NamedTuple):
    """A unique index with the column in it.

    words: its columns, for people
    others: the other columns
    characters: how much of the value counts; None: all of it
    expression: SQL that gives what counts, where that is no plain column
    where: SQL that tells the rows that are in it, where that is not all of them
    collation: SQL of the index's own collation, where it has one
    """

    name: str
    words: str
    others: tuple[str, ...] = ()
    characters: int | None = None
    expression: str | None = None
    where: str | None = None
    collation: str | None = None


class Collision(NamedTuple):
    """An old value whose new value is taken: by `taken_by`, or by another new value where that is None."""

    old: str
    taken_by: str | None


class StatementPlan(NamedTuple):
    """How the server would run a statement.

    name: of the statement, in words
    words: what the plan says of the table
    by_key: whether it goes by the key
    """

    name: str
    words: str
    by_key: bool


class Rights(NamedTuple):
    """missing: of those that a run needs, in words · grant: the exact statement that gives all of them"""

    missing: tuple[str, ...]
    grant: str


class Inspector(Protocol):
    """Asks one database. Methods may raise DatabaseError, which makes their fact unknown."""

    hides_columns: bool
    """Whether the server keeps columns without rights, and so keys of them, from being seen."""

    def server_checks(self, dry_run: bool) -> list[Check]:
        """What the server's own settings mean for a run."""

    def grant_to_see(self, table: str, column: str) -> str:
        """What to do where `table`, its column or its key cannot be seen: the GRANT that shows them to this user."""

    def storage(self, facts: TableFacts) -> Storage:
        """How the table is kept."""

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        """Count what the column holds."""

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        """Up to SAMPLE old values that are longer than this, in the unit of the column's limit."""

    def unique_indexes(self, facts: TableFacts) -> Sequence[UniqueIndex]:
        """Those with the column in them."""

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> Sequence[Collision] | Unknown:
        """Up to SAMPLE old values whose new value `index` would refuse, under its own collation."""

    def foreign_keys(self, facts: TableFacts) -> Sequence[ForeignKey]:
        """Those on the column, from both sides."""

    def lacks_parent(self, facts: TableFacts, values: ValueMap, key: ForeignKey) -> bool:
        """Whether some new value is not among those that the foreign key of this column allows."""

    def generated_columns(self, facts: TableFacts) -> Sequence[str] | Unknown:
        """Columns that are generated from the column."""

    def other_checks(self, facts: TableFacts) -> list[Check]:
        """What only this kind of database has."""

    def plans(self, facts: TableFacts) -> Sequence[StatementPlan]:
        """The plans of the statements that a run sends, for the very statements of the dialect."""

    def rights(self, facts: TableFacts) -> Rights:
        """What this user may do with the table, held against what a run needs."""

    def may_create_journal(self, schema: str) -> bool:
        """Whether this user may make the journal's schema and table, which are not there."""

    def journal_grant(self, schema: str, there: bool) -> str:
        """What gives this user all that the journal needs; `there`: whether its table is."""

    def cost(self, facts: TableFacts, rows: int) -> str:
        """Words on the log that so many rewritten rows write, and on the disk that they take."""
