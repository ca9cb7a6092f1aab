"""Work through a plan's rewrite queue: the rows whose object is verified in the target, chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from ..catalog.catalog import Catalog
from ..config.settings import Reference, Settings
from ..db.dialect import Change, Dialect
from ..db.engines.open import connect
from ..db.facts import facts_for_rewrite
from ..db.journal import JournalTarget, pack
from ..db.throttle.assemble import throttle
from ..db.throttle.throttle import Throttle
from ..db.work.chunk import ChunkOutcome, rewrite_chunk
from ..db.work.chunk_size import ChunkSize
from ..db.work.interleave import interleaved
from ..db.work.keyset import read_by_keyset
from ..db.work.reconnect import WorkContext
from ..db.work.workers import Workers
from ..mapping.row_key import key_to_json, keys_from_json, keys_to_json
from ..progress import Progress

# An object is verified when the plan found it in the target with the source's content, or this run's copy ended so.
# A row whose source object is gone while the target's is there has nothing older to be faithful to.
_VERIFIED = """(
    r.class = 'to_rewrite' AND (
        r.object_class IS NULL OR r.object_class = 'present'
        OR EXISTS (SELECT 1 FROM outcomes o WHERE o.rest = r.rest AND o.result IN ('copied', 'present')))
)"""

QUEUE = f"""
SELECT r.key, r.value FROM planned_rows r
WHERE r.reference = $reference AND r.is_old AND ({_VERIFIED} OR (r.class = 'dangling' AND $rewrite_dangling))
ORDER BY r.ordinal
"""

_KNOWN = """
SELECT g.place FROM (
    SELECT unnest($keys) AS key, unnest($rests) AS rest, unnest(range(len($keys))) AS place
) g
LEFT JOIN objects o ON o.rest = g.rest
WHERE (
    o.class = 'present'
    OR (o.rest IS NULL AND EXISTS (SELECT 1 FROM target_objects t WHERE t.rest = g.rest))
    OR EXISTS (SELECT 1 FROM outcomes u WHERE u.rest = g.rest AND u.result IN ('copied', 'present'))
) AND NOT EXISTS (SELECT 1 FROM refused_rows f WHERE f.reference = $reference AND f.key = g.key)
ORDER BY g.place
"""
"""Which of the given rows name an object that is verified as in `_VERIFIED`."""

PLANNED = """
SELECT value FROM planned_rows
WHERE reference = $reference AND is_old AND (class = 'to_rewrite' OR (class = 'dangling' AND $rewrite_dangling))
ORDER BY ordinal
"""
SAMPLE_ROWS = 3
MOST_LOOKS = 3
"""A busy application may write under the old form for ever; what is left is for the next pass, and counted."""


@dataclass(slots=True)
class RewriteCounts:
    """What became of the queue's rows; the classes are those of `ChunkOutcome`.

    throttled_s: for how long the throttle held the work, by its reasons
    """

    rewritten: int = 0
    changed_by_app: int = 0
    refused: int = 0
    throttled_s: dict[str, float] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """The counts by the names that summaries use."""
        return {
            "rows_rewritten": self.rewritten,
            "rows_changed_by_app": self.changed_by_app,
            "rows_refused": self.refused,
        }

    def waited(self, before: Mapping[str, float]) -> dict[str, float]:
        """For how many seconds the throttle held this work and that before it, by its reasons."""
        return waited(before, self.throttled_s)

    def add(self, outcome: ChunkOutcome) -> None:
        self.rewritten += outcome.rewritten
        self.changed_by_app += len(outcome.changed_by_app)
        self.refused += len(outcome.refused)


def waited(*throttled_s: Mapping[str, float]) -> dict[str, float]:
    """The waits of several pieces of work together, by their reasons, in seconds as the summary tells them."""
    names = dict.fromkeys(name for one in throttled_s for name in one)
    together = {name: sum(one.get(name, 0.0) for one in throttled_s) for name in names}
    return {name: round(held, 1) for name, held in together.items() if held >= 0.1}


def rewrite_planned(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    counts: RewriteCounts,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Rewrite the rows that the plan in `catalog` calls to rewrite and whose object is verified in the target.

    Then look again, until nothing is found or `MOST_LOOKS` times: the application may have written rows under the old
    form meanwhile, of objects that this catalog knows to be in the target.
    counts: grows with what is committed, so that it is true also where this raises
    stopping: asked before each chunk; once true, the rest is left.
    Raises DatabaseError where the server fails; the chunks until then are committed and journalled.
    """
    with ExitStack() as stack:
        reader, *writers = [stack.enter_context(connect(settings.database)) for _ in range(1 + hands(settings))]
        throttled = stack.enter_context(throttle(settings, progress))
        counts.throttled_s = throttled.held_s
        for reference in settings.references:
            _Rewriting(settings, reference, catalog, progress, counts, reader, writers, throttled, stopping).run()


def hands(settings: Settings) -> int:
    """How many connections write."""
    # SQLite has one writer at a time
    return 1 if settings.database.engine == "sqlite" else settings.connections


class Waits:
    """What the workers wait for: reported by their threads, shown by the thread that runs them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._waiting: tuple[str, float] | None = None

    def tell(self, why: str | None) -> None:
        """It waits for this from now on; None: it waits no more."""
        waited, self._waiting = self._waiting, (why, time.monotonic()) if why else None
        if waited and not why:
            self._progress.go_on(time.monotonic() - waited[1])

    def show(self) -> None:
        """Let the progress say so."""
        waiting = self._waiting
        if waiting:
            why, since = waiting
            self._progress.hold(why, time.monotonic() - since)


class _Chunk(NamedTuple):
    """Changes of a chunk, and what the journal will say of them."""

    changes: list[Change]
    packed: bytes


class _Rewriting:
    """The rewrite of one reference."""

    def __init__(
        self,
        settings: Settings,
        reference: Reference,
        catalog: Catalog,
        progress: Progress,
        counts: RewriteCounts,
        reader: Dialect,
        writers: Sequence[Dialect],
        throttled: Throttle,
        stopping: Callable[[], bool],
    ) -> None:
        self._throttled = throttled
        self._reference = reference
        self._values = settings.value_map(reference)
        self._catalog = catalog
        self._progress = progress
        self._counts = counts
        self._stopping = stopping
        self._asked = _asked(settings, reference)
        self._looks = MOST_LOOKS if settings.whole else 0
        self._reader = reader
        facts = replace(reader.describe(reference.table, reference.column), where=reference.where)
        self._facts = facts_for_rewrite(facts, settings)
        self._target = JournalTarget(settings.journal_schema, settings.name, settings.fingerprint)
        self._chunk_size = ChunkSize(settings.chunk_ms / 1000)
        waits = Waits(progress)
        self._context = WorkContext(report=waits.tell, stopping=stopping, chunk_size=self._chunk_size)
        self._workers = Workers(writers, self._work, waits.show)
        self._done = 0

    def run(self) -> None:
        (total,) = self._catalog.query(f"SELECT count(*) FROM ({QUEUE})", self._asked)[0]
        self._progress.stage(f"rewrite {self._reference.name}", total)
        found = self._work_through(self._in_strands(total))
        while found and self._looks and not self._stopping():
            self._looks -= 1
            self._progress.stage(f"look again at {self._reference.name}")
            found = self._work_through([self._appeared()])

    def _work_through(self, parts: Iterable[Iterator[Change]]) -> int:
        self._done = 0
        self._workers.run(self._chunks(parts), self._note)
        return self._done

    def _in_strands(self, total: int) -> Iterable[Iterator[Change]]:
        if self._throttled.awaits_autovacuum(self._facts.table, total):
            return interleaved(self._queued(), lambda: self._chunk_size.rows)
        return [self._queued()]

    def _chunks(self, parts: Iterable[Iterator[Change]]) -> Iterator[_Chunk]:
        for rows in parts:
            while not self._stopping() and (changes := list(islice(rows, self._chunk_size.rows))):
                # here and not in the transaction, while the server is busy with the chunk before
                yield _Chunk(changes, pack(changes))
            if self._stopping():
                return

    def _queued(self) -> Iterator[Change]:
        for batch in self._catalog.stream(QUEUE, self._asked):
            keys, olds = zip(*batch, strict=True)
            news = self._values.new_values(olds)
            yield from map(Change, keys_from_json(keys), olds, news)

    def _appeared(self) -> Iterator[Change]:
        """Rows under the old form whose object is verified, as they are now; those refused before are left."""
        for page in read_by_keyset(self._reader, self._facts, context=self._context):
            if self._stopping():
                return
            olds = [row for row in page if row.value and self._values.suffix_if_old(row.value) is not None]
            rests = [self._values.suffix_if_old(row.value or "") for row in olds]
            keys = keys_to_json([row.key for row in olds])
            if not olds:
                continue
            asked = {"reference": self._reference.name, "keys": keys, "rests": rests}
            for (place,) in self._catalog.query(_KNOWN, asked):
                key, value = olds[place]
                new = self._values.to_target(value or "")
                if value is not None and new is not None and not self._facts.overflows(new):
                    yield Change(key, value, new)

    def _work(self, database: Dialect, chunk: _Chunk, outcome: ChunkOutcome) -> None:
        self._throttled.wait(self._stopping, self._facts.table, database.keep_alive)
        if self._stopping():
            return
        began = time.monotonic()
        rewrite_chunk(database, self._facts, chunk.changes, self._target, outcome, self._context, chunk.packed)
        self._throttled.rest(time.monotonic() - began, self._facts.table, outcome.rewritten)

    def _note(self, chunk: _Chunk, outcome: ChunkOutcome) -> None:
        self._counts.add(outcome)
        _note_leftovers(self._catalog, self._reference, outcome)
        self._done += len(chunk.changes)
        self._progress.at(self._done, changed_by_app=self._counts.changed_by_app, refused=self._counts.refused)


def _note_leftovers(catalog: Catalog, reference: Reference, outcome: ChunkOutcome) -> None:
    catalog.append(
        "changed_rows",
        [(reference.name, key_to_json(change.key), change.old) for change in outcome.changed_by_app],
    )
    note_refused(catalog, reference.name, outcome)


def note_refused(catalog: Catalog, reference: str, outcome: ChunkOutcome) -> None:
    """Keep the rows that the server refused, for their list."""
    catalog.append(
        "refused_rows",
        [
            (
                reference,
                key_to_json(refusal.change.key),
                refusal.change.old,
                refusal.change.new,
                refusal.message,
            )
            for refusal in outcome.refused
        ],
    )


def rows_to_rewrite(settings: Settings, catalog: Catalog) -> int:
    """How many rows the plan calls to rewrite, once their objects are verified."""
    return sum(
        int(catalog.query(f"SELECT count(*) FROM ({PLANNED})", _asked(settings, reference))[0][0])
        for reference in settings.references
    )


def sample_diffs(settings: Settings, catalog: Catalog) -> list[dict[str, str]]:
    """A few rows to rewrite of each reference, before and after, as Ansible shows differences."""
    diffs = []
    for reference in settings.references:
        asked = _asked(settings, reference)
        values = settings.value_map(reference)
        (total,) = catalog.query(f"SELECT count(*) FROM ({PLANNED})", asked)[0]
        rows = catalog.query(f"{PLANNED} LIMIT {SAMPLE_ROWS}", asked)
        if rows:
            diffs.append(diff_of(reference.name, total, [(value, values.to_target(value)) for (value,) in rows]))
    return diffs


def diff_of(reference: str, total: int, sample: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """A few of a reference's `total` rows, before and after, as Ansible shows differences."""
    header = f"{reference}, {len(sample)} of {total:,} rows"
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{before}\n" for before, _ in sample),
        "after": "".join(f"{after}\n" for _, after in sample),
    }


def _asked(settings: Settings, reference: Reference) -> dict[str, object]:
    return {"reference": reference.name, "rewrite_dangling": settings.on_dangling == "rewrite"}
