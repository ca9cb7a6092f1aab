"""Put rows back to what they held before the migration: those that still hold what it gave them, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ..catalog.catalog import Catalog
from ..catalog.schema import ROLLBACK_ROWS
from ..config.settings import Settings
from ..db.dialect import Change, Dialect, Key, TableFacts
from ..db.engines.open import connect
from ..db.facts import facts_for_rewrite
from ..db.journal import JournalTarget, pack
from ..db.throttle.assemble import throttle
from ..db.throttle.throttle import Throttle
from ..db.work.chunk import ChunkOutcome, rewrite_chunk
from ..db.work.chunk_size import MAX_ROWS, ChunkSize
from ..db.work.reconnect import WorkContext, retry_read
from ..db.work.workers import Workers
from ..mapping.row_key import key_to_json, keys_from_json
from ..planning.plan import ARCHIVED, classify_objects
from ..progress import Progress
from ..scan.journal import read_history
from ..scan.scan import scan_buckets
from .rewrite_rows import SAMPLE_ROWS, Waits, diff_of, hands, note_refused

_CLASSIFY = f"""
SELECT r.entry, r.place, r.reference, r.key, r.old_value, r.new_value,
    CASE
        WHEN $restore OR t.rest IS NULL THEN NULL
        WHEN s.rest IS NULL THEN 'the object is not in the source any more'
        WHEN {ARCHIVED} THEN 'the source object is archived'
        WHEN o.class = 'conflict' THEN 'the source object has other content than the target''s'
    END AS obstacle
FROM standing_rows r
LEFT JOIN source_objects s ON s.rest = r.rest
LEFT JOIN target_objects t ON t.rest = r.rest
LEFT JOIN objects o ON o.rest = r.rest
WHERE r.meant AND r.rest IS NOT NULL
"""
"""A row that names nothing real now, as the target has no such object, cannot lose anything by being put back."""

_QUEUE = """
SELECT entry, reference, obstacle, key, new_value, old_value FROM rollback_rows WHERE obstacle IS {} NULL
ORDER BY entry DESC, obstacle, place
"""
QUEUE = _QUEUE.format("")
OBSTRUCTED = _QUEUE.format("NOT")
LOOK_ROWS = 1_000


@dataclass(slots=True)
class RollbackCounts:
    """What becomes of the rows that a migration has rewritten.

    journalled: rewritten and not undone yet, as far as they are meant
    to_restore: of those looked at, the ones that still hold what Rehome gave them
    restored: now, and journalled
    restored_before: hold the old value already
    changed_since: hold a third value, the application's own
    gone: deleted, or their key was changed
    kept: left as they are, as the old value would not name the object that the new one does
    refused: left as they are, as the server does not take the old value
    foreign: rewritten, and not among the keys that `rehome_only_keys` means
    throttled_s: for how long the throttle held the work, by its reasons
    """

    journalled: int = 0
    to_restore: int = 0
    restored: int = 0
    restored_before: int = 0
    changed_since: int = 0
    gone: int = 0
    kept: int = 0
    refused: int = 0
    foreign: int = 0
    throttled_s: dict[str, float] = field(default_factory=dict, compare=False)

    def counts(self) -> dict[str, int]:
        """The counts by the names that summaries use."""
        return {f"rows_{name}": getattr(self, name) for name in self.__slots__ if name != "throttled_s"}

    def problems(self) -> list[str]:
        """What keeps the rollback from being complete."""
        texts = {
            "rows keep their new value, as the source has not what they name now (rows-kept.jsonl); "
            "rehome_rollback_missing decides": self.kept,
            "rows keep their new value, as the server refuses the old one (rows-refused.jsonl)": self.refused,
        }
        return [f"{count:,} {text}" for text, count in texts.items() if count]


def plan_rollback(settings: Settings, catalog: Catalog, progress: Progress) -> RollbackCounts:
    """Read the journal, look for the objects that the old values name, and class the rows that are to be put back.

    Raises RefusedError where the journal is not this migration's; S3Error and DatabaseError where something cannot be
    read: what is not known to be there, no row is put back to.
    """
    rollback = settings.rollback
    with connect(settings.database) as database:
        read_history(database, settings, catalog, progress, rollback.since)
    if rollback.missing == "keep":
        # an inventory is as old as its report, and what is there now is the question
        scan_buckets(replace(settings, source=replace(settings.source, inventory=None)), catalog, progress)
    classify_objects(catalog)
    catalog.run(ROLLBACK_ROWS.create(_CLASSIFY), {"restore": rollback.missing == "restore"})
    (meant, foreign) = catalog.query(
        "SELECT count(*) FILTER (rest IS NOT NULL), count(*) FILTER (rest IS NULL) FROM standing_rows WHERE meant"
    )[0]
    (undone,) = catalog.query(
        "SELECT count(*) FROM (SELECT DISTINCT reference, key FROM rewritten_rows WHERE meant AND rest IS NOT NULL)"
    )[0]
    return RollbackCounts(journalled=meant, foreign=foreign, restored_before=undone - meant)


def emptiness(counts: RollbackCounts, settings: Settings) -> list[str]:
    """A warning where there is nothing at all to undo: more often a slip in a name or a time than the truth."""
    if counts.journalled or counts.restored_before or counts.foreign:
        return []
    since = f" since {settings.rollback.since.isoformat()}" if settings.rollback.since else ""
    return [f"the journal in {settings.journal_schema} has no rows that {settings.name} has rewritten{since}"]


def look(
    settings: Settings, catalog: Catalog, progress: Progress, counts: RollbackCounts, queue: str = QUEUE
) -> list[dict[str, str]]:
    """Say what `roll_back` would do with a queue, by reading alone: samples, as Ansible shows differences.

    counts: grows with what is seen
    """
    samples = _Samples()
    with connect(settings.database) as database:
        facts = _describe(database, settings)
        done = 0
        progress.stage("look at rows", _length(catalog, queue))
        for piece in _pieces(catalog, queue, lambda: LOOK_ROWS):
            now = _read(database, facts[piece.reference], piece.changes, WorkContext())
            ours = [change for change in piece.changes if now.get(change.key) == change.old]
            others = [change for change in piece.changes if now.get(change.key) not in (change.old, change.new)]
            counts.restored_before += len(piece.changes) - len(ours) - len(others)
            _note_others(catalog, piece.reference, others, now, counts)
            if piece.obstacle is None:
                counts.to_restore += len(ours)
                samples.add(piece.reference, len(ours), ours)
            else:
                counts.kept += len(ours)
                _note_kept(catalog, piece, ours)
            done += len(piece.changes)
            progress.at(done, changed_since=counts.changed_since, gone=counts.gone)
    return samples.diffs()


def roll_back(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    counts: RollbackCounts,
    stopping: Callable[[], bool] = lambda: False,
) -> list[dict[str, str]]:
    """Put back the rows that `plan_rollback` found, newest chunk first, each chunk in one journalled transaction.

    counts: grows with what is committed, so that it is true also where this raises
    stopping: asked before each chunk; once true, the rest is left.
    Answers samples, as `look`. Raises DatabaseError where the server fails; the chunks until then are committed and
    journalled.
    """
    with ExitStack() as stack:
        reader, *writers = [stack.enter_context(connect(settings.database)) for _ in range(1 + hands(settings))]
        throttled = stack.enter_context(throttle(settings, progress))
        counts.throttled_s = throttled.held_s
        rollback = _Rollback(settings, catalog, progress, counts, reader, writers, throttled, stopping)
        rollback.run()
    return rollback.samples.diffs()


class _Rollback:
    """Rows on their way back. They are no two chunks' at once: each is undone from its newest entry alone."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        progress: Progress,
        counts: RollbackCounts,
        reader: Dialect,
        writers: Sequence[Dialect],
        throttled: Throttle,
        stopping: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._progress = progress
        self._counts = counts
        self._reader = reader
        self._facts = _describe(reader, settings)
        self._target = JournalTarget(settings.journal_schema, settings.name, settings.fingerprint, "rollback")
        self._chunk_size = ChunkSize(settings.chunk_ms / 1000)
        waits = Waits(progress)
        self._context = WorkContext(report=waits.tell, stopping=stopping, chunk_size=self._chunk_size)
        self._workers = Workers(writers, self._work, waits.show)
        self._throttled = throttled
        self._stopping = stopping
        self._done = 0
        self.samples = _Samples()

    def run(self) -> None:
        self._progress.stage("restore rows", _length(self._catalog, QUEUE))
        self._workers.run(self._packed_pieces(), self._note)

    def _packed_pieces(self) -> Iterator[_Piece]:
        for piece in _pieces(self._catalog, QUEUE, lambda: self._chunk_size.rows):
            if self._stopping():
                return
            # here and not in the transaction, while the server is busy with the chunk before
            yield piece._replace(packed=pack(piece.changes))

    def _work(self, database: Dialect, piece: _Piece, outcome: ChunkOutcome) -> None:
        facts = self._facts[piece.reference]
        self._throttled.wait(self._stopping, facts.table, database.keep_alive)
        if self._stopping():
            return
        target = self._target._replace(undoes=piece.entry)
        began = time.monotonic()
        rewrite_chunk(database, facts, piece.changes, target, outcome, self._context, piece.packed)
        self._throttled.rest(time.monotonic() - began, facts.table, outcome.rewritten)

    def _note(self, piece: _Piece, outcome: ChunkOutcome) -> None:
        counts = self._counts
        counts.restored += outcome.rewritten
        counts.restored_before += outcome.done
        counts.refused += len(outcome.refused)
        note_refused(self._catalog, piece.reference, outcome)
        if changed := outcome.changed_by_app:
            now = _read(self._reader, self._facts[piece.reference], changed, self._context)
            _note_others(self._catalog, piece.reference, changed, now, counts)
        # only of a chunk that was rewritten as a whole is it known which rows were
        whole = outcome.rewritten == len(piece.changes)
        self.samples.add(piece.reference, outcome.rewritten, piece.changes if whole else [])
        self._done += len(piece.changes)
        self._progress.at(self._done, changed_since=counts.changed_since, gone=counts.gone, refused=counts.refused)


class _Samples:
    """Gathers the first rows of each reference, to be shown before and after."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Change]] = {}
        self._totals: dict[str, int] = {}

    def add(self, reference: str, total: int, changes: Sequence[Change]) -> None:
        rows = self._rows.setdefault(reference, [])
        rows += changes[: SAMPLE_ROWS - len(rows)]
        self._totals[reference] = self._totals.get(reference, 0) + total

    def diffs(self) -> list[dict[str, str]]:
        return [
            diff_of(reference, self._totals[reference], [(row.old, row.new) for row in rows])
            for reference, rows in self._rows.items()
            if rows
        ]


class _Piece(NamedTuple):
    """Rows of one chunk that was rewritten.

    entry: its id in the journal
    obstacle: why they are not to be put back
    changes: turned round: from what Rehome gave the rows to what they held before
    packed: what the journal will say of them, once that is known
    """

    entry: int
    reference: str
    obstacle: str | None
    changes: list[Change]
    packed: bytes | None = None


def _pieces(catalog: Catalog, queue: str, rows_at_once: Callable[[], int]) -> Iterator[_Piece]:
    for batch in catalog.stream(queue, batch=MAX_ROWS):
        for (entry, reference, obstacle), rows in groupby(batch, key=itemgetter(0, 1, 2)):
            _, _, _, keys, news, olds = zip(*rows, strict=True)
            changes = list(map(Change, keys_from_json(keys), news, olds))
            while changes:
                count = rows_at_once()
                yield _Piece(entry, reference, obstacle, changes[:count])
                changes = changes[count:]


def _length(catalog: Catalog, queue: str) -> int:
    (total,) = catalog.query(f"SELECT count(*) FROM ({queue})")[0]
    return int(total)


def _describe(database: Dialect, settings: Settings) -> Mapping[str, TableFacts]:
    return {
        # of every row that was rewritten, also of those that the reference's condition leaves out by now
        reference.name: facts_for_rewrite(database.describe(reference.table, reference.column), settings)
        for reference in settings.references
    }


def _read(
    database: Dialect, facts: TableFacts, changes: Sequence[Change], context: WorkContext
) -> Mapping[Key, str | None]:
    return retry_read(database, lambda: database.read(facts, changes), context)


def _note_kept(catalog: Catalog, piece: _Piece, changes: Sequence[Change]) -> None:
    catalog.append(
        "rows_kept",
        [(piece.reference, key_to_json(change.key), change.old, change.new, piece.obstacle) for change in changes],
    )


def _note_others(
    catalog: Catalog, reference: str, changes: list[Change], now: Mapping[Any, str | None], counts: RollbackCounts
) -> None:
    changed = [change for change in changes if change.key in now]
    gone = [change for change in changes if change.key not in now]
    counts.changed_since += len(changed)
    counts.gone += len(gone)
    catalog.append(
        "rows_changed_since",
        [(reference, key_to_json(change.key), now[change.key], change.old, change.new) for change in changed],
    )
    catalog.append("rows_gone", [(reference, key_to_json(change.key), change.old, change.new) for change in gone])
