"""Work through a plan's copy queue, and keep what happened to each object in the catalog."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import uvloop

from .catalog import Catalog
from .errors import RehomeError
from .progress import Progress
from .s3.client import Client
from .s3.copy import copy_objects
from .s3.endpoint import resolve
from .s3.errors import S3StopError
from .s3.job import CopyJob, CopyOutcome
from .settings import Settings

FLUSH_OUTCOMES = 1_000

QUEUE = """
SELECT rest, size, etag, CASE WHEN class = 'conflict' THEN target_etag END FROM objects
WHERE class = 'to_copy' OR (class = 'conflict' AND ?)
"""


@dataclass(slots=True)
class CopyCounts:
    """What became of the queue's objects.

    copied: copied and verified
    present: the target had them by the time of the copy, with the same content
    conflict: the target had them by then, with other content
    changed: overwritten or deleted in the source since the plan; a later run finds them
    failed: refused by S3 for a reason of their own
    """

    copied: int = 0
    present: int = 0
    conflict: int = 0
    changed: int = 0
    failed: int = 0
    bytes_copied: int = 0

    @property
    def done(self) -> int:
        return self.copied + self.present + self.conflict + self.changed + self.failed

    def counts(self) -> dict[str, int]:
        """The counts by the names that summaries use."""
        return {
            "objects_copied": self.copied,
            "objects_changed": self.changed + self.conflict,
            "objects_failed": self.failed,
            "bytes_copied": self.bytes_copied,
        }


@dataclass
class _Recorder:
    """Counts outcomes and hands them to the catalog in batches."""

    catalog: Catalog
    progress: Progress
    source_prefix: str
    counts: CopyCounts
    _rows: list[tuple[object, ...]] = field(default_factory=list)

    def add(self, outcome: CopyOutcome) -> None:
        counts, job = self.counts, outcome.job
        setattr(counts, outcome.result, getattr(counts, outcome.result) + 1)
        if outcome.result == "copied":
            counts.bytes_copied += job.size
        rest = job.source_key[len(self.source_prefix) :]
        self._rows.append(
            (
                rest,
                outcome.result,
                job.size,
                outcome.evidence,
                outcome.attempts,
                outcome.error,
                outcome.message,
            )
        )
        if len(self._rows) >= FLUSH_OUTCOMES:
            self.flush()
        self.progress.at(counts.done, copied=counts.copied, failed=counts.failed + counts.conflict + counts.changed)

    def flush(self) -> None:
        self.catalog.append("outcomes", self._rows)
        self._rows.clear()


def objects_to_copy(catalog: Catalog, settings: Settings) -> int:
    """How long the queue is."""
    (count,) = catalog.query(f"SELECT count(*) FROM ({QUEUE})", [settings.on_conflict == "overwrite"])[0]
    return int(count)


def copy_planned(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    counts: CopyCounts,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Copy what the plan in `catalog` calls to copy (and, under `overwrite`, its conflicts), each object verified.

    counts: grows with each outcome, so that it is true also where this raises
    stopping: asked before each object; once true, what is in flight is finished and the rest left.
    Raises RehomeError where going on is useless; the outcomes until then are kept.
    """
    total = objects_to_copy(catalog, settings)
    if not total:
        return
    recorder = _Recorder(catalog, progress, settings.source.prefix, counts)
    progress.stage("copy", total)
    try:
        uvloop.run(_copy(settings, _jobs(settings, catalog, stopping), recorder.add))
    except S3StopError as error:
        raise RehomeError(
            f"rehome_target (s3://{settings.target.bucket}/{settings.target.prefix}): the copy cannot go on, after "
            f"{counts.copied:,} of {total:,} objects: {error}. See that the credentials of rehome_target may read the "
            "source and write the target, then run it again: it goes on from here."
        ) from error
    finally:
        recorder.flush()


async def _copy(settings: Settings, jobs: Iterator[CopyJob], on_outcome: Callable[[CopyOutcome], None]) -> None:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(Client(resolve(settings.source)))
        target = await stack.enter_async_context(Client(resolve(settings.target)))
        # what is there by now stays: the collector need not look at it again with every thousand copies
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        await copy_objects(source, target, jobs, on_outcome)


def _jobs(settings: Settings, catalog: Catalog, stopping: Callable[[], bool]) -> Iterator[CopyJob]:
    for batch in catalog.stream(QUEUE, [settings.on_conflict == "overwrite"], batch=1_000):
        for rest, size, etag, replace_etag in batch:
            if stopping():
                return
            yield CopyJob(settings.source.prefix + rest, etag, size, settings.target.prefix + rest, replace_etag)
