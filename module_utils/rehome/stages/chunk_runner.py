"""Write chunks of rows on several connections: the part that the rewrite and the rollback have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from ..catalog.catalog import Catalog
from ..collector import rare_collections
from ..db.dialect import Change, Dialect, TableFacts
from ..db.engines.open import connect
from ..db.journal import JournalTarget, pack
from ..db.throttle.assemble import throttle
from ..db.throttle.throttle import Throttle
from ..db.work.chunk import ChunkOutcome, rewrite_chunk
from ..db.work.chunk_size import ChunkSize
from ..db.work.reconnect import WorkContext
from ..db.work.refusals import MAX_TRIALS, Refusals
from ..db.work.workers import Workers
from ..latency import RecentLatencies, in_ms
from ..mapping.row_key import key_to_json
from ..progress import Progress
from ..run import Run


class Chunk(NamedTuple):
    """Rows of one reference that are written in one transaction.

    packed: the changes as the journal records them
    undoes: the id of the journal's entry that this chunk rolls back; None in a rewrite
    """

    reference: str
    changes: Sequence[Change]
    packed: bytes
    undoes: int | None = None

    @classmethod
    def of(cls, reference: str, changes: Sequence[Change], undoes: int | None = None) -> Chunk:
        """Return the chunk with its changes packed.

        Called by the thread that reads: the packing then takes place while the server works on the chunk before, and
        not within a transaction.
        """
        return cls(reference, changes, pack(changes), undoes)


class Connections(NamedTuple):
    """The connections of a run, and the throttle that paces its writers."""

    reader: Dialect
    writers: Sequence[Dialect]
    throttle: Throttle


@contextmanager
def open_connections(run: Run) -> Iterator[Connections]:
    """Connect one reader and `rehome_connections` writers (one for SQLite) for the length of the block.

    Raises RefusedError if the database cannot be reached.
    """
    database = run.settings.database
    writers = 1 if database.engine == "sqlite" else run.settings.connections
    with ExitStack() as stack:
        reader, *others = [stack.enter_context(connect(database)) for _ in range(1 + writers)]
        yield Connections(reader, others, stack.enter_context(throttle(run.settings, run.progress, run.controls)))


class ChunkRunner:
    """Writes chunks: waits for the throttle, rewrites, journals, and reports each outcome to the caller.

    tables: reference name → its table
    target: how the journal's entries are labelled
    samples: see `Refusals`
    """

    def __init__(
        self,
        run: Run,
        connections: Connections,
        tables: Mapping[str, TableFacts],
        target: JournalTarget,
        samples: Mapping[str, Sequence[Change]],
    ) -> None:
        self._run = run
        self._throttle = connections.throttle
        self._tables = tables
        self._target = target
        self.size = ChunkSize(run.settings.chunk_ms / 1000)
        self._gauge = ChunkGauge(self.size, self._throttle)
        waits = _Waits(run.progress)
        self.context = WorkContext(
            report=waits.set, stopping=run.stopping, chunk_size=self.size, refusals=Refusals(samples)
        )
        self._workers = Workers(connections.writers, self._write, waits.show, self._allowed)

    def write(self, chunks: Iterable[Chunk], note: Callable[[Chunk, ChunkOutcome], None]) -> None:
        """Write every chunk, several at once, and call `note` with each outcome in the caller's thread.

        Raises DatabaseError if the server fails; the chunks until then are committed, journalled and noted.
        """
        # a row is a few tuples, none of them in a cycle
        with rare_collections(), self._run.progress.measured_by(self._gauge):
            self._workers.run(chunks, note)

    def _allowed(self) -> int:
        return max(1, int(self._run.controls.limit("connections", self._run.settings.connections)))

    def _write(self, database: Dialect, chunk: Chunk, outcome: ChunkOutcome) -> None:
        facts = self._tables[chunk.reference]
        self._throttle.wait(self._run.stopping, facts.table, database.keep_alive)
        if self._run.stopping():
            return
        self.size.retarget(self._run.controls.limit("chunk_ms", self._run.settings.chunk_ms) / 1000)
        target = self._target if chunk.undoes is None else self._target._replace(undoes=chunk.undoes)
        began = time.monotonic()
        rewrite_chunk(database, facts, chunk.changes, target, outcome, self.context, chunk.packed)
        took = time.monotonic() - began
        self._gauge.add(took)
        self._throttle.record(took, facts.table, outcome.rewritten)


class ChunkGauge:
    """Reads how the chunks go: how many, how long each takes, and how long the throttle has paused them.

    Threads may share it.
    """

    def __init__(self, size: ChunkSize, throttle: Throttle) -> None:
        self._size = size
        self._throttle = throttle
        self._lock = threading.Lock()
        self._latencies = RecentLatencies()
        self.begin()

    def add(self, took_s: float) -> None:
        """Count a chunk."""
        with self._lock:
            self._done += 1
            self._latencies.present.add(took_s)

    def begin(self) -> None:
        """Count from now on."""
        self._done = 0
        self._paused_before = dict(self._throttle.paused_s)

    def read(self) -> dict[str, object]:
        """Return `chunks`, and `throttled_s` if the throttle has paused anything."""
        with self._lock:
            times = in_ms(self._latencies.all(time.monotonic()))
        paused = {
            reason: round(seconds - self._paused_before.get(reason, 0.0), 1)
            for reason, seconds in self._throttle.paused_s.copy().items()
        }
        paused = {reason: seconds for reason, seconds in paused.items() if seconds}
        chunks = {"done": self._done, "rows": self._size.rows, **times}
        return {"chunks": chunks, **({"throttled_s": paused} if paused else {})}


class _Waits:
    """What the workers wait for: set by their threads, shown by the thread that runs them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._waiting: tuple[str, float] | None = None

    def set(self, why: str | None) -> None:
        """Start a wait for the reason `why`; None ends it."""
        waited, self._waiting = self._waiting, (why, time.monotonic()) if why else None
        if waited and not why:
            self._progress.resume(time.monotonic() - waited[1])

    def show(self) -> None:
        """Show the present wait in the progress."""
        waiting = self._waiting
        if waiting:
            why, since = waiting
            self._progress.pause(why, time.monotonic() - since)
        else:
            self._progress.tick()


def sample_of(queue: str) -> str:
    """Return the query for as many random rows of the query `queue` as are tried when rows are refused."""
    return f"SELECT * FROM ({queue}) USING SAMPLE reservoir({MAX_TRIALS} ROWS)"


def note_refused(catalog: Catalog, reference: str, outcome: ChunkOutcome) -> None:
    """Add the rows that the server refused to the catalog's table `refused_rows`."""
    catalog.append(
        "refused_rows",
        [
            (reference, key_to_json(row.change.key), row.change.old, row.change.new, row.message)
            for row in outcome.refused
        ],
    )


def sum_pauses(*throttled_s: Mapping[str, float]) -> dict[str, float]:
    """Return the throttle's pauses of several passes: reason → seconds, rounded, without those below 0.1 s."""
    reasons = dict.fromkeys(reason for pauses in throttled_s for reason in pauses)
    sums = {reason: sum(pauses.get(reason, 0.0) for pauses in throttled_s) for reason in reasons}
    return {reason: round(seconds, 1) for reason, seconds in sums.items() if seconds >= 0.1}
