"""Rewrite the rows of one chunk in one transaction, together with their journal entry, under compare-and-set."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...backoff import jittered_pause
from .. import journal
from ..dialect import Change, ConnectionLostError, Dialect, ReadOnlyError, RetryableError, RowRefusedError, TableFacts
from .caution import CautionLevel
from .reconnect import MAX_LOST_CONNECTIONS, WorkContext, reconnect

MAX_CONFLICTS = 8
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
CHARACTER_BYTES = 4
ROW_BYTES = 50
"""What a row adds to a statement besides its two values: mostly its key."""


class Refusal(NamedTuple):
    """A row whose new value the server refuses, and the server's message."""

    change: Change
    message: str


@dataclass(slots=True)
class ChunkOutcome:
    """What became of a chunk's rows: counts, and lists of the rows that need a human.

    rewritten: rows that were rewritten and journalled
    done: rows that held the new value already
    changed_by_app: rows that hold neither the old value nor the new one, or no longer exist
    refused: rows that are unchanged because the server refuses the new value
    conflicts: deadlocks and lock timeouts that were retried
    """

    rewritten: int = 0
    done: int = 0
    changed_by_app: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    conflicts: int = field(default=0, compare=False)

    def add(self, other: ChunkOutcome) -> None:
        """Add the counts and lists of `other`."""
        self.rewritten += other.rewritten
        self.done += other.done
        self.changed_by_app += other.changed_by_app
        self.refused += other.refused
        self.conflicts += other.conflicts


def rewrite_chunk(
    database: Dialect,
    facts: TableFacts,
    changes: Sequence[Change],
    target: journal.JournalTarget,
    outcome: ChunkOutcome,
    context: WorkContext | None = None,
    packed: bytes | None = None,
) -> None:
    """Rewrite the rows that still hold the planned old value, byte for byte, and journal them in the same transaction.

    Adds to `outcome` what is committed, also if a later part of the chunk fails. Retries deadlocks and lock timeouts
    with full jitter, then in halves; finds a row that the server refuses by halving. After a lost connection it
    reconnects, and the journal says whether the chunk was committed. Waits for a server that is read-only. Raises
    DatabaseError for anything else; the rows in question are rolled back.

    packed: the result of `journal.pack(changes)`, if it was computed ahead, while the server was busy
    """
    context = context or WorkContext()
    fits = len(changes) == 1 or _max_bytes(changes) <= database.max_chunk_bytes
    if fits and _Chunk(database, facts, changes, target, outcome, context, packed).rewrite():
        return
    half = len(changes) // 2
    for part in (changes[:half], changes[half:]):
        rewrite_chunk(database, facts, part, target, outcome, context)


class _NotAsPlannedError(Exception):
    """A row is not as planned, so the attempt is rolled back: the next one needs a higher caution level."""


@dataclass
class _Chunk:
    """One chunk, in as many attempts as it needs.

    id: identifies its journal entry; the same in every attempt
    commit_unknown: a connection was lost, so the last attempt may have been committed
    attempted: what the last attempt achieved, if it was committed
    """

    database: Dialect
    facts: TableFacts
    changes: Sequence[Change]
    target: journal.JournalTarget
    outcome: ChunkOutcome
    context: WorkContext
    packed: bytes | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    commit_unknown: bool = False
    attempted: ChunkOutcome = field(default_factory=ChunkOutcome)
    level: CautionLevel = CautionLevel.OPTIMISTIC
    conflicts: int = 0
    lost_connections: int = 0

    def rewrite(self) -> bool:
        """Rewrite the rows, in several attempts if needed. Returns False if the chunk must be split."""
        self.level = self.context.caution.level
        several = len(self.changes) > 1
        while True:
            try:
                self._attempt()
            except _NotAsPlannedError:
                self.level = CautionLevel(self.level + 1)
            except RowRefusedError as error:
                if several or self._is_refused(error):
                    return not several
            except RetryableError as error:
                self._handle_conflict(error)
                if several and self.conflicts > 1 and not self.commit_unknown:
                    return False
            except ConnectionLostError as error:
                self._handle_lost_connection(error)
            except ReadOnlyError as error:
                reconnect(self.database, error, self.context)
            else:
                self.outcome.add(self.attempted)
                self.context.caution.record(self.level, as_planned=self.attempted.rewritten == len(self.changes))
                return True

    def _attempt(self) -> None:
        with self.database.transaction():
            # after BEGIN, which may wait on a busy machine but locks nothing
            began = self.context.clock()
            fit, others = self.changes, ChunkOutcome()
            if self.level > CautionLevel.OPTIMISTIC:
                fit, others = _lock_planned(self.database, self.facts, self.changes)
            if self.commit_unknown:
                # An attempt whose end is unknown holds its row locks until it ends, and we have just acquired them.
                if self.database.journal_row_count(self.target.schema, self.id) is not None:
                    return
                self.commit_unknown = False
            self.attempted = others
            if fit:
                self._write(fit)
                packed = self.packed if len(fit) == len(self.changes) else None
                entry = journal.entry(self.id, self.target, f"{self.facts.table}.{self.facts.column}", fit, packed)
                self.database.append_journal(self.target.schema, entry)
                self.attempted.rewritten = len(fit)
        if self.context.chunk_size:
            self.context.chunk_size.record(len(self.changes), self.context.clock() - began)

    def _write(self, fit: Sequence[Change]) -> None:
        if self.level is CautionLevel.BY_VALUE:
            # The rows are locked already, and the operator's condition may be about the value that changes.
            _update(self.database, replace(self.facts, where=None), fit)
        elif not self.database.rewrite_as_planned(self.facts, fit):
            raise _NotAsPlannedError

    def _is_refused(self, error: RowRefusedError) -> bool:
        """Return whether the chunk's only row is refused. It counts only if the row was seen to be as planned."""
        if self.level is CautionLevel.OPTIMISTIC:
            self.level = CautionLevel.LOCKED_FIRST
            return False
        self.outcome.refused.append(Refusal(self.changes[0], str(error)))
        return True

    def _handle_conflict(self, error: RetryableError) -> None:
        self.conflicts += 1
        self.outcome.conflicts += 1
        if self.context.chunk_size:
            self.context.chunk_size.record_conflict()
        if self.conflicts == MAX_CONFLICTS:
            raise error
        self.context.sleep(jittered_pause(self.conflicts, FIRST_PAUSE_S, MAX_PAUSE_S))

    def _handle_lost_connection(self, error: ConnectionLostError) -> None:
        self.lost_connections += 1
        if self.lost_connections == MAX_LOST_CONNECTIONS:
            raise error
        self.commit_unknown = True
        self.level = max(self.level, CautionLevel.LOCKED_FIRST)
        reconnect(self.database, error, self.context)


def _lock_planned(
    database: Dialect, facts: TableFacts, changes: Sequence[Change]
) -> tuple[Sequence[Change], ChunkOutcome]:
    """Lock the rows. Returns those that are as planned, and the outcome of the others."""
    now = database.lock(facts, changes)
    others = [change for change in changes if now.get(change.key) != change.old]
    changed = [change for change in others if now.get(change.key) != change.new]
    fit = [change for change in changes if now.get(change.key) == change.old]
    return fit, ChunkOutcome(done=len(others) - len(changed), changed_by_app=changed)


def _update(database: Dialect, facts: TableFacts, changes: Sequence[Change]) -> None:
    """Rewrite rows that are locked and as planned, and check that the server did so. Raises RowRefusedError if not."""
    count = database.update(facts, changes)
    if count != len(changes):
        raise RowRefusedError(
            f"{len(changes)} locked rows of {facts.table}.{facts.column} were to be rewritten and the server rewrote "
            f"{count}; a trigger or a row security policy may do that"
        )
    # A trigger may store another value, and the server still counts the row as rewritten; trailing spaces of a value
    # that is too long are cut off (PostgreSQL's manual, section 8.3).
    now = database.lock(facts, changes)
    if any(now.get(change.key) != change.new for change in changes):
        raise RowRefusedError(
            f"the server stored another value in {facts.table}.{facts.column} than it was sent; a trigger may do that"
        )


def _max_bytes(changes: Sequence[Change]) -> int:
    """Return an upper bound of the size of a chunk's statements."""
    characters = sum(len(change.old) + len(change.new) for change in changes)
    return CHARACTER_BYTES * characters + ROW_BYTES * len(changes)
