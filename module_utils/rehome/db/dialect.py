"""The interface of a database: row and table types, errors, and the `Dialect` protocol. Each engine implements it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, Self

from ..codes import Code
from ..errors import RehomeError
from .control import ControlRow

KeyFamily = Literal["integer", "text", "binary"]
"""How a key column is transferred: as an integer, as text (also UUIDs and dates), or as hexadecimal text."""

Direction = Literal["rewrite", "rollback"]

Key = tuple[int | str, ...]
"""The values of a row's key columns, in the key's order."""


Expected = Literal["old", "new"]
"""Which value of a `Change` a row is expected to hold."""

Heads = tuple[str, str]
"""The common beginning of some old values, and the one that replaces it in the new values."""


class Row(NamedTuple):
    """One row of a referencing column. `value` is None for NULL and for bytes that are not UTF-8."""

    key: Key
    value: str | None


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Consecutive rows in the server's own key order, stored as columns. Iterating yields rows.

    last: the key of the last row, after which the next batch begins; None if there is no row
    """

    keys: Sequence[Key]
    values: Sequence[str | None]
    last: Key | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RowBatch:
        """Return `rows` as a batch, in their order."""
        keys, values = zip(*rows, strict=True) if rows else ((), ())
        return cls(keys, values, keys[-1] if keys else None)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Row]:
        return map(Row, self.keys, self.values)


class Touched(NamedTuple):
    """How many rows of a table a connection has inserted, changed and deleted, whoever asked for it.

    rows: how many the table has, where rows may be deleted uncounted; else 0
    """

    inserted: int = 0
    changed: int = 0
    deleted: int = 0
    rows: int = 0


class Change(NamedTuple):
    """The rewrite of one row: the value that the plan saw, and the value that replaces it."""

    key: Key
    old: str
    new: str


def common_heads(changes: Sequence[Change]) -> Heads | None:
    """Return the longest heads by which every new value differs from its old one; None if values differ otherwise."""
    olds, news = [change.old for change in changes], [change.new for change in changes]
    heads = common_head(olds), common_head(news)
    mark = separator(olds + news)
    if mark is None:
        old, new = map(len, heads)
        return heads if [text[old:] for text in olds] == [text[new:] for text in news] else None
    # as two texts: to slice each value takes half as long again
    old_head, new_head = (mark + head for head in heads)
    same = (mark + mark.join(olds)).replace(old_head, new_head) == mark + mark.join(news)
    return heads if same else None


def common_head(texts: Sequence[str]) -> str:
    """Return the longest string that all `texts` begin with."""
    first, last = min(texts), max(texts)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:length]


def separator(texts: Sequence[str]) -> str | None:
    """Return a character that occurs in none of `texts`; None if there is none among the candidates.

    Texts joined by it are equal only if each text is equal.
    """
    joined = "".join(texts)
    return next((mark for mark in "\x01\x02\x1e\x1f" if mark not in joined), None)


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the key that identifies a row. `sql_type` is what the dialect needs to compare it."""

    name: str
    family: KeyFamily
    sql_type: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the database's own catalog says about a referencing column.

    max_length: the length of the longest value that the column accepts, in `length_unit`; None if unlimited
    keep_columns: columns that the server updates by itself on UPDATE; the rewrite assigns them to themselves
    triggers: the triggers that fire for a rewritten row; they may change the written value
    where: the operator's condition, in which the table is called `t`; only rows that meet it are read and locked.
        `describe` leaves it None: the caller that wants to narrow the table sets it
    """

    table: str
    column: str
    key: tuple[KeyColumn, ...]
    max_length: int | None = None
    length_unit: Literal["characters", "bytes"] = "characters"
    keep_columns: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    where: str | None = None

    @property
    def reference(self) -> str:
        """The column with its table, as the journal names it."""
        return f"{self.table}.{self.column}"

    @property
    def safe_length(self) -> int | None:
        """The number of characters that fit whatever they are (UTF-8 takes up to four bytes); None if unlimited."""
        if self.max_length is None or self.length_unit == "characters":
            return self.max_length
        return self.max_length // 4

    def overflows(self, value: str) -> bool:
        """Return whether `value` is too long for the column."""
        if self.max_length is None:
            return False
        return (len(value) if self.length_unit == "characters" else len(value.encode())) > self.max_length


class JournalEntry(NamedTuple):
    """What the transaction of a chunk records beside its change. `entries` is compressed (see `journal.pack`).

    chunk: a unique id of 32 hexadecimal digits, which shows after a lost connection whether COMMIT succeeded
    undoes: the id of the entry that a rollback undoes
    """

    chunk: str
    migration: str
    fingerprint: str
    reference: str
    direction: Direction
    undoes: int | None
    row_count: int
    first_key: str
    last_key: str
    entries: bytes
    sha256: str
    written_by: str


class LockHolder(NamedTuple):
    """Who holds an advisory lock.

    session: the server's number of its session; 0 if unknown
    words: a description for the operator
    """

    session: int
    words: str


class RecordedEntry(NamedTuple):
    """A journal entry with what the database assigned to it: an increasing id, and the time (UTC)."""

    id: int
    written_at: datetime
    entry: JournalEntry


class DatabaseError(RehomeError):
    """The server refused a statement. The message quotes the server.

    code: the server's error number (MariaDB, MySQL) or SQLSTATE (PostgreSQL); empty if it gave none
    """

    summary: ClassVar[str] = "the database answered"
    trouble = Code.DATABASE_ANSWERED

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def quoting(cls, said: str, code: str = "") -> Self:
        """Return an error whose message is the summary of its class and what the server said."""
        return cls(f"{cls.summary}: {said}", code)


class MissingRightError(DatabaseError):
    """The server denies a right that the statement needs. Its error code says so, never its words."""

    trouble = Code.DATABASE_DENIED


class RetryableError(DatabaseError):
    """A deadlock, a timeout or a serialization failure: the transaction may be retried unchanged."""

    summary = "the database asks to try again"
    trouble = Code.ROWS_LOCKED


class StatementTimeoutError(RetryableError):
    """The statement took longer than the session's limit: for one row, it will most likely do so again."""


class ConnectionLostError(DatabaseError):
    """The connection was lost; whether a transaction in flight was committed is unknown."""

    summary = "the connection to the database was lost"
    trouble = Code.DATABASE_LOST


class ReadOnlyError(DatabaseError):
    """The server accepts no writes at the moment, for example during or after a failover."""

    summary = "the database takes no writes now"
    trouble = Code.DATABASE_READ_ONLY


class RowRefusedError(DatabaseError):
    """The server refuses the value of some row: a unique index, a check, a length, a character set, a trigger."""

    summary = "the database refuses the row"
    trouble = Code.ROWS_REFUSED


class TakenError(RowRefusedError):
    """Another row holds the value, and a unique index allows it once."""


class UnusableJournalError(RehomeError):
    """The table with the journal's name is not a journal; the message says how it differs."""

    trouble = Code.JOURNAL_UNUSABLE


class UnknownTableError(RehomeError):
    """There is no such table."""

    trouble = Code.NO_TABLE


class UnknownColumnError(RehomeError):
    """The table has no such column; the message lists the columns that it has."""

    trouble = Code.NO_TABLE


class UnusableTableError(RehomeError):
    """The table cannot be rewritten safely; the message says why."""

    trouble = Code.UNSUITABLE_TABLE


EXPLAINABLE: Final = ("SELECT", "UPDATE", "WITH")


class Explained(Exception):  # noqa: N818 - not an error: it ends an `explaining` block
    """The statement was explained instead of run, so the block has no result to continue with."""


class Dialect(Protocol):
    """An open connection to one database. Every method raises DatabaseError if the server refuses."""

    def close(self) -> None:
        """Close the connection and release its locks."""

    def keep_alive(self) -> None:
        """Use the connection outside a transaction, so that neither server nor proxy closes it as idle.

        Reconnects if the connection was lost. A failure to do so is left for the next statement to report.
        """

    def describe(self, table: str, column: str) -> TableFacts:
        """Read the facts of a referencing column.

        Raises UnknownTableError, UnknownColumnError, or UnusableTableError (no usable unique key, a storage engine
        without transactions, a column that holds no text).
        """

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, in the dialect's own SQL and placeholders, and return its rows."""

    def explaining(self) -> AbstractContextManager[list[Mapping[str, Any]]]:
        """Within the block, explain the first SELECT or UPDATE instead of running it, and end the block with it.

        Yields a list that is filled with the rows of the plan, as the server returns them. So the plan is that of the
        very statement that a run sends.
        """

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        """Return the next `limit` rows after the key `after`, in the server's own key order.

        Read in a short transaction of its own, which proxies that split reads from writes send to the primary.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """COMMIT at the end of the block, ROLLBACK if it raises."""

    def rolling_back(self) -> AbstractContextManager[None]:
        """Within the block, end each transaction with ROLLBACK, after all that COMMIT would have checked.

        So the very statements of a run are tried, and nothing is written. Not undone are gaps in sequences, and what
        triggers do outside of transactions.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """As `transaction`, and its reads see the table as it was at its beginning, apart from its own changes."""

    def touched(self, facts: TableFacts) -> Touched | None:
        """Return what this connection has done to the table's rows until now: its statements and what they set off.

        None if nothing in the schema, such as a trigger or a foreign key, makes them change other rows of the table.
        If in doubt, the figures are too high.
        """

    def others(self, facts: TableFacts, changes: Sequence[Change]) -> tuple[int, int]:
        """Return number and checksum (of keys and values) of the table's rows without those of `changes`.

        Reads the whole table, and locks nothing. Comparable within a `snapshot`.
        """

    def reconnect(self) -> None:
        """Close the connection and open a new one. Raises RefusedError if that fails."""

    def is_read_only(self) -> bool:
        """Return whether the server accepts no writes at the moment."""

    def session_id(self) -> int:
        """Return the server's number of the session that runs this very statement."""

    def connection_limits(self) -> Mapping[str, int]:
        """Return the limits on this user's connections at once, by name; 0 or less means no limit."""

    def hourly_limits(self) -> Mapping[str, int]:
        """Return the account's limits per hour, by name, without those that are not set."""

    @property
    def max_chunk_bytes(self) -> int:
        """The largest amount of text in a chunk whose statements the server accepts."""

    def lock(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        """Lock the rows of `changes` that still exist, and return their current values."""

    def read(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        """Return the current values of the rows of `changes` that still exist. Needs SELECT only, and locks nothing."""

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        """Rewrite the rows whose bytes still equal `old`, and return how many there were."""

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        """Rewrite the rows, at a fraction of the cost of `lock` and `update`.

        Return whether each row is known to have held `old` and to hold `new` now, byte for byte. False may be a doubt,
        for example if `changes` are not in the server's own key order. The caller must roll back after it.
        """

    def update_refusal(self, facts: TableFacts) -> DatabaseError | None:
        """Return the error with which the server refuses a rewrite of the column; None if it does not. Writes nothing.

        A MissingRightError if this user lacks a right; any other error has another reason.
        """

    def try_advisory_lock(self, name: str) -> LockHolder | None:
        """Take the server's advisory lock of this name without waiting. It is kept until `close`.

        Return None if it was taken, else its holder.
        """

    def holds_advisory_lock(self, name: str) -> bool:
        """Return whether this session still holds the lock that it has taken."""

    def lock_holder(self, name: str) -> LockHolder | None:
        """Return who holds the advisory lock of this name, without taking it; None: nobody, or it cannot be seen."""

    def journal_table(self, schema: str) -> str:
        """Return the quoted name of the journal's table."""

    def control_table(self, schema: str) -> str:
        """Return the quoted name of the control row's table, which is beside the journal's."""

    def has_control(self, schema: str) -> bool:
        """Return whether this user can read the control row's table. Not within a transaction."""

    def create_control(self, schema: str) -> None:
        """Create the control row's table if it does not exist, in a schema that does."""

    def read_control(self, schema: str, migration: str) -> ControlRow | None:
        """Return the control row of `migration`; None if there is none."""

    def add_control(self, schema: str, migration: str) -> None:
        """Add a control row that asks for nothing."""

    def say_control(self, schema: str, migration: str, said: str) -> None:
        """Write into the control row how far the run is."""

    def order_control(
        self, schema: str, migration: str, *, paused: bool, settings: str | None, asked_by: str | None
    ) -> None:
        """Write into the control row what is asked of the run."""

    def has_journal(self, schema: str) -> bool:
        """Return whether the journal's table exists. Raises UnusableJournalError if it has other columns."""

    def create_journal(self, schema: str) -> None:
        """Create the journal's schema, its table and that of the control row, those that do not exist."""

    def drop_journal(self, schema: str) -> None:
        """Drop the journal's table and that of the control row, and their schema if nothing else is in it."""

    def count_journal(self, schema: str) -> int:
        """Return the number of entries in the journal, of all migrations."""

    def append_journal(self, schema: str, entry: JournalEntry) -> None:
        """Write the entry of a chunk, inside the caller's transaction."""

    def newest_of_others(self, schema: str, migration: str, fingerprint: str) -> RecordedEntry | None:
        """Return the newest entry that `migration` has written under settings of another fingerprint, if any."""

    def journal_row_count(self, schema: str, chunk: str) -> int | None:
        """Return how many rows the chunk changed; None if it was never committed."""

    def read_journal(self, schema: str, migration: str, before: int | None, limit: int) -> list[RecordedEntry]:
        """Return the `limit` newest entries of `migration` with an id below `before` (None: any), newest first."""
