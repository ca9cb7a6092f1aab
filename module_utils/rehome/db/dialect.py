"""What the database engine asks of a database. One file per dialect answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol

from ..errors import RehomeError

KeyFamily = Literal["integer", "text", "binary"]
"""How a key column travels: as an integer, as text (also UUIDs and dates), or as hexadecimal text."""

Direction = Literal["rewrite", "rollback"]

Key = tuple[int | str, ...]
"""The values of a row's key columns, in the key's order."""


Expected = Literal["old", "new"]

Heads = tuple[str, str]
"""What old values begin with, and what new ones have in its place."""


class Row(NamedTuple):
    """A row as the walk sees it. `value` is None for NULL and for bytes that are no UTF-8."""

    key: Key
    value: str | None


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows behind one another in the server's own order of keys, as columns; iterating gives them row by row.

    last: the key of the last row, behind which the next page begins; None where there is no row
    """

    keys: Sequence[Key]
    values: Sequence[str | None]
    last: Key | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RowBatch:
        """The page of `rows`, in their order."""
        keys, values = zip(*rows, strict=True) if rows else ((), ())
        return cls(keys, values, keys[-1] if keys else None)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Row]:
        return map(Row, self.keys, self.values)


class Change(NamedTuple):
    """One row's rewrite: what the plan saw, and what it becomes."""

    key: Key
    old: str
    new: str


def common_heads(changes: Sequence[Change]) -> Heads | None:
    """The heads by which every new value differs from its old one, as long as can be; None where there are none."""
    heads = common_head([change.old for change in changes]), common_head([change.new for change in changes])
    old, new = map(len, heads)
    return heads if all(change.old[old:] == change.new[new:] for change in changes) else None


def common_head(texts: Sequence[str]) -> str:
    """What all `texts` begin with."""
    first, last = min(texts), max(texts)
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:length]


def separator(texts: Sequence[str]) -> str | None:
    """A character that none of `texts` has, so that joined by it they are equal only to themselves."""
    together = "".join(texts)
    return next((mark for mark in "\x01\x02\x1e\x1f" if mark not in together), None)


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the key that names one row. `sql_type` is what the dialect needs to compare it."""

    name: str
    family: KeyFamily
    sql_type: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the database's own catalog says about a referencing column.

    max_length: the longest value that the column takes, in `length_unit`; None where it has no limit
    keep_columns: columns that the server would touch by itself on UPDATE; the rewrite assigns them to themselves
    triggers: those that fire for a rewritten row; they may change what was written
    where: the operator's condition, in which the table goes by the name `t`; pages and locks have only rows that
        meet it. `describe` does not know it: whoever means to narrow the table sets it
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
    def safe_length(self) -> int | None:
        """So many characters fit whatever they are; None: any number."""
        if self.max_length is None or self.length_unit == "characters":
            return self.max_length
        return self.max_length // 4

    def overflows(self, value: str) -> bool:
        """Whether the column is too short for `value`."""
        if self.max_length is None:
            return False
        return (len(value) if self.length_unit == "characters" else len(value.encode())) > self.max_length


class JournalEntry(NamedTuple):
    """What one chunk's transaction records beside its change. `entries` is compressed (see `journal.pack`).

    chunk: 32 hexadecimal digits that no other chunk has, by which a lost COMMIT is found again
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


class RecordedEntry(NamedTuple):
    """A journal entry with what the database gave it: an id that grows, and the time (UTC)."""

    id: int
    written_at: datetime
    entry: JournalEntry


class DatabaseError(RehomeError):
    """The database refused or went away; the text says what was asked and what it answered."""


class RetryableError(DatabaseError):
    """A deadlock, a time-out or a serialization failure: the transaction may be tried again as it was."""


class ConnectionLostError(DatabaseError):
    """The connection is gone; whether a transaction under way was committed is not known."""


class ReadOnlyError(DatabaseError):
    """The server takes no writes now: after a failover, or until one is over."""


class RowRefusedError(DatabaseError):
    """The server takes no such value in some row: a unique index, a check, a length, a character set, a trigger."""


class UnusableJournalError(RehomeError):
    """What has the journal's name in the database is not one; the text says how it differs."""


class UnknownTableError(RehomeError):
    """There is no such table."""


class UnknownColumnError(RehomeError):
    """The table has no such column; the text lists those it has."""


class UnusableTableError(RehomeError):
    """The table cannot be rewritten safely; the text says why."""


EXPLAINABLE: Final = ("SELECT", "UPDATE", "WITH")


class Explained(Exception):  # noqa: N818 - no error: it ends an `explaining` block
    """The statement was explained: there is nothing to go on with."""


class Dialect(Protocol):
    """An open connection to one database. Every method raises DatabaseError where the server refuses."""

    def close(self) -> None:
        """Let go of the connection."""

    def keep_alive(self) -> None:
        """Use the connection outside a transaction, so that nobody takes it for idle.

        It is opened anew where it was lost; where that fails too, the next statement tells.
        """

    def describe(self, table: str, column: str) -> TableFacts:
        """Read the facts of a referencing column.

        Raises UnknownTableError, UnknownColumnError, or UnusableTableError (no usable unique key, a storage engine
        without transactions, a column that holds no text).
        """

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Read whatever else is to be known; `statement` is in the dialect's own SQL and marks."""

    def explaining(self) -> AbstractContextManager[list[Mapping[str, Any]]]:
        """Within the block, the first SELECT or UPDATE is explained instead of run, and the block ends with it.

        Yields the plan, a row as the server gives it. So what is judged is what a run would send.
        """

    def read_batch(self, facts: TableFacts, after: Key | None, limit: int) -> RowBatch:
        """The next `limit` rows behind the key `after`, in the server's own order of keys.

        Read in a short transaction of its own, which proxies that split reads from writes send to the primary.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """COMMIT at the end of the block, ROLLBACK where it raises."""

    def reconnect(self) -> None:
        """Open the connection anew. Raises RefusedError where that is not possible now."""

    def is_read_only(self) -> bool:
        """Whether the server takes no writes now."""

    @property
    def max_chunk_bytes(self) -> int:
        """How much text a chunk may have, for its statements to be taken by the server."""

    def lock(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        """Lock the rows of `changes` that still exist, and read their values now."""

    def read(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        """The values now of the rows of `changes` that still exist. As `lock`, with no lock and no more than SELECT."""

    def update(self, facts: TableFacts, changes: Sequence[Change]) -> int:
        """Rewrite the rows whose bytes still equal `old`; answers how many there were."""

    def rewrite_as_planned(self, facts: TableFacts, changes: Sequence[Change]) -> bool:
        """Rewrite the rows, at a fraction of the cost of `lock` and `update`.

        Answers whether each of them held `old` and holds `new` now, to the last byte. A no may be a doubt: where the
        rows are not in the server's own order of keys, say. After it the transaction is to be rolled back.
        """

    def update_refusal(self, facts: TableFacts) -> str | None:
        """Why this user may not rewrite the column, in the server's words; None where it may. Writes nothing."""

    def try_advisory_lock(self, name: str) -> str | None:
        """Take the server's advisory lock of this name, which is held until `close`.

        None where it was taken; else who holds it, in words. Never waits.
        """

    def has_journal(self, schema: str) -> bool:
        """Whether the journal's table is there. Raises UnusableJournalError where it has another shape."""

    def create_journal(self, schema: str) -> None:
        """Make the journal's schema and table where they are missing."""

    def append_journal(self, schema: str, entry: JournalEntry) -> None:
        """Write a chunk's record, inside the caller's transaction."""

    def journal_fingerprints(self, schema: str, migration: str) -> list[str]:
        """The fingerprints of the settings under which `migration` has written so far."""

    def journal_row_count(self, schema: str, chunk: str) -> int | None:
        """How many rows a chunk has changed; None where it never happened."""

    def read_journal(self, schema: str, migration: str, before: int | None, limit: int) -> list[RecordedEntry]:
        """The `limit` newest entries of `migration`, of those with an id below `before`; the newest first."""
