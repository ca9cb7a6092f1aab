"""Copy the objects of a plan's queue, and record the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import uvloop

from ..catalog.catalog import Catalog
from ..codes import Code
from ..collector import rare_collections
from ..config.settings import CopyMethod, Settings
from ..errors import RehomeError
from ..run import Run
from ..s3.client.pacing import RateLimiter
from ..s3.copier.run import copy_objects
from ..s3.errors import CREDENTIAL_CODES, DENIED_CODES, ENDPOINT_DEAD, FULL_CODES, S3StopError, trouble_of
from ..s3.multipart.abort import abort_unfinished
from ..s3.multipart.record import Uploads
from ..s3.objects.compare import Evidence
from ..s3.objects.job import CopyJob, CopyOutcome
from ..s3.objects.properties import TAGS_NOT_KEPT
from ..s3.support import is_rejection
from ..s3.transport.connection import Fault
from ..services.capabilities import choose_options
from ..services.clients import open_clients
from ..services.pace import paced
from ..state.outcomes import Outcomes
from ..state.sync import uploading
from .failure_limit import FailureLimit

UPLOADS_FILE = "uploads.sqlite"
WINDOW = 10_000
INTERLEAVED = 16
"""Jobs are taken round-robin from so many runs of a window: in plain order, all requests would go to one partition of
the service at a time. A shuffle would cost a store that keeps its keys in order (SeaweedFS) a seventh more CPU; runs
that are in order cost it nothing."""

QUEUE = """
SELECT suffix, size, etag, CASE WHEN class <> 'to_copy' THEN target_etag END, storage_class FROM objects
WHERE class IN ('to_copy', 'outdated') OR (class = 'conflict' AND ?)
"""


@dataclass(slots=True)
class CopyCounts:
    """The outcomes of the queue's objects.

    planned: the length of the queue
    copied: copied and verified
    present: by the time of the copy, the target had the same content
    conflict: by the time of the copy, the target had other content
    changed: overwritten or deleted in the source since the plan; a later run finds them
    archived: must be restored before they can be read, which only the attempt showed
    failed: refused by S3 for a reason of their own
    weak: of the copied, those that nothing but their size proves
    method: how they were copied; None if there was nothing to copy
    movers: how many objects each worker of a cluster had, by its name
    at_work: how many workers a cluster has
    """

    planned: int = 0
    copied: int = 0
    present: int = 0
    conflict: int = 0
    changed: int = 0
    archived: int = 0
    failed: int = 0
    weak: int = 0
    bytes_copied: int = 0
    bytes_present: int = 0
    method: CopyMethod | None = None
    movers: dict[str, int] = field(default_factory=dict)
    at_work: int = 0

    @property
    def done(self) -> int:
        """How many objects have an outcome."""
        return self.copied + self.present + self.conflict + self.changed + self.archived + self.failed

    def add(self, outcome: CopyOutcome) -> None:
        """Count one outcome."""
        if outcome.result == "copied":
            self.copied += 1
            self.bytes_copied += outcome.job.size
            self.weak += outcome.evidence is Evidence.SIZE
        else:
            self.bytes_present += outcome.job.size if outcome.result == "present" else 0
            setattr(self, outcome.result, getattr(self, outcome.result) + 1)

    def counts(self) -> dict[str, int]:
        """Return the counts by the names of the summary."""
        return {
            "objects_copied": self.copied,
            "objects_found_present": self.present,
            "objects_changed": self.changed + self.conflict,
            "objects_found_archived": self.archived,
            "objects_failed": self.failed,
            "objects_not_reached": self.planned - self.done,
            "bytes_copied": self.bytes_copied,
            "bytes_found_present": self.bytes_present,
        }


def objects_to_copy(catalog: Catalog, settings: Settings) -> int:
    """Return the length of the queue."""
    return catalog.count(QUEUE, [settings.on_conflict == "overwrite"])


def bytes_to_copy(catalog: Catalog, settings: Settings) -> int:
    """Return the size of the queue."""
    (size,) = catalog.one(
        f"SELECT coalesce(sum(size), 0)::BIGINT FROM ({QUEUE})", [settings.on_conflict == "overwrite"]
    )
    return int(size)


def copy_planned(run: Run, counts: CopyCounts) -> None:
    """Copy what the plan in the catalog calls to copy, and verify each object.

    That includes outdated objects and, under `overwrite`, conflicts.

    counts: grows with each outcome, so it is true also if this raises
    Raises RehomeError if continuing is useless; the outcomes until then are kept.
    """
    settings, catalog = run.settings, run.catalog
    counts.planned = total = objects_to_copy(catalog, settings)
    if not total and not (settings.state_dir / UPLOADS_FILE).exists():
        return
    with uploading(settings) as keep:
        _copy_queue(run, counts, Outcomes(catalog, settings, keep), total)


def _copy_queue(run: Run, counts: CopyCounts, outcomes: Outcomes, total: int) -> None:
    settings, catalog, progress = run.settings, run.catalog, run.progress
    # Nothing is sorted or joined here: more memory would only cache rows that are not read again. A second thread
    # would take as much memory again for each file of outcomes, and merging the appended batches into larger row
    # groups takes 90 MB for a million rows, in a catalog that the next run replaces.
    catalog.limit_memory(48)
    catalog.run("SET threads = 1; SET checkpoint_threshold = '4MB'; SET max_vacuum_tasks = 0")
    progress.stage("copy", total, bytes_to_copy(catalog, settings))
    uploads = Uploads(settings.state_dir / UPLOADS_FILE)
    limit = FailureLimit(run, "objects could not be copied")
    run = run.until(limit.reached)

    def note(outcome: CopyOutcome) -> None:
        """Count and record an outcome."""
        counts.add(outcome)
        limit.count(counts.failed)
        outcomes.add(outcome)
        if uploads.bytes_sent:
            uploads.bytes_sent.pop(outcome.job.target_key, None)

    def show() -> None:
        """Show how far the copy is."""
        left = {"changed": counts.changed + counts.conflict, "archived": counts.archived}
        others = {name: count for name, count in left.items() if count}
        if settings.cluster is not None:
            others["movers"] = counts.at_work  # also none: that is why nothing moves
        progress.at(counts.done, copied=counts.copied, failed=counts.failed, **others)

    try:
        with uploads, progress.measured_by(_Bytes(counts, uploads)):
            _copy_somewhere(run, outcomes, note, show, uploads, counts)
    except S3StopError as error:
        raise RehomeError(
            f"rehome_target (s3://{settings.target.bucket}/{settings.target.prefix}): the copy cannot go on, after "
            f"{counts.copied:,} of {total:,} objects: {str(error).rstrip('.')}. {_way_out(error)}, then run it "
            "again: it goes on from here.",
            code=trouble_of(error.code, Code.COPY_STOPPED),
        ) from error
    finally:
        progress.at(counts.done)
        outcomes.close()
    limit.require()


def _copy_somewhere(
    run: Run,
    outcomes: Outcomes,
    note: Callable[[CopyOutcome], None],
    show: Callable[[], None],
    uploads: Uploads,
    counts: CopyCounts,
) -> None:
    cluster = run.settings.cluster
    if cluster is None:

        def note_and_show(outcome: CopyOutcome) -> None:
            """Note an outcome, and show the counts if the line is due."""
            note(outcome)
            if run.progress.is_due:
                show()

        uvloop.run(_copy(run, _jobs(run, outcomes), note_and_show, uploads, counts))
        return
    # it imports dask, which a single machine does not have
    from .copy_on_cluster import copy_on_cluster  # noqa: PLC0415

    rows = (row for batch in _windows(run) for row in _interleaved(batch))
    copy_on_cluster(run, cluster, rows, outcomes, note, show, uploads, counts)


class _Bytes:
    """Reads how many bytes the copy has moved, with the parts of objects that are not complete yet."""

    def __init__(self, counts: CopyCounts, uploads: Uploads) -> None:
        self._counts = counts
        self._uploads = uploads

    def begin(self) -> None:
        """The counts are of one stage already."""

    def read(self) -> dict[str, int]:
        """Return `bytes_done`."""
        whole = self._counts.bytes_copied + self._counts.bytes_present
        return {"bytes_done": whole + sum(self._uploads.bytes_sent.values())}


async def _copy(
    run: Run, jobs: Iterator[CopyJob], on_outcome: Callable[[CopyOutcome], None], uploads: Uploads, counts: CopyCounts
) -> None:
    settings = run.settings
    async with AsyncExitStack() as stack, open_clients(settings, run.progress) as (source, target):
        rate = RateLimiter(settings.copy.objects_per_second)
        await stack.enter_async_context(paced(run, source, target, rate=rate))
        options = await choose_options(settings, source, target)
        counts.method = options.method
        # new objects leave no cycles, and by default the collector would run after every few copies
        stack.enter_context(rare_collections())
        await copy_objects(source, target, jobs, on_outcome, options, uploads, run.stopping, rate)
        if not run.stopping():
            # the whole queue was read: an upload that is open now belongs to no object any more
            await abort_unfinished(target, uploads)


def _jobs(run: Run, outcomes: Outcomes) -> Iterator[CopyJob]:
    settings, stopping = run.settings, run.stopping
    source, target = settings.source.prefix, settings.target.prefix
    for batch in _windows(run):
        outcomes.begin((suffix, size, etag) for suffix, size, etag, _, _ in batch)
        for suffix, size, etag, replace_etag, storage_class in _interleaved(batch):
            if stopping():
                return
            yield CopyJob(source + suffix, etag, size, target + suffix, replace_etag, storage_class)


def _windows(run: Run) -> Iterator[Sequence[tuple[Any, ...]]]:
    return run.catalog.stream(QUEUE, [run.settings.on_conflict == "overwrite"], batch=WINDOW)


_NOT_SUPPORTED = (
    "This is no missing right: the service does not support what the copy asks for, which the trial of the preflight "
    "did not show. rehome_copy_method, rehome_storage_class, rehome_encryption, rehome_acl and rehome_tags decide what "
    "it asks for: change the one that the service names"
)


def _way_out(error: S3StopError) -> str:
    code = error.code
    ways_out = (
        (code in (ENDPOINT_DEAD, *Fault), "See that the service runs and can be reached"),
        (code in CREDENTIAL_CODES, "Set or renew the credentials of rehome_source and rehome_target"),
        (code in FULL_CODES, "Make room in the target's service"),
        (code == TAGS_NOT_KEPT, "Set rehome_tags to none to copy the objects without their tags"),
        (is_rejection(error.status, code, error.message), _NOT_SUPPORTED),
        (
            code in DENIED_CODES or code.startswith("KMS."),
            "See that the credentials of rehome_target may read the source and write the target, as rehome_acl and "
            "rehome_encryption need it",
        ),
    )
    return next((way_out for applies, way_out in ways_out if applies), "Correct what S3 names")


def _interleaved(batch: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows round-robin from `INTERLEAVED` runs; every run keeps its order."""
    length = -(-len(batch) // INTERLEAVED)
    return (batch[index] for start in range(length) for index in range(start, len(batch), length))
