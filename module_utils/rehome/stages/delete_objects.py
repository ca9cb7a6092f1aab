"""Delete objects that are proven to exist elsewhere, under conditions and on record, and undo those deletes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvloop

from ..catalog.catalog import Catalog
from ..catalog.schema import TO_BRING_BACK
from ..codes import Code, marked
from ..config.settings import Settings, Side
from ..errors import Finding, RefusedError, RehomeError
from ..run import Run
from ..s3.client.client import Client
from ..s3.concurrency import end_in_time, run_all
from ..s3.deletion.delete import MAX_KEYS_PER_REQUEST, DeleteJob, DeleteMethod, DeleteOutcome, delete_objects, undelete
from ..s3.deletion.versions import Version, find_delete_marker, has_object_lock, noncurrent_days, versioning_of
from ..s3.errors import DENIED_CODES, S3Error, S3RequestError, S3StopError, trouble_of
from ..s3.objects.compare import head
from ..s3.probe.conditional_delete import delete_method
from ..s3.probe.same_place import is_same_place, may_be_same_object
from ..scan.named_keys import read_named_keys
from ..services.clients import metered, open_client
from ..services.pace import paced
from ..services.way_back import grant_markers, way_back
from ..state.delete_log import LIVE_MARKERS, DeleteLog
from .delete_side import BucketState, DeleteSide
from .deletion_candidates import TO_DELETE

BATCHES_IN_FLIGHT = 4
_SAMPLE = 3
_REFUSED_AT_ONCE = 50
"""A batch of so many that is refused as a whole, for one reason, is not about its objects."""

_NAMED_MARKERS = f"""
SELECT m.key, m.marker FROM ({LIVE_MARKERS}) m
WHERE EXISTS (SELECT 1 FROM named_keys n WHERE $prefix || n.suffix = m.key)
"""

_NAMED_AND_GONE = """
FROM delete_outcomes o
WHERE o.result = 'deleted' AND o.marker IS NULL AND EXISTS (SELECT 1 FROM named_keys n WHERE n.suffix = o.suffix)
"""


@dataclass
class DeleteCounts:
    """The outcomes of a bucket's objects.

    classes: by what `deletion_candidates.classify` finds; empty for an undelete
    deleted, changed, refused: of those to delete: deleted; changed since they were classified, and kept; refused by S3
    brought_back, not_brought_back: delete markers that were removed, and that S3 did not remove
    gone: of those deleted without versions, the ones that rows written meanwhile name
    denied: why delete markers may not be removed, and the way out; "" if that is not what kept them
    expected: copies that are not there, and may still be made
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
    denied: str = ""
    expected: int = 0

    @property
    def to_delete(self) -> int:
        """How many objects may be deleted."""
        return self.classes.get("to_delete", 0)

    @property
    def kept(self) -> dict[str, int]:
        """Why the others stay: class → count."""
        classified = {name: count for name, count in self.classes.items() if name != "to_delete"}
        return classified | {"changed": self.changed, "refused": self.refused}

    def changes(self, dry_run: bool) -> bool:
        """Whether the bucket was changed, or in a dry run would be."""
        return self.to_delete > 0 if dry_run else self.deleted + self.brought_back > 0

    def named(self, noun: str, verb: str, reasons: Sequence[str]) -> dict[str, int]:
        """Return the counts by the names of the summary, such as `objects_to_retire` and `copies_kept_locked`.

        reasons: the classes of objects that are kept
        """
        kept = self.kept
        return {
            f"{noun}_seen": sum(self.classes.values()),
            f"{noun}_not_reached": self.to_delete - self.deleted - self.changed - self.refused,
            f"{noun}_to_{verb}": self.to_delete,
            f"bytes_to_{verb}": self.bytes_to_delete,
            f"{noun}_{verb}d": self.deleted,
            f"bytes_{verb}d": self.bytes_deleted,
            **{f"{noun}_kept_{reason}": kept.get(reason, 0) for reason in reasons},
            f"{noun}_brought_back": self.brought_back,
            f"{noun}_not_brought_back": self.not_brought_back,
        }

    def left(self, noun: str, reasons: Sequence[str]) -> dict[str, int]:
        """Return the objects that are kept, or will be: name in the summary → count, without those that are 0."""
        kept = {f"{noun}_kept_{reason}": count for reason in reasons if (count := self.kept.get(reason, 0))}
        return kept | ({f"{noun}_expected": self.expected} if self.expected else {})

    def diff(self, what: str, bucket: str) -> dict[str, str]:
        """Return the difference that --diff shows: how many objects `what` (say, "objects to retire") counts."""
        if not self.to_delete:
            return {"before": "", "after": ""}
        return {"before": f"{self.to_delete} {what} in {bucket}\n", "after": f"0 {what} in {bucket}\n"}

    def problems(self) -> list[str]:
        """Return what needs a human, as sentences without their full stops."""
        why = f" ({self.denied})" if self.denied else ""
        gone = "objects that were deleted without a way back are named by rows that were written meanwhile"
        troubles = (
            (self.refused, "objects could not be deleted", Code.OBJECTS_KEPT),
            (self.not_brought_back, f"delete markers could not be removed{why}", Code.NOT_BROUGHT_BACK),
            (self.gone, gone, Code.DELETED_BUT_NAMED),
        )
        return [marked(f"{count:,} {text}", code) for count, text, code in troubles if count]


def inspect_bucket(settings: Settings, delete_from: Side) -> BucketState:
    """Read what decides whether and how objects may be deleted. Raises S3Error."""
    return uvloop.run(_inspect_bucket(settings, delete_from))


def not_inspected(delete_from: Side, error: S3Error) -> Finding:
    """Return the finding for a bucket whose state cannot be read."""
    return Finding(
        f"{delete_from.setting}.bucket",
        delete_from.bucket,
        f"whether it keeps versions and locks objects cannot be read: {error}",
        "Grant s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration on it"
        if error.code in DENIED_CODES
        else "Correct what S3 names",
        Code.S3_DENIED,
    )


def delete_classified(run: Run, side: DeleteSide, bucket: BucketState, counts: DeleteCounts, folder: str) -> None:
    """Delete what was classified as deletable, in batches of 1,000, and undelete what a row names by then.

    counts: grows with each batch, so it is true also if this raises
    folder: where the deletes are recorded, within the state folder
    Raises RefusedError if the service keeps no condition on deletes, and RehomeError if continuing is useless.
    """
    with DeleteLog(run.settings.state_dir / folder, side.delete_from.bucket, run.catalog) as records:
        work = _Deletion(run, side, bucket.keeps_versions, counts, records)
        try:
            uvloop.run(work.run())
        except S3StopError as error:
            raise RehomeError(
                f"{_place(side.delete_from)}: deleting cannot go on, after {counts.deleted:,} objects: "
                f"{str(error).rstrip('.')}. Run it again once that is put right: it goes on from here.",
                code=trouble_of(error.code, Code.DELETE_STOPPED),
            ) from error
        if counts.deleted:
            # a row may have been written since the rows were read
            read_named_keys(run.with_settings(side.settings))
        work.undelete_named()


def undelete_recorded(run: Run, side: DeleteSide, counts: DeleteCounts, folder: str, dry_run: bool) -> None:
    """Remove exactly the delete markers that were recorded, so that the objects under them are visible again.

    counts: grows with each batch; a dry run only counts the markers
    folder: where the deletes were recorded, within the state folder
    Raises RehomeError if these credentials may remove none, S3Error and S3StopError.
    """
    with DeleteLog(run.settings.state_dir / folder, side.delete_from.bucket, run.catalog) as records:
        work = _Deletion(run, side, True, counts, records)
        if dry_run:
            counts.brought_back = records.live_markers()
        else:
            uvloop.run(work.undelete_all())
    if counts.denied and not counts.brought_back:
        raise RehomeError(
            f"{_place(side.delete_from)}: none of {counts.not_brought_back:,} objects is brought back: "
            f"{counts.denied}, then run the same command again.",
            code=Code.NO_WAY_BACK,
        )


class _Deletion:
    """One run's deletes and undeletes in one bucket."""

    def __init__(
        self, run: Run, side: DeleteSide, keeps_versions: bool, counts: DeleteCounts, records: DeleteLog
    ) -> None:
        self._run = run
        self._side = side
        self._catalog = run.catalog
        self._progress = run.progress
        self._keeps_versions = keeps_versions
        self._counts = counts
        self._records = records
        self._prefix = side.delete_from.prefix
        self._done = self._bytes_done = 0
        self._stop: S3StopError | None = None

    async def run(self) -> None:
        """Settle what an earlier run left, then delete the queue."""
        async with self._client() as source, metered(self._progress, source):
            await self._settle_earlier(source)
            total = self._counts.to_delete
            if not total:
                return
            method = await _tried(self._side, self._catalog)
            (size,) = self._catalog.one(f"SELECT coalesce(sum(size), 0)::BIGINT FROM ({TO_DELETE})")
            self._progress.stage(f"delete from the {self._side.delete_from.label}", total, size)
            batches = self._batches()
            work = run_all(*(self._work(source, batches, method) for _ in range(BATCHES_IN_FLIGHT)))
            await end_in_time(work, self._run.stopping)
            if self._stop is not None:
                raise self._stop

    def undelete_named(self) -> None:
        """Undelete what a row names now, and count what has no delete marker."""
        params = {"prefix": self._prefix}
        if self._catalog.query(f"SELECT 1 FROM ({_NAMED_MARKERS}) LIMIT 1", params):
            uvloop.run(self._undelete(_NAMED_MARKERS, params))
        self._counts.gone = self._catalog.count(_NAMED_AND_GONE)

    async def _undelete(self, statement: str, params: dict[str, str]) -> None:
        async with self._client() as source, metered(self._progress, source):
            await self._remove_markers(source, statement, params)

    async def undelete_all(self) -> None:
        """Undelete everything that was recorded."""
        async with self._client() as source, metered(self._progress, source):
            await self._settle_earlier(source)
            await self._remove_markers(source, LIVE_MARKERS, {})

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        async with open_client(self._run.settings, self._side.delete_from) as client, paced(self._run, client):
            yield client

    def _batches(self) -> Iterator[list[tuple[str, str, int]]]:
        for batch in self._catalog.stream(TO_DELETE, batch=MAX_KEYS_PER_REQUEST):
            if self._run.stopping() or self._stop is not None:
                return
            yield batch

    async def _work(self, source: Client, batches: Iterator[list[tuple[str, str, int]]], method: DeleteMethod) -> None:
        for batch in batches:
            sizes = {self._prefix + suffix: size for suffix, _, size in batch}
            jobs = [DeleteJob(self._prefix + suffix, etag) for suffix, etag, _ in batch]
            self._records.record("intended", [(job.key, job.etag, None) for job in jobs])
            intended_at = datetime.now(UTC)
            try:
                outcomes = await delete_objects(source, jobs, method)
                settled = [await self._settled(source, outcome, intended_at) for outcome in outcomes]
            except S3StopError as error:
                # the next run finds out the outcome of these
                self._stop = self._stop or error
                return
            self._note(settled, sizes)

    def _note(self, outcomes: Sequence[DeleteOutcome], sizes: dict[str, int]) -> None:
        deleted = [outcome for outcome in outcomes if outcome.result == "deleted"]
        kept = [outcome for outcome in outcomes if outcome.result != "deleted"]
        self._records.record("deleted", [(one.job.key, one.job.etag, one.marker) for one in deleted])
        self._records.record("kept", [(one.job.key, one.job.etag, None) for one in kept])
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
        self._bytes_done += sum(sizes[one.job.key] for one in outcomes)
        left = counts.changed + counts.refused
        self._progress.at(self._done, bytes_done=self._bytes_done, deleted=counts.deleted, kept=left)
        if self._keeps_versions and (unnamed := [one.job.key for one in deleted if one.marker is None]):
            raise RehomeError(
                f"{_place(self._side.delete_from)}: the service does not return the delete marker of {len(unnamed):,} "
                f"objects that it has just deleted, such as {unnamed[0]!r}, so that they cannot be brought back from "
                "here. See how this service keeps versions before you go on.",
                code=Code.NO_WAY_BACK,
            )
        codes = {one.error for one in kept if one.result == "failed"}
        if len(codes) == 1 and len(kept) == len(outcomes) >= _REFUSED_AT_ONCE:
            first = kept[0]
            self._stop = self._stop or S3StopError(
                0, first.error or "", first.message or "", first.job.key, verb="DELETE"
            )

    async def _settled(self, source: Client, outcome: DeleteOutcome, intended_at: datetime) -> DeleteOutcome:
        """Return the outcome of a delete, and find it out if the reply was lost, or did not name the delete marker."""
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
        """Find out and record the outcome of the deletes that were in flight when an earlier run died."""
        unresolved = self._records.unresolved()
        if not unresolved:
            return
        self._progress.stage("settle what an earlier run left", len(unresolved))
        for number, (key, etag, intended_at) in enumerate(unresolved, 1):
            if self._run.stopping():
                return
            unsure = DeleteOutcome(DeleteJob(key, etag), "failed", unsure=True)
            settled = await self._settled(source, unsure, intended_at)
            self._records.record("deleted" if settled.result == "deleted" else "kept", [(key, etag, settled.marker)])
            self._progress.at(number)

    async def _remove_markers(self, source: Client, statement: str, params: dict[str, str]) -> None:
        total = self._catalog.count(statement, params)
        if not total:
            return
        self._progress.stage("undelete", total)
        done = 0
        # read completely before the first is recorded as undeleted, which changes what the statement finds
        self._catalog.run(TO_BRING_BACK.create(statement), params)
        for batch in self._catalog.stream("SELECT key, marker FROM to_bring_back", batch=MAX_KEYS_PER_REQUEST):
            if self._run.stopping():
                return
            removed = await undelete(source, [Version(key, marker) for key, marker in batch])
            self._records.record(
                "restored", [(one.key, None, one.version_id) for one, problem in removed if problem is None]
            )
            self._catalog.append(
                "brought_back", [(one.key, one.version_id, problem and str(problem)) for one, problem in removed]
            )
            denied = next((one for _, one in removed if one is not None and one.code in DENIED_CODES), None)
            if denied is not None:
                self._counts.denied = f"S3 denies it ({denied}). {grant_markers(self._side.delete_from)}"
            failed = sum(problem is not None for _, problem in removed)
            self._counts.brought_back += len(removed) - failed
            self._counts.not_brought_back += failed
            done += len(batch)
            self._progress.at(done, failed=self._counts.not_brought_back)


async def _inspect_bucket(settings: Settings, delete_from: Side) -> BucketState:
    async with open_client(settings, delete_from, probing=True) as source:
        versioning = await versioning_of(source)
        locks = await has_object_lock(source)
        days = await noncurrent_days(source)
        check = await way_back(source, delete_from) if versioning.state == "enabled" else None
    now = datetime.now(UTC)
    return BucketState(versioning.state, locks, days, min(now, versioning.reported_at or now), check)


def _place(side: Side) -> str:
    return f"{side.setting} (s3://{side.bucket}/{side.prefix})"


async def _tried(side: DeleteSide, catalog: Catalog) -> DeleteMethod:
    """Return how this service deletes under a condition.

    Raises RefusedError if it does not, or if the two sides are one place under two names.
    """
    delete_from = side.delete_from
    where = f"s3://{delete_from.bucket}/{delete_from.prefix}"
    try:
        async with open_client(side.settings, delete_from, probing=True) as source:
            await _refuse_one_place(side, catalog, source)
            method = await delete_method(source, delete_from.prefix)
    except S3RequestError as error:
        raise RefusedError.of(
            delete_from.setting,
            where,
            f"what this service does with a delete cannot be tried: {error}",
            f"Grant s3:PutObject and s3:DeleteObject on {delete_from.prefix}.rehome-probe-*"
            if error.code in DENIED_CODES
            else "Correct what S3 names",
            code=Code.S3_DENIED,
        ) from error
    if method is None:
        raise RefusedError.of(
            delete_from.setting,
            where,
            "this service ignores or rejects the condition on a delete (If-Match), so that an object which the "
            "application has just replaced would be deleted too",
            "Delete these objects by the service's own means, from the list of a --check",
            code=Code.UNCONDITIONAL_DELETE,
        )
    return method


async def _refuse_one_place(side: DeleteSide, catalog: Catalog, source: Client) -> None:
    """Raise RefusedError if the two sides show the same objects under two names."""
    delete_from, proof_in = side.delete_from, side.proof_in
    async with open_client(side.settings, proof_in, probing=True) as target:
        for suffix, _, _ in catalog.query(f"{TO_DELETE} LIMIT {_SAMPLE}"):
            if not await may_be_same_object(source, delete_from.prefix + suffix, target, proof_in.prefix + suffix):
                return
        if not await is_same_place(source, delete_from.prefix, target, proof_in.prefix):
            return
    raise RefusedError.of(
        proof_in.setting,
        f"s3://{proof_in.bucket}/{proof_in.prefix}",
        f"shows the very objects of {delete_from.setting} under another name: there is only one of each",
        "Name the place that the objects were copied to",
        code=Code.PLACES_OVERLAP,
    )
