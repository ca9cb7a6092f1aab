"""The guarded rewrite: one chunk, one transaction, its journal entry inside it."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from . import journal
from .dialect import Change, DatabaseError, Dialect, RetryableError, RowRefusedError, TableFacts

CHUNK_ROWS = 1_000
ATTEMPTS = 8
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


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
    """

    rewritten: int = 0
    done: int = 0
    changed_by_app: list[Change] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def rewrite_chunk(
    database: Dialect,
    facts: TableFacts,
    changes: Sequence[Change],
    target: journal.JournalTarget,
    outcome: ChunkOutcome,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Rewrite the rows that still hold what the plan saw, byte for byte, and journal them in the same transaction.

    Adds to `outcome` what is committed, so that it is true also where a later part fails. Deadlocks and lock
    time-outs are tried again with full jitter, then in halves; a row that the server refuses is found by halving.
    Raises DatabaseError for the rest; what it was about is rolled back then.
    """
    for attempt in range(ATTEMPTS):
        try:
            _in_one_transaction(database, facts, changes, target, outcome)
        except RowRefusedError as error:
            if len(changes) == 1:
                outcome.refused.append(Refusal(changes[0], str(error)))
                return
            break
        except RetryableError:
            if attempt + 1 == ATTEMPTS:
                raise
            sleep(random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt)))  # noqa: S311 - spreads load
            if attempt and len(changes) > 1:
                break
        else:
            return
    half = len(changes) // 2
    for part in (changes[:half], changes[half:]):
        rewrite_chunk(database, facts, part, target, outcome, sleep)


def _in_one_transaction(
    database: Dialect,
    facts: TableFacts,
    changes: Sequence[Change],
    target: journal.JournalTarget,
    outcome: ChunkOutcome,
) -> None:
    with database.transaction():
        now = database.lock(facts, changes)
        fit = [change for change in changes if now.get(change.key) == change.old]
        if fit:
            count = database.update(facts, fit)
            if count != len(fit):
                raise DatabaseError(
                    f"{facts.table}.{facts.column}: {len(fit)} locked rows were to be rewritten and the server "
                    f"rewrote {count}; the chunk was rolled back"
                )
            _see_that_it_is_written(database, facts, fit)
            reference = f"{facts.table}.{facts.column}"
            entry = journal.entry(uuid.uuid4().hex, target, reference, fit)
            database.append_journal(target.schema, entry)
    others = [change for change in changes if now.get(change.key) != change.old]
    changed = [change for change in others if now.get(change.key) != change.new]
    outcome.rewritten += len(fit)
    outcome.done += len(others) - len(changed)
    outcome.changed_by_app += changed


def _see_that_it_is_written(database: Dialect, facts: TableFacts, changes: Sequence[Change]) -> None:
    """A trigger may put another value in place of ours, which the server counts as rewritten all the same.

    MySQL hides triggers from users without the right to them, so every chunk is read back.
    """
    now = database.lock(facts, changes)
    if any(now.get(change.key) != change.new for change in changes):
        raise RowRefusedError(
            f"the server put another value into {facts.table}.{facts.column} than it was given; a trigger may do that"
        )
