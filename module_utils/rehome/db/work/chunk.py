"""The guarded rewrite: one chunk, one transaction, its journal entry inside it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...backoff import jittered_pause
from .. import journal
from ..dialect import (
    Change,
    ConnectionLostError,
    Dialect,
    ReadOnlyError,
    RetryableError,
    RowRefusedError,
    TableFacts,
)
from .care import Care
from .reconnect import Surroundings, come_back

ATTEMPTS = 8
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LOSSES = 5
"""Connections that one chunk may lose."""
CHARACTER_BYTES = 4
ROW_BYTES = 50
"""What a row adds to a statement beside its values, its key above all."""


class Refusal(NamedTuple):
    """A row whose new value the server does not take, and what it said."""

    change: Change
    message: str


@dataclass(slots=True)
class ChunkOutcome:
    """What became of a chunk's rows, in numbers but for those that need a human.

    rewritten: now, and journalled
    done: held the new value already
    changed_by_app: hold neither the old value nor the new, or are gone
    refused: stay as they were, because the server does not take the new value
    conflicts: deadlocks and time-outs on the way
    """

    rewritten: int = 0
    done: int = 0
    changed_by_app: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    conflicts: int = field(default=0, compare=False)

    def add(self, other: ChunkOutcome) -> None:
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
    around: Surroundings | None = None,
    packed: bytes | None = None,
) -> None:
    """Rewrite the rows that still hold what the plan saw, byte for byte, and journal them in the same transaction.

    Adds to `outcome` what is committed, so that it is true also where a later part fails. Deadlocks and time-outs are
    tried again with full jitter, then in halves; a row that the server refuses is found by halving. A lost connection
    is opened anew, and the journal tells whether the chunk had been committed; a server that takes no writes is waited
    for. Raises DatabaseError for the rest; what it was about is rolled back then.

    packed: what `journal.pack` makes of `changes`, where that was made while the server was at work
    """
    around = around or Surroundings()
    fits = len(changes) == 1 or _bytes_at_most(changes) <= database.max_chunk_bytes
    if fits and _Chunk(database, facts, changes, target, outcome, around, packed).is_dealt_with():
        return
    half = len(changes) // 2
    for part in (changes[:half], changes[half:]):
        rewrite_chunk(database, facts, part, target, outcome, around)


class _OtherwiseError(Exception):
    """Something is not as planned, and the attempt is rolled back: the next needs more care."""


@dataclass
class _Chunk:
    """One chunk on its way through any number of attempts.

    id: what its journal entry is known by, in every attempt
    unsure: a connection was lost, and the last attempt may have been committed
    account: what the last attempt has to its credit if it was
    """

    database: Dialect
    facts: TableFacts
    changes: Sequence[Change]
    target: journal.JournalTarget
    outcome: ChunkOutcome
    around: Surroundings
    packed: bytes | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    unsure: bool = False
    account: ChunkOutcome = field(default_factory=ChunkOutcome)
    care: Care = Care.AT_ONCE
    conflicts: int = 0
    losses: int = 0

    def is_dealt_with(self) -> bool:
        """Try until it is; if it cannot be in one piece, answer no."""
        self.care = self.around.outlook.care
        several = len(self.changes) > 1
        while True:
            try:
                self._attempt()
            except _OtherwiseError:
                self.care = Care(self.care + 1)
            except RowRefusedError as error:
                if several or self._is_refused(error):
                    return not several
            except RetryableError as error:
                self._met_conflict(error)
                if several and self.conflicts > 1 and not self.unsure:
                    return False
            except ConnectionLostError as error:
                self._lost_connection(error)
            except ReadOnlyError as error:
                come_back(self.database, error, self.around)
            else:
                self.outcome.add(self.account)
                self.around.outlook.note(self.care, as_planned=self.account.rewritten == len(self.changes))
                return True

    def _attempt(self) -> None:
        with self.database.transaction():
            # BEGIN, for which a busy machine may wait, locks nothing
            began = self.around.clock()
            fit, others = self.changes, ChunkOutcome()
            if self.care > Care.AT_ONCE:
                fit, others = _sort_out(self.database, self.facts, self.changes)
            if self.unsure:
                # An attempt whose end is not known holds the locks of its rows until it is over. We hold them now.
                if self.database.journal_row_count(self.target.schema, self.id) is not None:
                    return
                self.unsure = False
            self.account = others
            if fit:
                self._write(fit)
                packed = self.packed if len(fit) == len(self.changes) else None
                entry = journal.entry(self.id, self.target, f"{self.facts.table}.{self.facts.column}", fit, packed)
                self.database.append_journal(self.target.schema, entry)
                self.account.rewritten = len(fit)
        if self.around.servo:
            self.around.servo.note(len(self.changes), self.around.clock() - began)

    def _write(self, fit: Sequence[Change]) -> None:
        if self.care is Care.BY_VALUE:
            # of rows that are locked; the operator's condition may be about the very value
            _update(self.database, replace(self.facts, where=None), fit)
        elif not self.database.rewrite_as_planned(self.facts, fit):
            raise _OtherwiseError

    def _is_refused(self, error: RowRefusedError) -> bool:
        """Whether the chunk's only row is, of which somebody must have looked whether it is what was planned."""
        if self.care is Care.AT_ONCE:
            self.care = Care.SORTED_OUT
            return False
        self.outcome.refused.append(Refusal(self.changes[0], str(error)))
        return True

    def _met_conflict(self, error: RetryableError) -> None:
        self.conflicts += 1
        self.outcome.conflicts += 1
        if self.around.servo:
            self.around.servo.note_trouble()
        if self.conflicts == ATTEMPTS:
            raise error
        self.around.sleep(jittered_pause(self.conflicts, FIRST_PAUSE_S, LONGEST_PAUSE_S))

    def _lost_connection(self, error: ConnectionLostError) -> None:
        self.losses += 1
        if self.losses == LOSSES:
            raise error
        self.unsure = True
        self.care = max(self.care, Care.SORTED_OUT)
        come_back(self.database, error, self.around)


def _sort_out(database: Dialect, facts: TableFacts, changes: Sequence[Change]) -> tuple[Sequence[Change], ChunkOutcome]:
    """Lock the rows; answers those that are as the plan saw them, and what the others are."""
    now = database.lock(facts, changes)
    others = [change for change in changes if now.get(change.key) != change.old]
    changed = [change for change in others if now.get(change.key) != change.new]
    fit = [change for change in changes if now.get(change.key) == change.old]
    return fit, ChunkOutcome(done=len(others) - len(changed), changed_by_app=changed)


def _update(database: Dialect, facts: TableFacts, changes: Sequence[Change]) -> None:
    """Rewrite rows that are locked and as the plan saw them, and see that it is done."""
    count = database.update(facts, changes)
    if count != len(changes):
        raise RowRefusedError(
            f"{len(changes)} locked rows of {facts.table}.{facts.column} were to be rewritten and the server rewrote "
            f"{count}; a trigger or a policy may do that"
        )
    # A trigger may put another value in place of ours, which the server counts as rewritten all the same, and spaces at
    # the end of a value that is too long are cut (PostgreSQL's manual, section 8.3).
    now = database.lock(facts, changes)
    if any(now.get(change.key) != change.new for change in changes):
        raise RowRefusedError(
            f"the server put another value into {facts.table}.{facts.column} than it was given; a trigger may do that"
        )


def _bytes_at_most(changes: Sequence[Change]) -> int:
    """How much text a chunk's statements have at most."""
    characters = sum(len(change.old) + len(change.new) for change in changes)
    return CHARACTER_BYTES * characters + ROW_BYTES * len(changes)
