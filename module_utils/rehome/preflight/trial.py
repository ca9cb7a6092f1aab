"""Try the rewrite on a few rows before the first copy, in transactions that are rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from ..checks import Check
from ..codes import Code
from ..db.dialect import (
    Change,
    ConnectionLostError,
    DatabaseError,
    Dialect,
    RetryableError,
    StatementTimeoutError,
    TableFacts,
    TakenError,
)
from ..db.inspector import Inspector, Unknown, or_unknown
from ..db.journal import JournalTarget
from ..db.work.chunk import ChunkOutcome, rewrite_chunk
from ..db.work.reconnect import WorkContext
from ..db.work.refusals import MAX_TRIALS, Refusals
from .column import Column

NAME = "trial"
TRIED_ROWS = 5
MAX_TRIED_ROWS = 1 + MAX_TRIALS
"""Tried if each of the first TRIED_ROWS is refused: as many as a run tries before it blames the table."""


class _Refused(NamedTuple):
    change: Change
    error: DatabaseError


@dataclass
class _Errors(Refusals):
    """Keeps the error with which a row is refused, and lets it be about that row: the trial compares rows itself."""

    errors: list[DatabaseError] = field(default_factory=list)

    def is_about_row(self, facts: TableFacts, error: DatabaseError) -> bool:
        """Keep the error. Return True, so that no other row is tried."""
        self.errors.append(error)
        return True


def not_tried(column: Column) -> Check:
    """Return the check of a dry run, which tries nothing."""
    return column.unknown(
        NAME, Unknown("not tried in a dry run: a run rewrites a few rows, in transactions that it rolls back")
    )


def try_rewrite(database: Dialect, inspector: Inspector, column: Column, target: JournalTarget) -> Check:
    """Rewrite and journal up to TRIED_ROWS rows by the very code of a run, each in a transaction that is rolled back.

    It stops the run if each of these rows is refused, and each of up to MAX_TRIED_ROWS. A row that is locked is waited
    for as long as in a chunk, but once, and the others are tried without it.
    """
    lasting = or_unknown(lambda: inspector.irreversible(column.facts))
    if lasting is not None:
        reason = lasting.why if isinstance(lasting, Unknown) else lasting
        return column.unknown(NAME, Unknown(f"not tried, as ROLLBACK may not undo all of it: {reason}"))
    changes = or_unknown(lambda: _changes(inspector, column))
    if isinstance(changes, Unknown):
        return column.unknown(NAME, changes)
    outcome, refused, busy = ChunkOutcome(), list[_Refused](), list[_Refused]()
    with database.rolling_back():
        for number, change in enumerate(changes):
            if number >= TRIED_ROWS and (outcome.rewritten or busy):
                break
            try:
                errors = _try(database, column, change, target, outcome)
            except (StatementTimeoutError, ConnectionLostError) as error:
                return _unknown(column, _Refused(change, error))
            except RetryableError as error:
                busy.append(_Refused(change, error))
                continue
            except DatabaseError as error:
                errors = [error]
            refused += [_Refused(change, error) for error in errors]
    if busy and not outcome.rewritten and not refused:
        return _unknown(column, busy[0])
    return _judged(column, outcome.rewritten, refused)


def _unknown(column: Column, row: _Refused) -> Check:
    return column.unknown(NAME, Unknown(f"the row with the key {row.change.key} could not be tried: {row.error}"))


def _changes(inspector: Inspector, column: Column) -> Sequence[Change]:
    """Return up to MAX_TRIED_ROWS changes, without those that the plan would not rewrite.

    The first TRIED_ROWS are from all over the sample, the others from beside each other: what each second row meets is
    not taken for what all meet.
    """
    values, facts = column.values, column.facts
    changes = [
        Change(row.key, row.value, new)
        for row in inspector.sample(facts, values)
        if row.value is not None and (new := values.to_target(row.value)) is not None
        if new != row.value and not facts.overflows(new)
    ]
    step = max(1, len(changes) // TRIED_ROWS)
    first = changes[::step][:TRIED_ROWS]
    return [*first, *(change for change in changes if change not in first)][:MAX_TRIED_ROWS]


def _try(
    database: Dialect, column: Column, change: Change, target: JournalTarget, outcome: ChunkOutcome
) -> list[DatabaseError]:
    """Add to `outcome` what would become of the row. Return the error with which it is refused, if it is."""
    errors = _Errors()
    # a context of its own: what one row meets says nothing about the next
    context = WorkContext(sleep=_never_again, stopping=lambda: True, refusals=errors)
    try:
        rewrite_chunk(database, column.facts, [change], target, outcome, context)
    except RetryableError as given_up:
        # what the server said, before `_never_again`
        if isinstance(given_up.__context__, RetryableError):
            raise given_up.__context__ from None
        raise
    return errors.errors


def _never_again(_seconds: float) -> NoReturn:
    """End the attempts on a row: the application waits, too, while a row is locked by several."""
    raise RetryableError("the row is locked, or the server is busy")


def _judged(column: Column, rewritten: int, refused: Sequence[_Refused]) -> Check:
    tried = rewritten + len(refused)
    if not tried:
        return column.check(NAME, "pass", "no row to try")
    if not refused:
        return column.check(NAME, "pass", f"{tried} rows were rewritten and journalled, and rolled back")
    first = refused[0]
    words = f"{first.error}, such as for {first.change.new!r}"
    # a value that is taken is about its row, even if each row that was tried has one
    if rewritten or all(isinstance(row.error, TakenError) for row in refused):
        advice = "Such rows are not rewritten, and are listed in rows-refused.jsonl"
        found = f"{len(refused)} of {tried} tried rows is refused: {words}"
        return column.warn(NAME, found, advice, Code.ROWS_REFUSED)
    return column.stop(
        NAME,
        f"each of {tried} tried rows is refused: {words}",
        "Remove the reason that the server gives: a trigger, a constraint, or a right of what they call. Nothing was "
        "copied or rewritten",
        Code.TRIAL_REFUSED,
    )
