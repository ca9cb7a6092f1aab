"""Roll rows back to what they held before the migration, if they still hold what Rehome wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ..catalog.catalog import Catalog
from ..catalog.schema import ROLLBACK_ROWS
from ..codes import Code, marked
from ..config.settings import Settings
from ..db.dialect import Change, Dialect, Key, TableFacts
from ..db.engines.open import connect
from ..db.facts import facts_for_rewrite
from ..db.journal import JournalTarget
from ..db.work.chunk import ChunkOutcome
from ..db.work.chunk_size import MAX_ROWS
from ..db.work.reconnect import WorkContext, retry_read
from ..mapping.row_key import key_from_json, key_to_json, keys_from_json
from ..planning.plan import ARCHIVED, classify_objects
from ..run import Run
from ..scan.journal import read_history
from ..scan.scan import scan_buckets, without_inventory
from .chunk_runner import Chunk, ChunkRunner, Connections, note_refused, open_connections, sample_of
from .rewrite_rows import SAMPLE_ROWS, diff_of

_CLASSIFY = f"""
SELECT r.entry, r.place, r.reference, r.key, r.old_value, r.new_value,
    CASE
        WHEN $restore OR t.suffix IS NULL THEN NULL
        WHEN s.suffix IS NULL THEN 'the object is not in the source any more'
        WHEN {ARCHIVED} THEN 'the source object is archived'
        WHEN o.class = 'conflict' THEN 'the source object has other content than the target''s'
    END AS obstacle
FROM standing_rows r
LEFT JOIN source_objects s ON s.suffix = r.suffix
LEFT JOIN target_objects t ON t.suffix = r.suffix
LEFT JOIN objects o ON o.suffix = r.suffix
WHERE r.selected AND r.suffix IS NOT NULL
"""
"""A row whose object is not in the target names nothing now, so it loses nothing by a rollback."""

_QUEUE = """
SELECT entry, reference, obstacle, key, new_value, old_value FROM rollback_rows WHERE obstacle IS {} NULL
ORDER BY entry DESC, obstacle, place
"""
QUEUE = _QUEUE.format("")
OBSTRUCTED = _QUEUE.format("NOT")
_STANDING = "SELECT key, new_value, old_value FROM rollback_rows WHERE obstacle IS NULL"
ROWS_PER_READ = 1_000


@dataclass(slots=True)
class RollbackCounts:
    """The outcomes of the rows that a migration has rewritten.

    rewritten_ever: rewritten at any time, among the selected keys
    journalled: of those, the ones that were not rolled back when this rollback began
    not_reached: of those, the ones that nobody has looked at yet
    to_restore: of the inspected, those that still hold what Rehome wrote
    restored: rolled back by this run, and journalled
    restored_before: hold the old value already
    changed_since: hold a third value, the application's own
    gone: deleted, or their key was changed
    kept: left as they are, as the old value would not name the same object
    refused: left as they are, as the server does not accept the old value
    foreign: rewritten, and not among the keys of `rehome_only_keys`
    throttled_s: reason → seconds that the throttle paused the work
    """

    rewritten_ever: int = 0
    journalled: int = 0
    not_reached: int = 0
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
        """Return the counts by the names of the summary."""
        return {f"rows_{name}": getattr(self, name) for name in self.__slots__ if name != "throttled_s"}

    def left(self) -> dict[str, int]:
        """Return what the rollback leaves: class → count, without those that are 0. Of a dry one, what it would."""
        counts = {
            "rows_rewritten": self.kept + self.refused + self.not_reached,
            "rows_changed_since": self.changed_since,
            "rows_gone": self.gone,
            "rows_foreign": self.foreign,
        }
        return {name: count for name, count in counts.items() if count}

    def problems(self) -> list[str]:
        """Return what keeps the rollback from being complete, as sentences without their full stops."""
        texts = {
            "rows keep their new value, as the source does not have the object that they name now (rows-kept.jsonl); "
            "rehome_rollback_missing decides": self.kept,
            "rows keep their new value, as the server refuses the old one (rows-refused.jsonl)": self.refused,
        }
        return [marked(f"{count:,} {text}", Code.ROWS_KEPT) for text, count in texts.items() if count]


def plan_rollback(run: Run) -> RollbackCounts:
    """Read the journal, find the objects that the old values name, and class the rows that are to be rolled back.

    Raises RefusedError if the journal is of another migration; S3Error and DatabaseError if something cannot be read:
    no row is rolled back to an object that is not known to exist.
    """
    settings, catalog = run.settings, run.catalog
    rollback = settings.rollback
    with connect(settings.database) as database:
        read_history(run, database, rollback.since)
    if rollback.missing == "keep":
        scan_buckets(without_inventory(run))
    classify_objects(catalog)
    catalog.run(ROLLBACK_ROWS.create(_CLASSIFY), {"restore": rollback.missing == "restore"})
    standing = catalog.count("FROM standing_rows WHERE selected AND suffix IS NOT NULL")
    foreign = catalog.count("FROM standing_rows WHERE selected AND suffix IS NULL")
    rewritten = catalog.count(
        "SELECT DISTINCT reference, key FROM rewritten_rows WHERE selected AND suffix IS NOT NULL"
    )
    return RollbackCounts(
        rewritten_ever=rewritten,
        journalled=standing,
        not_reached=standing,
        foreign=foreign,
        restored_before=rewritten - standing,
    )


def nothing_selected(counts: RollbackCounts, settings: Settings) -> list[str]:
    """Return what is wrong if there is nothing to roll back: mostly a name, a time or a list of keys."""
    if counts.rewritten_ever:
        return []
    if counts.foreign:
        keys = f"rehome_only_keys ({len(settings.only_keys or ()):,} keys)"
        nothing = f"{keys} has none of the {counts.foreign:,} rows that {settings.name} has rewritten"
        return [marked(nothing, Code.NOTHING_TO_UNDO)]
    since = f" since {settings.rollback.since.isoformat()}" if settings.rollback.since else ""
    nothing = f"the journal in {settings.journal_schema} has no rows that {settings.name} has rewritten{since}"
    return [marked(nothing, Code.NOTHING_TO_UNDO)]


def inspect_rows(run: Run, counts: RollbackCounts, queue: str = QUEUE) -> list[dict[str, str]]:
    """Find out what `roll_back` would do with a queue. Read-only.

    counts: grows with what is read
    Return samples as Ansible shows differences. Raises DatabaseError if a row cannot be read.
    """
    samples = _Samples()
    with connect(run.settings.database) as database:
        tables = _tables(database, run.settings)
        done = 0
        run.progress.stage("inspect rows", run.catalog.count(queue))
        for rows in _journalled(run.catalog, queue, lambda: ROWS_PER_READ):
            now = _read(database, tables[rows.reference], rows.changes, WorkContext())
            ours = [change for change in rows.changes if now.get(change.key) == change.old]
            others = [change for change in rows.changes if now.get(change.key) not in (change.old, change.new)]
            counts.restored_before += len(rows.changes) - len(ours) - len(others)
            _note_others(run.catalog, rows.reference, others, now, counts)
            if rows.obstacle is None:
                counts.to_restore += len(ours)
                samples.add(rows.reference, len(ours), ours)
            else:
                counts.kept += len(ours)
                _note_kept(run.catalog, rows, ours)
            done += len(rows.changes)
            counts.not_reached -= len(rows.changes)
            run.progress.at(done, changed_since=counts.changed_since, gone=counts.gone)
    return samples.diffs()


def roll_back(run: Run, counts: RollbackCounts) -> list[dict[str, str]]:
    """Roll back the rows that `plan_rollback` found, newest chunk first, each chunk in one journalled transaction.

    counts: grows with what is committed, so it is true also if this raises
    Return samples as Ansible shows differences. Raises DatabaseError if the server fails; the chunks until then are
    committed and journalled.
    """
    with open_connections(run) as connections:
        counts.throttled_s = connections.throttle.paused_s
        rollback = _Rollback(run, connections, counts)
        rollback.run()
    return rollback.samples.diffs()


class _Rollback:
    """One rollback. No two chunks in flight share a row: each row is rolled back from its newest entry alone."""

    def __init__(self, run: Run, connections: Connections, counts: RollbackCounts) -> None:
        settings = run.settings
        self._run = run
        self._counts = counts
        self._reader = connections.reader
        self._tables = _tables(self._reader, settings)
        schema, name = settings.journal_schema, settings.name
        target = JournalTarget(schema, name, settings.fingerprint, "rollback", place=settings.place, job=run.job)
        self._runner = ChunkRunner(run, connections, self._tables, target, self._refusal_samples())
        self._done = 0
        self.samples = _Samples()

    def _refusal_samples(self) -> Mapping[str, Sequence[Change]]:
        catalog, samples = self._run.catalog, dict[str, Sequence[Change]]()
        for reference, facts in self._tables.items():
            rows = catalog.query(sample_of(f"{_STANDING} AND reference = $reference"), {"reference": reference})
            samples[facts.reference] = [Change(key_from_json(key), new, old) for key, new, old in rows]
        return samples

    def run(self) -> None:
        """Roll back the whole queue."""
        self._run.progress.stage("roll back rows", self._run.catalog.count(QUEUE))
        self._runner.write(self._chunks(), self._note)

    def _chunks(self) -> Iterator[Chunk]:
        for rows in _journalled(self._run.catalog, QUEUE, lambda: self._runner.size.rows):
            if self._run.stopping():
                return
            yield Chunk.of(rows.reference, rows.changes, undoes=rows.entry)

    def _note(self, chunk: Chunk, outcome: ChunkOutcome) -> None:
        counts, catalog = self._counts, self._run.catalog
        counts.restored += outcome.rewritten
        counts.restored_before += outcome.done
        counts.refused += len(outcome.refused)
        note_refused(catalog, chunk.reference, outcome)
        if changed := outcome.changed_by_app:
            now = _read(self._reader, self._tables[chunk.reference], changed, self._runner.context)
            _note_others(catalog, chunk.reference, changed, now, counts)
        # which rows were rewritten is known only of a chunk that was rewritten as a whole
        whole = outcome.rewritten == len(chunk.changes)
        self.samples.add(chunk.reference, outcome.rewritten, chunk.changes if whole else [])
        self._done += len(chunk.changes)
        counts.not_reached -= len(chunk.changes)
        self._run.progress.at(self._done, changed_since=counts.changed_since, gone=counts.gone, refused=counts.refused)


class _Samples:
    """The first rows of each reference, to be shown before and after."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Change]] = {}
        self._totals: dict[str, int] = {}

    def add(self, reference: str, total: int, changes: Sequence[Change]) -> None:
        """Count `total` rows of a reference, and take some of `changes` into its sample."""
        rows = self._rows.setdefault(reference, [])
        rows += changes[: SAMPLE_ROWS - len(rows)]
        self._totals[reference] = self._totals.get(reference, 0) + total

    def diffs(self) -> list[dict[str, str]]:
        """Return the samples as Ansible shows differences."""
        return [
            diff_of(reference, self._totals[reference], [(row.old, row.new) for row in rows])
            for reference, rows in self._rows.items()
            if rows
        ]


class _JournalledRows(NamedTuple):
    """Rows of one journal entry.

    entry: its id in the journal
    obstacle: why they must stay as they are; None if they may be rolled back
    changes: from what Rehome wrote to what the rows held before
    """

    entry: int
    reference: str
    obstacle: str | None
    changes: list[Change]


def _journalled(catalog: Catalog, queue: str, max_rows: Callable[[], int]) -> Iterator[_JournalledRows]:
    """Yield the rows of a queue, at most `max_rows()` of one entry at once."""
    for batch in catalog.stream(queue, batch=MAX_ROWS):
        for (entry, reference, obstacle), rows in groupby(batch, key=itemgetter(0, 1, 2)):
            _, _, _, keys, news, olds = zip(*rows, strict=True)
            changes = list(map(Change, keys_from_json(keys), news, olds))
            while changes:
                count = max_rows()
                yield _JournalledRows(entry, reference, obstacle, changes[:count])
                changes = changes[count:]


def _tables(database: Dialect, settings: Settings) -> Mapping[str, TableFacts]:
    """Describe the table of each reference, including rows that its condition excludes by now."""
    return {
        reference.name: facts_for_rewrite(database.describe(reference.table, reference.column), settings)
        for reference in settings.references
    }


def _read(
    database: Dialect, facts: TableFacts, changes: Sequence[Change], context: WorkContext
) -> Mapping[Key, str | None]:
    return retry_read(database, lambda: database.read(facts, changes), context)


def _note_kept(catalog: Catalog, rows: _JournalledRows, changes: Sequence[Change]) -> None:
    catalog.append(
        "rows_kept",
        [(rows.reference, key_to_json(change.key), change.old, change.new, rows.obstacle) for change in changes],
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
