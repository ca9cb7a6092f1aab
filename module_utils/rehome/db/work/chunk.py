"""Rewrite the rows of one chunk in one transaction, together with their journal entry, under compare-and-set."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...backoff import jittered_pause
from .. import journal
from ..dialect import (
    Change,
    ConnectionLostError,
    DatabaseError,
    Dialect,
    ReadOnlyError,
    RetryableError,
    RowRefusedError,
    StatementTimeoutError,
    TableFacts,
    TakenError,
    Touched,
)
from .caution import CautionLevel
from .reconnect import MAX_LOST_CONNECTIONS, WorkContext, reconnect
from .refusals import FEW, of_all_rows

MAX_CONFLICTS = 8
MAX_STATEMENT_TIMEOUTS = 2
"""Statements on one row that may run into the server's time limit, before the row counts as refused."""
MAX_READ_ONLY = 3
"""How often a server that says it is writable may refuse a chunk as read-only, before its rows are told apart."""
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
    with full jitter, then in halves; finds a row that cannot be written by halving, whatever the error, and goes on
    with the others if any row of the column can be. After a lost connection it reconnects, and the journal says whether
    the chunk was committed. Waits for a server that is read-only. Raises DatabaseError if no row can be written; the
    rows in question are rolled back.

    packed: the result of `journal.pack(changes)`, if it was computed ahead, while the server was busy
    """
    context = context or WorkContext()

    def rewrite(part: Sequence[Change], packed: bytes | None) -> None:
        fits = len(part) == 1 or _max_bytes(part) <= database.max_chunk_bytes
        if fits and _Chunk(database, facts, part, changes, target, outcome, context, packed).rewrite():
            return
        half = len(part) // 2
        rewrite(part[:half], None)
        rewrite(part[half:], None)

    rewrite(changes, packed)


class _NotAsPlannedError(Exception):
    """A row is not as planned, so the attempt is rolled back: the next one needs the caution level `needed`."""

    def __init__(self, needed: CautionLevel) -> None:
        super().__init__()
        self.needed = needed


@dataclass
class _Chunk:
    """One chunk, in as many attempts as it needs.

    whole: the rows that the caller wanted to rewrite at once, of which this may be a part
    id: identifies its journal entry; the same in every attempt
    commit_unknown: a connection was lost, so the last attempt may have been committed
    exhausted: the error for which no attempt is made any more, once it is known that none was committed
    attempted: what the last attempt achieved, if it was committed
    """

    database: Dialect
    facts: TableFacts
    changes: Sequence[Change]
    whole: Sequence[Change]
    target: journal.JournalTarget
    outcome: ChunkOutcome
    context: WorkContext
    packed: bytes | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    commit_unknown: bool = False
    exhausted: DatabaseError | None = None
    attempted: ChunkOutcome = field(default_factory=ChunkOutcome)
    level: CautionLevel = CautionLevel.OPTIMISTIC
    conflicts: int = 0
    lost_connections: int = 0
    read_only: int = 0

    def rewrite(self) -> bool:
        """Rewrite the rows, in several attempts if needed. Returns False if the chunk must be split."""
        self.level = self.context.caution.level
        while True:
            try:
                self._attempt()
            except _NotAsPlannedError as doubt:
                self.level = doubt.needed
            except DatabaseError as error:
                self._recover(error)
                if self._is_given_up(error):
                    return self._is_only_row(error)
            else:
                self.outcome.add(self.attempted)
                self.context.caution.record(self.level, as_planned=self.attempted.rewritten == len(self.changes))
                if self.attempted.rewritten:
                    self.context.refusals.record_written(self.facts, self.changes[0])
                return True

    def _attempt(self) -> None:
        with self._transaction():
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
            if self.exhausted:
                raise self.exhausted
            self.attempted = others
            if fit:
                self._write(fit)
                self.attempted.rewritten = len(fit)
        if self.context.chunk_size:
            self.context.chunk_size.record(len(self.changes), self.context.clock() - began)

    def _transaction(self) -> AbstractContextManager[None]:
        return self.database.snapshot() if self.level is CautionLevel.WATCHED else self.database.transaction()

    def _write(self, fit: Sequence[Change]) -> None:
        if self.level is CautionLevel.WATCHED:
            before = self.database.others(self.facts, fit)
            self._rewrite_rows(fit)
            if self.database.others(self.facts, fit) != before:
                raise RowRefusedError(_others_changed(self.facts, fit))
        else:
            touched = self.database.touched(self.facts)
            self._rewrite_rows(fit)
            if touched and self.database.touched(self.facts) != _after(touched, len(fit)):
                # or in doubt
                raise _NotAsPlannedError(CautionLevel.WATCHED)
        packed = self.packed if len(fit) == len(self.changes) else None
        entry = journal.entry(self.id, self.target, self.facts.reference, fit, packed)
        self.database.append_journal(self.target.schema, entry)

    def _rewrite_rows(self, fit: Sequence[Change]) -> None:
        if self.level >= CautionLevel.BY_VALUE:
            # The rows are locked already, and the operator's condition may be about the value that changes.
            _update(self.database, replace(self.facts, where=None), fit)
        elif not self.database.rewrite_as_planned(self.facts, fit):
            raise _NotAsPlannedError(CautionLevel(self.level + 1))

    def _recover(self, error: DatabaseError) -> None:
        """Wait for what may pass: a lost connection, a server that is read-only, a conflict with others."""
        if isinstance(error, ConnectionLostError):
            if error is not self.exhausted:
                self._handle_lost_connection(error)
        elif isinstance(error, ReadOnlyError):
            self.read_only += 1
            if self.read_only < MAX_READ_ONLY:
                reconnect(self.database, error, self.context)
        elif isinstance(error, RetryableError):
            self.conflicts += 1
            self.outcome.conflicts += 1
            if self.context.chunk_size:
                self.context.chunk_size.record_conflict()
            if self.conflicts < MAX_CONFLICTS:
                self.context.sleep(jittered_pause(self.conflicts, FIRST_PAUSE_S, MAX_PAUSE_S))

    def _is_given_up(self, error: DatabaseError) -> bool:
        """Return whether the chunk is not tried again as it is. Raises `error` if it may have been committed."""
        several = len(self.changes) > 1
        if isinstance(error, ConnectionLostError):
            return error is self.exhausted
        if isinstance(error, ReadOnlyError):
            return self.read_only == MAX_READ_ONLY
        if isinstance(error, RetryableError):
            slow = isinstance(error, StatementTimeoutError)
            enough = (1 if slow else 2) if several else (MAX_STATEMENT_TIMEOUTS if slow else MAX_CONFLICTS)
            if self.conflicts < (MAX_CONFLICTS if self.commit_unknown else enough):
                return False
        if self.commit_unknown:
            raise error
        if several or self.level > CautionLevel.OPTIMISTIC:
            return True
        # it counts only if the row was seen to be as planned
        self.level = CautionLevel.LOCKED_FIRST
        return False

    def _is_only_row(self, error: DatabaseError) -> bool:
        """Return False if the chunk has several rows. Otherwise record its only row as refused, and return True.

        Raises DatabaseError if the error is about the table or the server, as no row of the column can be written.
        """
        if len(self.changes) > 1:
            return False
        (change,) = self.changes
        if not self.context.refusals.is_about_row(self.facts, error):
            failed = self._try_others(change)
            if failed >= (FEW if isinstance(error, RowRefusedError) else 1):
                # what no row can do is not recorded as if it were about some of them
                self.outcome.refused = [row for row in self.outcome.refused if row.change not in self.whole]
                raise of_all_rows(self.facts, error, failed) from error
        self.outcome.refused.append(Refusal(change, str(error)))
        return True

    def _try_others(self, refused: Change) -> int:
        """Try to write other rows, without a commit. Return how many failed with the refused one; 0 if one passes."""
        failed = 1
        for change in self.context.refusals.to_try(self.facts, refused, self.whole):
            try:
                passed = self._could_write(change)
            except TakenError:
                continue
            except DatabaseError as error:
                if isinstance(error, ConnectionLostError):
                    reconnect(self.database, error, self.context)
                failed += 1
            else:
                if passed:
                    self.context.refusals.record_written(self.facts, change)
                    return 0
        return failed

    def _could_write(self, change: Change) -> bool:
        """Write the row, and roll back. Return False if it is not as planned. Raises DatabaseError if it is refused."""
        trial = replace(self, changes=[change], packed=None, id=uuid.uuid4().hex, attempted=ChunkOutcome())
        trial.level = max(self.level, CautionLevel.LOCKED_FIRST)
        while True:
            try:
                with self.database.rolling_back(), trial._transaction():
                    fit, _ = _lock_planned(self.database, self.facts, [change])
                    if fit:
                        trial._write(fit)
                return bool(fit)
            except _NotAsPlannedError as doubt:
                trial.level = doubt.needed

    def _handle_lost_connection(self, error: ConnectionLostError) -> None:
        self.lost_connections += 1
        if self.lost_connections > MAX_LOST_CONNECTIONS:
            # whether the attempt was committed cannot be found out
            raise error
        if self.lost_connections == MAX_LOST_CONNECTIONS:
            self.exhausted = error
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
            f"{len(changes)} locked rows of {facts.reference} were to be rewritten and the server rewrote "
            f"{count}; a trigger or a row security policy may do that"
        )
    # A trigger may store another value, and the server still counts the row as rewritten; trailing spaces of a value
    # that is too long are cut off (PostgreSQL's manual, section 8.3).
    now = database.lock(facts, changes)
    if any(now.get(change.key) != change.new for change in changes):
        raise RowRefusedError(
            f"the server stored another value in {facts.reference} than it was sent; a trigger may do that"
        )


def _after(touched: Touched, rewritten: int) -> Touched:
    return touched._replace(changed=touched.changed + rewritten)


def _others_changed(facts: TableFacts, changes: Sequence[Change]) -> str:
    names = f" (its triggers: {', '.join(facts.triggers)})" if facts.triggers else ""
    return (
        f"rewriting {len(changes)} rows of {facts.reference} would also change, add or delete other rows of the table"
        f"{names}; a trigger, a rule or a foreign key may do that"
    )


def _max_bytes(changes: Sequence[Change]) -> int:
    """Return an upper bound of the size of a chunk's statements."""
    characters = sum(len(change.old) + len(change.new) for change in changes)
    return CHARACTER_BYTES * characters + ROW_BYTES * len(changes)
