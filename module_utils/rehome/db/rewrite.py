"""The guarded rewrite: one chunk, one transaction, its journal entry inside it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import journal
from .dialect import Change, DatabaseError, Dialect, RetryableError, TableFacts

CHUNK_ROWS = 1_000
ATTEMPTS = 8
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class JournalTarget(NamedTuple):
    """Where a migration's chunks are recorded."""

    schema: str
    migration: str
    fingerprint: str


class ChunkOutcome(NamedTuple):
    """What became of a chunk's rows: rewritten now, done before, or changed by the application since the plan."""

    rewritten: int
    done: int
    changed_by_app: list[Change]


def rewrite_chunk(
    database: Dialect,
    facts: TableFacts,
    changes: Sequence[Change],
    target: JournalTarget,
    sleep: Callable[[float], None] = time.sleep,
) -> ChunkOutcome:
    """Rewrite the rows that still hold what the plan saw, byte for byte, and journal them in the same transaction.

    Deadlocks and lock time-outs are tried again with full jitter, then in halves. Raises DatabaseError for the rest,
    and for a count of rewritten rows that does not add up; the chunk is rolled back then.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _in_one_transaction(database, facts, changes, target)
        except RetryableError:
            if attempt + 1 == ATTEMPTS:
                raise
            sleep(random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt)))  # noqa: S311 - spreads load
            if attempt and len(changes) > 1:
                break
    half = len(changes) // 2
    first, second = (rewrite_chunk(database, facts, part, target, sleep) for part in (changes[:half], changes[half:]))
    return ChunkOutcome(
        first.rewritten + second.rewritten,
        first.done + second.done,
        first.changed_by_app + second.changed_by_app,
    )


def _in_one_transaction(
    database: Dialect, facts: TableFacts, changes: Sequence[Change], target: JournalTarget
) -> ChunkOutcome:
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
            reference = f"{facts.table}.{facts.column}"
            entry = journal.entry(target.migration, target.fingerprint, reference, fit)
            database.append_journal(target.schema, entry)
    others = [change for change in changes if now.get(change.key) != change.old]
    changed = [change for change in others if now.get(change.key) != change.new]
    return ChunkOutcome(len(fit), len(others) - len(changed), changed)
