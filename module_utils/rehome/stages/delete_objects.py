"""Delete objects that are proven to be elsewhere too, under conditions and on record, and take those deletes back.

In the settings given here, `source` is where is deleted and `target` where the same contents are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvloop

from ..catalog.catalog import Catalog
from ..catalog.schema import TO_BRING_BACK
from ..config.settings import Settings
from ..errors import Finding, RefusedError, RehomeError
from ..progress import Progress
from ..s3.client.client import Client
from ..s3.concurrency import run_all
from ..s3.deletion.delete import MAX_KEYS_PER_REQUEST, DeleteJob, DeleteMethod, DeleteOutcome, delete_objects, undelete
from ..s3.deletion.versions import (
    Version,
    Versioning,
    find_delete_marker,
    has_object_lock,
    noncurrent_days,
    versioning_of,
)
from ..s3.errors import S3Error, S3StopError
from ..s3.objects.compare import head
from ..s3.probe.conditional_delete import delete_method
from ..s3.probe.same_place import is_same_place, may_be_same_object
from ..scan.named_keys import read_named_keys
from ..services.clients import open_client
from ..state.delete_log import LIVE_MARKERS, Deletions
from .deletion_candidates import TO_DELETE

BATCHES_IN_FLIGHT = 4
_SAMPLE = 3
_REFUSED_AT_ONCE = 50
"""A batch of so many that is refused as a whole, for one reason, is no matter of its objects."""

_NAMED_MARKERS = f"""
SELECT m.key, m.marker FROM ({LIVE_MARKERS}) m
WHERE EXISTS (SELECT 1 FROM named_keys n WHERE $prefix || n.rest = m.key)
"""

_NAMED_AND_GONE = """
SELECT count(*) FROM delete_outcomes o
WHERE o.result = 'deleted' AND o.marker IS NULL AND EXISTS (SELECT 1 FROM named_keys n WHERE n.rest = o.rest)
"""


@dataclass
class DeleteCounts:
    """What became of a bucket's objects.

    classes: by what `deletable.classify` finds; empty where markers are taken away instead
    deleted, changed, refused: of those to delete: deleted · changed since they were judged, and kept · refused by S3
    brought_back, not_brought_back: delete markers that were taken away again, and that S3 did not give up
    gone: of those deleted without a way back, the ones that rows name which were written meanwhile
    """

    classes: dict[str, int] = field(default_factory=dict)
    bytes_to_delete: int = 0
    deleted: int = 0
    bytes_deleted: int = 0
    changed: int = 0
    refused: int = 0
    brought_back: int = 0
    not_brought_back: int = 0
    gone: int = 0

    @property
    def to_delete(self) -> int:
        return self.classes.get("to_delete", 0)

    @property
    def kept(self) -> dict[str, int]:
        """Why the others stay: class → how many."""
        judged = {name: count for name, count in self.classes.items() if name != "to_delete"}
        return judged | {"changed": self.changed, "refused": self.refused}

    def problems(self) -> list[str]:
        """What needs a human, in sentences without their ends."""
        told = {
            "objects could not be deleted": self.refused,
            "delete markers could not be taken away again": self.not_brought_back,
            "objects that were deleted without a way back are named by rows that were written meanwhile": self.gone,
        }
        return [f"{count:,} {text}" for text, count in told.items() if count]


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What deleting must know of a bucket. now: the earlier of its clock and ours"""

    versioning: Versioning
    locks: bool
    noncurrent_days: int | None
    now: datetime

    @property
    def keeps_versions(self) -> bool:
        return self.versioning == "enabled"


def look_at_bucket(settings: Settings) -> BucketFacts:
    """Read what decides whether and how may be deleted. Raises S3Error."""
    return uvloop.run(_look_at_bucket(settings))


def cannot_tell(settings: Settings, error: S3Error) -> Finding:
    """Where `look_at_bucket` failed."""
    return Finding(
        f"{settings.source.setting}.bucket",
        settings.source.bucket,
        f"whether it keeps versions and locks objects cannot be read: {error}",
        "Grant s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration on it",
    )


def delete_judged(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    facts: BucketFacts,
    counts: DeleteCounts,
    folder: str,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Delete what was judged deletable, by the thousand, and bring back what a row names by then.

    counts: grows with each batch, so that it is true also where this raises
    folder: where it is recorded, within the state folder
    stopping: asked before each batch; once true, what is in flight is finished and the rest left.
    Raises RefusedError where the service keeps no condition on deletes, and RehomeError where going on is useless.
    """
    with Deletions(settings.state_dir / folder, settings.source.bucket, catalog) as records:
        work = _Deleting(settings, catalog, progress, facts.keeps_versions, counts, records, stopping)
        try:
            uvloop.run(work.run())
        except S3StopError as error:
            raise RehomeError(
                f"{_place(settings)}: deleting cannot go on, after {counts.deleted:,} objects: "
                f"{str(error).rstrip('.')}. Run it again once that is put right: it goes on from here."
            ) from error
        if counts.deleted:
            # a row may have been written since the rows were read
            read_named_keys(settings, catalog, progress)
        work.bring_back_named()


def bring_back_deleted(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    counts: DeleteCounts,
    folder: str,
    dry_run: bool,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Take away exactly the delete markers that were recorded, so that what lies under them shows again."""
    with Deletions(settings.state_dir / folder, settings.source.bucket, catalog) as records:
        work = _Deleting(settings, catalog, progress, True, counts, records, stopping)
        if dry_run:
            counts.brought_back = records.live_markers()
        else:
            uvloop.run(work.bring_back_all())


class _Deleting:
    """One run's work on the bucket."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        progress: Progress,
        keeps_versions: bool,
        counts: DeleteCounts,
        records: Deletions,
        stopping: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._progress = progress
        self._keeps_versions = keeps_versions
        self._counts = counts
        self._records = records
        self._stopping = stopping
        self._prefix = settings.source.prefix
        self._done = 0
        self._stop: S3StopError | None = None

    async def run(self) -> None:
        """Settle what an earlier run left, then work through the queue."""
        async with self._client() as source:
            await self._settle_earlier(source)
            total = self._counts.to_delete
            if not total:
                return
            method = await _tried(self._settings, self._catalog)
            self._progress.stage(f"delete from the {self._settings.source.label}", total)
            batches = self._batches()
            await run_all(*(self._work(source, batches, method) for _ in range(BATCHES_IN_FLIGHT)))
            if self._stop is not None:
                raise self._stop

    def bring_back_named(self) -> None:
        """Take the markers away of what a row names now, and count where there is none."""
        asked = {"prefix": self._prefix}
        if self._catalog.query(f"SELECT 1 FROM ({_NAMED_MARKERS}) LIMIT 1", asked):
            uvloop.run(self._bring_back(_NAMED_MARKERS, asked))
        (self._counts.gone,) = self._catalog.query(_NAMED_AND_GONE)[0]

    async def _bring_back(self, statement: str, asked: dict[str, str]) -> None:
        async with self._client() as source:
            await self._remove(source, statement, asked)

    async def bring_back_all(self) -> None:
        async with self._client() as source:
            await self._settle_earlier(source)
            await self._remove(source, LIVE_MARKERS, {})

    def _client(self) -> Client:
        return open_client(self._settings, self._settings.source)

    def _batches(self) -> Iterator[list[tuple[str, str, int]]]:
        for batch in self._catalog.stream(TO_DELETE, batch=MAX_KEYS_PER_REQUEST):
            if self._stopping() or self._stop is not None:
                return
            yield batch

    async def _work(self, source: Client, batches: Iterator[list[tuple[str, str, int]]], method: DeleteMethod) -> None:
        for batch in batches:
            sizes = {self._prefix + rest: size for rest, _, size in batch}
            jobs = [DeleteJob(self._prefix + rest, etag) for rest, etag, _ in batch]
            self._records.note("intended", [(job.key, job.etag, None) for job in jobs])
            intended_at = datetime.now(UTC)
            try:
                outcomes = await delete_objects(source, jobs, method)
                settled = [await self._settled(source, outcome, intended_at) for outcome in outcomes]
            except S3StopError as error:
                # the next run finds out what became of these
                self._stop = self._stop or error
                return
            self._note(settled, sizes)

    def _note(self, outcomes: Sequence[DeleteOutcome], sizes: dict[str, int]) -> None:
        deleted = [outcome for outcome in outcomes if outcome.result == "deleted"]
        kept = [outcome for outcome in outcomes if outcome.result != "deleted"]
        self._records.note("deleted", [(one.job.key, one.job.etag, one.marker) for one in deleted])
        self._records.note("kept", [(one.job.key, one.job.etag, None) for one in kept])
        counts = self._counts
        counts.deleted += len(deleted)
        counts.bytes_deleted += sum(sizes[one.job.key] for one in deleted)
        counts.changed += sum(one.result == "changed" for one in kept)
        counts.refused += sum(one.result == "failed" for one in kept)
        names = {"deleted": "deleted", "changed": "changed", "failed": "refused"}
        self._catalog.append(
            "delete_outcomes",
            [
                (
                    one.job.key[len(self._prefix) :],
                    sizes[one.job.key],
                    names[one.result],
                    one.marker,
                    one.error,
                    one.message,
                )
                for one in outcomes
            ],
        )
        self._done += len(outcomes)
        self._progress.at(self._done, deleted=counts.deleted, kept=counts.changed + counts.refused)
        if self._keeps_versions and (silent := [one.job.key for one in deleted if one.marker is None]):
            raise RehomeError(
                f"{_place(self._settings)}: the service does not tell the delete marker of {len(silent):,} objects "
                f"that it has just deleted, such as {silent[0]!r}, so that they cannot be brought back from here. See "
                "how this service keeps versions before you go on."
            )
        codes = {one.error for one in kept if one.result == "failed"}
        if len(codes) == 1 and len(kept) == len(outcomes) >= _REFUSED_AT_ONCE:
            first = kept[0]
            self._stop = self._stop or S3StopError(
                0, first.error or "", first.message or "", first.job.key, verb="DELETE"
            )

    async def _settled(self, source: Client, outcome: DeleteOutcome, intended_at: datetime) -> DeleteOutcome:
        """What really became of a delete where a reply was lost, or did not tell the marker."""
        if outcome.result == "deleted" and (outcome.marker or not self._keeps_versions):
            return outcome
        if outcome.result != "deleted" and not outcome.unsure:
            return outcome
        job = outcome.job
        if self._keeps_versions:
            marker = await find_delete_marker(source, job.key, job.etag, intended_at)
            return outcome if marker is None else DeleteOutcome(job, "deleted", marker)
        gone = (await head(source, job.key)).status == 404
        return DeleteOutcome(job, "deleted") if gone else outcome

    async def _settle_earlier(self, source: Client) -> None:
        """Find out what became of the deletes that were under way when a run died."""
        unsettled = self._records.unsettled()
        if not unsettled:
            return
        self._progress.stage("settle what an earlier run left", len(unsettled))
        for number, (key, etag, intended_at) in enumerate(unsettled, 1):
            unsure = DeleteOutcome(DeleteJob(key, etag), "failed", unsure=True)
            settled = await self._settled(source, unsure, intended_at)
            self._records.note("deleted" if settled.result == "deleted" else "kept", [(key, etag, settled.marker)])
            self._progress.at(number)

    async def _remove(self, source: Client, statement: str, asked: dict[str, str]) -> None:
        (total,) = self._catalog.query(f"SELECT count(*) FROM ({statement})", asked)[0]
        if not total:
            return
        self._progress.stage("bring back", total)
        done = 0
        # read as a whole before the first is recorded as restored, which changes what the statement finds
        self._catalog.run(TO_BRING_BACK.create(statement), asked)
        for batch in self._catalog.stream("SELECT key, marker FROM to_bring_back", batch=MAX_KEYS_PER_REQUEST):
            if self._stopping():
                return
            removed = await undelete(source, [Version(key, marker) for key, marker in batch])
            self._records.note(
                "restored", [(one.key, None, one.version_id) for one, problem in removed if problem is None]
            )
            self._catalog.append("brought_back", [(one.key, one.version_id, problem) for one, problem in removed])
            failed = sum(problem is not None for _, problem in removed)
            self._counts.brought_back += len(removed) - failed
            self._counts.not_brought_back += failed
            done += len(batch)
            self._progress.at(done, failed=self._counts.not_brought_back)


async def _look_at_bucket(settings: Settings) -> BucketFacts:
    async with open_client(settings, settings.source, probing=True) as source:
        versioning = await versioning_of(source)
        locks = await has_object_lock(source)
        days = await noncurrent_days(source)
    now = datetime.now(UTC)
    return BucketFacts(versioning.state, locks, days, min(now, versioning.reported_at or now))


def _place(settings: Settings) -> str:
    side = settings.source
    return f"{side.setting} (s3://{side.bucket}/{side.prefix})"


async def _tried(settings: Settings, catalog: Catalog) -> DeleteMethod:
    """How this service deletes under a condition. Raises RefusedError where it does not, or shows one place as two."""
    where = f"s3://{settings.source.bucket}/{settings.source.prefix}"
    try:
        async with open_client(settings, settings.source, probing=True) as source:
            await _refuse_one_place(settings, catalog, source)
            method = await delete_method(source, settings.source.prefix)
    except S3StopError:
        raise
    except S3Error as error:
        raise RefusedError(
            [
                Finding(
                    settings.source.setting,
                    where,
                    f"what this service does with a delete cannot be tried: {error}",
                    f"Grant s3:PutObject and s3:DeleteObject on {settings.source.prefix}.rehome-probe-*",
                )
            ]
        ) from error
    if method is None:
        raise RefusedError(
            [
                Finding(
                    settings.source.setting,
                    where,
                    "this service ignores the condition on a delete (If-Match), so that an object which the "
                    "application has just replaced would be deleted too",
                    "Delete these objects by the service's own means, from the list of a --check",
                )
            ]
        )
    return method


async def _refuse_one_place(settings: Settings, catalog: Catalog, source: Client) -> None:
    """Refuse where source and target show the same objects under two names."""
    here, there = settings.source.prefix, settings.target.prefix
    async with open_client(settings, settings.target, probing=True) as target:
        for rest, _, _ in catalog.query(f"{TO_DELETE} LIMIT {_SAMPLE}"):
            if not await may_be_same_object(source, here + rest, target, there + rest):
                return
        if not await is_same_place(source, here, target, there):
            return
    raise RefusedError(
        [
            Finding(
                settings.target.setting,
                f"s3://{settings.target.bucket}/{there}",
                f"shows the very objects of {settings.source.setting} under another name: there is only one of each",
                "Name the place that the objects were copied to",
            )
        ]
    )
