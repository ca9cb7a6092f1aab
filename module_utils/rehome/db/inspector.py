"""What preflight checks of a database, and the `Inspector` protocol that reads it. Each engine implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from ..checks import Check
from ..mapping.value_map import ValueMap
from .dialect import DatabaseError, Row, TableFacts

Result = TypeVar("Result")

SCAN_TIMEOUT_S = 30
"""How long one query may keep the server busy. The plan reads all rows anyway, and then has exact numbers."""

SAMPLE_ROWS = 1_000
"""The number of rows of a kind that are read at most; if there are more, messages say "or more"."""


WHOLE_ROWS = 100
"""The number of rows that are read as they are, with all their values, at most."""


class Unknown(NamedTuple):
    """A result that this user may not see, or that takes too long to compute."""

    why: str


def or_unknown(read: Callable[[], Result]) -> Result | Unknown:
    """Return the result of `read`, or Unknown if it raises DatabaseError."""
    try:
        return read()
    except DatabaseError as error:
        return Unknown(str(error))


class Storage(NamedTuple):
    """How the table is stored.

    engine: the storage engine, with the table's size if known, in words
    collation: the column's collation, and what it ignores, in words
    rows: the server's estimate; None if it has none
    """

    engine: str
    collation: str
    rows: int | None


class Values(NamedTuple):
    """Counts of the column's values, from a scan on the server.

    rows: all rows
    old: values that begin with the old head, byte for byte
    look_alikes: values that would begin with it if case and accents were ignored
    longest: the length of the longest old value, in the unit of the column's limit
    """

    rows: int
    old: int
    look_alikes: int
    longest: int


HIDDEN_RULE: Final = "hidden from this user"


class ForeignKey(NamedTuple):
    """A foreign key on the column.

    parent, child: `table.column`; one of them is the column itself
    on_update: CASCADE, SET NULL, SET DEFAULT, RESTRICT or NO ACTION, or HIDDEN_RULE
    columns: the number of its columns
    """

    name: str
    parent: str
    child: str
    on_update: str
    columns: int = 1


class UniqueIndex(NamedTuple):
    """A unique index that contains the column.

    words: its columns, for messages
    others: its other columns
    expression: SQL of what is indexed, if it is not plain columns
    where: SQL of the index's predicate, if it is partial
    collation: SQL of the index's own collation, if it has one
    """

    name: str
    words: str
    others: tuple[str, ...] = ()
    expression: str | None = None
    where: str | None = None
    collation: str | None = None


class Collision(NamedTuple):
    """An old value whose new value is taken: by the value `taken_by`, or by another new value if that is None."""

    old: str
    taken_by: str | None


class RefusedByCheck(NamedTuple):
    """What a check constraint on the column, or on its domain, says to new values.

    name: of the constraint
    computed, refused: the number of new values, and of those that it refuses
    example: an old value whose new value it refuses; None if there is none
    """

    name: str
    computed: int
    refused: int
    example: str | None


class StatementPlan(NamedTuple):
    """How the server would execute a statement.

    name: read, lock or update
    words: the steps of the plan that concern the table
    by_key: whether it finds the rows by the key; None if the plan does not say
    """

    name: str
    words: str
    by_key: bool | None


class RefusedStatement(NamedTuple):
    """A statement of a run that the server does not even explain. name: as in `StatementPlan`"""

    name: str
    error: DatabaseError


class Rights(NamedTuple):
    """This user's rights, compared with those that a run needs.

    missing: the rights that are not in effect, in words
    grant: what puts them in effect: the role to activate, if one has them, and the exact statement that grants all
    """

    missing: tuple[str, ...]
    grant: str


class Hidden(NamedTuple):
    """What the server may hide from this user, so that a check cannot say "none".

    what: in words
    advice: the statement that shows it, or who can look
    """

    what: str
    advice: str


class Inspector(Protocol):
    """Reads what preflight checks. Methods may raise DatabaseError, which makes their result unknown."""

    hides_columns: bool
    """Whether the server hides columns, and thereby their keys, from users without rights to them."""

    def server_checks(self, dry_run: bool) -> list[Check]:
        """Check the server's own settings."""

    def grant_to_see(self, table: str, column: str) -> str:
        """Return what to do if `table`, its column or its key is not visible: the GRANT that shows it to this user."""

    def hidden(self, facts: TableFacts) -> Mapping[str, Hidden]:
        """Return what may be hidden from this user, by the name of the check that asks for it."""

    def storage(self, facts: TableFacts) -> Storage:
        """Read how the table is stored."""

    def count_values(self, facts: TableFacts, values: ValueMap) -> Values:
        """Count the column's values."""

    def too_long_values(self, facts: TableFacts, values: ValueMap, than: int) -> list[str]:
        """Return up to SAMPLE_ROWS old values longer than `than`, in the unit of the column's limit."""

    def unique_indexes(self, facts: TableFacts) -> Sequence[UniqueIndex]:
        """Return the unique indexes that contain the column."""

    def collisions(self, facts: TableFacts, values: ValueMap, index: UniqueIndex) -> Sequence[Collision] | Unknown:
        """Return up to SAMPLE_ROWS old values whose new value `index` would refuse, under its own collation."""

    def foreign_keys(self, facts: TableFacts) -> Sequence[ForeignKey]:
        """Return the foreign keys from and to the column."""

    def lacks_parent(self, facts: TableFacts, values: ValueMap, key: ForeignKey) -> bool:
        """Return whether some new value does not exist in the parent column of this column's foreign key."""

    def sample(self, facts: TableFacts, values: ValueMap) -> Sequence[Row]:
        """Return up to WHOLE_ROWS rows whose value begins with the old head, in any order."""

    def unable_to_hold(self, facts: TableFacts, text: str) -> str | None:
        """Return the name of the character set of the column if it cannot hold `text`; None if it can."""

    def refused_by_checks(self, facts: TableFacts, values: ValueMap) -> Sequence[RefusedByCheck]:
        """Compute what each check constraint that this user sees says to the new values of up to SAMPLE_ROWS rows."""

    def irreversible(self, facts: TableFacts) -> str | None:
        """Return what an UPDATE of the table may do that ROLLBACK does not undo, as far as this user sees it."""

    def generated_columns(self, facts: TableFacts) -> Sequence[str] | Unknown:
        """Return the columns that are generated from the column."""

    def other_checks(self, facts: TableFacts) -> list[Check]:
        """Check what only this kind of database has."""

    def plans(self, facts: TableFacts) -> Sequence[StatementPlan | RefusedStatement]:
        """Return the plans of the statements that a run sends; none if the table is empty."""

    def way_out(self, error: DatabaseError, place: str) -> str:
        """Return what to do about a statement that the server refuses though the rights on the column are in effect.

        place: the table or schema that the statement was about
        """

    def judged_by(self, error: DatabaseError) -> str | None:
        """Return the name of the check that finds the reason of `error` by itself; None if there is none."""

    def rights(self, facts: TableFacts) -> Rights:
        """Compare the rights that are in effect for this user on the table with those that a run needs."""

    def may_create_journal(self, schema: str) -> bool:
        """Return whether this user may create the journal's schema and table, which do not exist."""

    def journal_rights(self, schema: str, seen: bool) -> Rights:
        """Compare the rights that are in effect on the journal with those that a run needs.

        seen: whether this user sees its table; if not, a run may have to create it
        """

    def journal_grant(self, schema: str, exists: bool) -> str:
        """Return the statement that grants this user what the journal needs. exists: whether its table exists"""

    def cost(self, facts: TableFacts, rows: int) -> str:
        """Describe how much log and disk space it takes to rewrite this many rows."""
