"""Rewrite the rows of a plan whose object is verified in the target, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from ..catalog.catalog import Catalog
from ..config.settings import Reference, Settings
from ..db.dialect import Change
from ..db.facts import facts_for_rewrite
from ..db.journal import JournalTarget
from ..db.work.chunk import ChunkOutcome
from ..db.work.interleave import interleaved
from ..db.work.keyset import read_by_keyset
from ..mapping.row_key import key_to_json, keys_from_json, keys_to_json
from ..planning.plan import VERIFIED
from ..run import Run
from .chunk_runner import Chunk, ChunkRunner, Connections, note_refused, open_connections, sample_of
from .failure_limit import FailureLimit

_QUEUED = f"""
SELECT r.key, r.value FROM planned_rows r
WHERE r.reference = $reference AND r.is_old
    AND ({VERIFIED.format("outcomes")} OR (r.class = 'dangling' AND $rewrite_dangling))
"""
QUEUE = f"{_QUEUED} ORDER BY r.ordinal"

_KNOWN = """
SELECT g.place FROM (
    SELECT unnest($keys) AS key, unnest($suffixes) AS suffix, unnest(range(len($keys))) AS place
) g
LEFT JOIN objects o ON o.suffix = g.suffix
WHERE (
    o.class = 'present'
    OR (o.suffix IS NULL AND EXISTS (SELECT 1 FROM target_objects t WHERE t.suffix = g.suffix))
    OR EXISTS (SELECT 1 FROM outcomes u WHERE u.suffix = g.suffix AND u.result IN ('copied', 'present'))
) AND NOT EXISTS (SELECT 1 FROM refused_rows f WHERE f.reference = $reference AND f.key = g.key)
ORDER BY g.place
"""
"""Which of the given rows name an object that is verified as in `VERIFIED`."""

PLANNED = """
SELECT value FROM planned_rows
WHERE reference = $reference AND is_old AND (class = 'to_rewrite' OR (class = 'dangling' AND $rewrite_dangling))
ORDER BY ordinal
"""
QUEUED_AT_ONCE = 1_000
"""Rows that are read from the catalog at once: less time than a chunk takes, so that no connection waits for it."""
SAMPLE_ROWS = 3
MAX_REREADS = 3
"""A busy application may write old values without end; what is left is counted, and for the next pass."""


@dataclass(slots=True)
class RewriteCounts:
    """The outcomes of the queue's rows, in the classes of `ChunkOutcome`.

    planned: rows that the plan calls to rewrite
    waiting: of those, the ones whose object is not verified
    appeared: rows that the plan did not have, and that were found meanwhile
    done: by the time of the rewrite, they held the new value
    throttled_s: reason → seconds that the throttle paused the work
    """

    planned: int = 0
    waiting: int = 0
    appeared: int = 0
    rewritten: int = 0
    done: int = 0
    changed_by_app: int = 0
    refused: int = 0
    throttled_s: dict[str, float] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return the counts by the names of the summary."""
        settled = self.rewritten + self.done + self.changed_by_app + self.refused + self.waiting
        return {
            "rows_rewritten": self.rewritten,
            "rows_appeared": self.appeared,
            "rows_found_done": self.done,
            "rows_changed_by_app": self.changed_by_app,
            "rows_refused": self.refused,
            "rows_waiting": self.waiting,
            "rows_not_reached": self.planned + self.appeared - settled,
        }

    def add(self, outcome: ChunkOutcome) -> None:
        """Count the outcome of one chunk."""
        self.rewritten += outcome.rewritten
        self.done += outcome.done
        self.changed_by_app += len(outcome.changed_by_app)
        self.refused += len(outcome.refused)


def rewrite_planned(run: Run, counts: RewriteCounts) -> None:
    """Rewrite the rows that the plan in the catalog calls to rewrite and whose object is verified in the target.

    Then read the tables again, until nothing is found or `MAX_REREADS` times: the application may have written rows
    under the old form meanwhile, of objects that this catalog knows to be in the target.
    counts: grows with what is committed, so it is true also if this raises
    Raises DatabaseError if the server fails; the chunks until then are committed and journalled.
    """
    counts.planned = rows_to_rewrite(run.settings, run.catalog)
    limit = FailureLimit(run, "rows were refused by the database")
    with open_connections(run) as connections:
        counts.throttled_s = connections.throttle.paused_s
        for reference in run.settings.references:
            _Rewrite(run.until(limit.reached), reference, connections, counts, limit).run()
            limit.require()


class _Rewrite:
    """The rewrite of one reference."""

    def __init__(
        self, run: Run, reference: Reference, connections: Connections, counts: RewriteCounts, limit: FailureLimit
    ) -> None:
        settings = run.settings
        self._stopping = run.stopping
        self._catalog = run.catalog
        self._progress = run.progress
        self._reference = reference
        self._values = settings.value_map(reference)
        self._params = _params(settings, reference)
        self._rereads = MAX_REREADS if settings.whole else 0
        self._reader = connections.reader
        self._throttle = connections.throttle
        facts = replace(self._reader.describe(reference.table, reference.column), where=reference.where)
        self._facts = facts_for_rewrite(facts, settings)
        schema, name = settings.journal_schema, settings.name
        target = JournalTarget(schema, name, settings.fingerprint, place=settings.place, job=run.job)
        samples = {self._facts.reference: self._changes(self._catalog.query(sample_of(_QUEUED), self._params))}
        self._runner = ChunkRunner(run, connections, {reference.name: self._facts}, target, samples)
        self._counts = counts
        self._limit = limit
        self._done = 0

    def run(self) -> None:
        """Rewrite the planned rows, then those that have appeared since."""
        total = self._catalog.count(QUEUE, self._params)
        self._counts.waiting += self._catalog.count(PLANNED, self._params) - total
        self._progress.stage(f"rewrite {self._reference.name}", total)
        found = self._write(self._parts(total))
        while found and self._rereads and not self._stopping():
            self._rereads -= 1
            self._progress.stage(f"reread {self._reference.name}")
            found = self._write([self._appeared()])

    def _write(self, parts: Iterable[Iterator[Change]]) -> int:
        self._done = 0
        self._runner.write(self._chunks(parts), self._note)
        return self._done

    def _parts(self, total: int) -> Iterable[Iterator[Change]]:
        if self._throttle.awaits_autovacuum(self._facts.table, total):
            return interleaved(self._queued(), lambda: self._runner.size.rows)
        return [self._queued()]

    def _chunks(self, parts: Iterable[Iterator[Change]]) -> Iterator[Chunk]:
        for rows in parts:
            while not self._stopping() and (changes := list(islice(rows, self._runner.size.rows))):
                yield Chunk.of(self._reference.name, changes)
            if self._stopping():
                return

    def _queued(self) -> Iterator[Change]:
        for batch in self._catalog.stream(QUEUE, self._params, QUEUED_AT_ONCE):
            yield from self._changes(batch)

    def _changes(self, rows: Sequence[tuple[Any, ...]]) -> list[Change]:
        keys, olds = zip(*rows, strict=True) if rows else ((), ())
        return list(map(Change, keys_from_json(keys), olds, self._values.new_values(olds)))

    def _appeared(self) -> Iterator[Change]:
        """Yield the rows under the old form whose object is verified, as they are now, without those refused before."""
        for batch in read_by_keyset(self._reader, self._facts, context=self._runner.context):
            if self._stopping():
                return
            olds = [row for row in batch if row.value and self._values.suffix_if_old(row.value) is not None]
            suffixes = [self._values.suffix_if_old(row.value or "") for row in olds]
            keys = keys_to_json([row.key for row in olds])
            if not olds:
                continue
            params = {"reference": self._reference.name, "keys": keys, "suffixes": suffixes}
            appeared = []
            for (place,) in self._catalog.query(_KNOWN, params):
                key, value = olds[place]
                new = self._values.to_target(value or "")
                if value is not None and new is not None and not self._facts.overflows(new):
                    appeared.append(Change(key, value, new))
            self._counts.appeared += len(appeared)
            names = [(self._reference.name, key_to_json(change.key)) for change in appeared]
            self._catalog.append("appeared_rows", names)
            yield from appeared

    def _note(self, chunk: Chunk, outcome: ChunkOutcome) -> None:
        self._counts.add(outcome)
        self._limit.count(self._counts.refused)
        self._catalog.append(
            "changed_rows",
            [(chunk.reference, key_to_json(change.key), change.old) for change in outcome.changed_by_app],
        )
        note_refused(self._catalog, chunk.reference, outcome)
        self._done += len(chunk.changes)
        self._progress.at(self._done, changed_by_app=self._counts.changed_by_app, refused=self._counts.refused)


def rows_to_rewrite(settings: Settings, catalog: Catalog) -> int:
    """Return how many rows the plan calls to rewrite, once their objects are verified."""
    return sum(catalog.count(PLANNED, _params(settings, reference)) for reference in settings.references)


def sample_diffs(settings: Settings, catalog: Catalog) -> list[dict[str, str]]:
    """Return a few rows to rewrite of each reference, before and after, as Ansible shows differences."""
    diffs = []
    for reference in settings.references:
        params = _params(settings, reference)
        values = settings.value_map(reference)
        total = catalog.count(PLANNED, params)
        rows = catalog.query(f"{PLANNED} LIMIT {SAMPLE_ROWS}", params)
        if rows:
            diffs.append(diff_of(reference.name, total, [(value, values.to_target(value)) for (value,) in rows]))
    return diffs


def diff_of(reference: str, total: int, sample: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """Return a sample of a reference's `total` rows as Ansible shows differences.

    sample: (value before, value after) of each row
    """
    header = f"{reference}, {len(sample)} of {total:,} rows"
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{before}\n" for before, _ in sample),
        "after": "".join(f"{after}\n" for _, after in sample),
    }


def _params(settings: Settings, reference: Reference) -> dict[str, object]:
    return {"reference": reference.name, "rewrite_dangling": settings.on_dangling == "rewrite"}
