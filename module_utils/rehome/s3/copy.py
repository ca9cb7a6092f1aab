"""Server-side copies by the million: CopyObject under conditions, each one proven before it counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator

from .client import Client
from .compare import Evidence, compare, head
from .connection import Response
from .errors import S3Error, S3StopError, read_error
from .job import MAX_COPY_BYTES, CopyJob, CopyOutcome
from .sigv4 import encode_copy_source

_SLOWEST_COPY = 10 * 1024 * 1024
"""Bytes per second of a server-side copy that is slow but alive; what it takes longer than that is lost."""

_FAILURES_IN_A_ROW = 50

_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([^<&\"]+)")


async def copy_objects(
    source: Client, target: Client, jobs: Iterator[CopyJob], on_outcome: Callable[[CopyOutcome], None]
) -> None:
    """Copy what `jobs` yields, and tell `on_outcome` about every job that was taken, exactly once.

    The target's credentials send the copies, so they must be able to read the source bucket as well. Jobs are
    taken one by one, when a worker is free. Ends when `jobs` does and all outcomes are told.

    Raises S3StopError where going on is useless: no job is taken any more, those under way are finished and
    told first. Errors of `jobs` and `on_outcome` end it at once.
    """
    run = _Run(source, target, jobs, on_outcome)
    workers = [asyncio.create_task(run.work()) for _ in range(target.max_connections)]
    try:
        await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        ends = await asyncio.gather(*workers, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    if run.stop is not None:
        raise run.stop


class _Run:
    """What the workers of one `copy_objects` share."""

    def __init__(
        self,
        source: Client,
        target: Client,
        jobs: Iterator[CopyJob],
        on_outcome: Callable[[CopyOutcome], None],
    ) -> None:
        self._source = source
        self._target = target
        self._jobs = jobs
        self._on_outcome = on_outcome
        self._succeeded = False
        self._failures = 0
        self._last_error: str | None = None
        self.stop: S3StopError | None = None

    async def work(self) -> None:
        while self.stop is None and (job := next(self._jobs, None)) is not None:
            try:
                outcome = await copy_one(self._source, self._target, job)
            except S3Error as error:
                outcome = CopyOutcome(job, "failed", attempts=error.attempts, error=error.code, message=error.message)
                if isinstance(error, S3StopError):
                    self.stop = self.stop or error
            self._note(outcome)
            self._on_outcome(outcome)

    def _note(self, outcome: CopyOutcome) -> None:
        """Stop where the first outcomes are all the same failure: the millionth would be, too."""
        if outcome.result != "failed":
            self._succeeded = True
        if self._succeeded or self.stop is not None:
            return
        self._failures = self._failures + 1 if outcome.error == self._last_error else 1
        self._last_error = outcome.error
        if self._failures >= _FAILURES_IN_A_ROW:
            self.stop = S3StopError(
                0,
                outcome.error or "",
                f"the first {self._failures} copies all failed with this code: {(outcome.message or '').rstrip('.')}",
                outcome.job.source_key,
                verb="COPY",
            )


async def copy_one(source: Client, target: Client, job: CopyJob) -> CopyOutcome:
    """Copy one object and prove it. Raises S3Error and S3StopError."""
    if job.size > MAX_COPY_BYTES:
        return CopyOutcome(
            job,
            "failed",
            attempts=0,
            error="EntityTooLarge",
            message=f"{job.size} bytes, one CopyObject takes {MAX_COPY_BYTES}",
        )
    headers = {
        "x-amz-copy-source": encode_copy_source(source.endpoint.bucket, job.source_key),
        "x-amz-copy-source-if-match": f'"{job.etag}"',
    }
    if job.replace_etag is None:
        headers["if-none-match"] = "*"
    else:
        headers["if-match"] = f'"{job.replace_etag}"'
    if target.endpoint.is_aws:
        # Annotations would be copied by default, which takes two more permissions and is billed for each
        # (CopyObject in botocore 1.44's service model).
        headers["x-amz-object-annotation-directive"] = "EXCLUDE"
    reply = await target.request("PUT", job.target_key, headers=headers, read_timeout=60 + job.size / _SLOWEST_COPY)
    if reply.status != 200:
        return await _explain(source, target, job, reply)
    found = _ETAG.search(reply.body)
    etag = found[1].decode() if found else ""
    if etag == job.etag:
        return CopyOutcome(job, "copied", etag, Evidence.ETAG, reply.attempts)
    return await _prove(source, target, job, etag, reply)


async def _prove(source: Client, target: Client, job: CopyJob, etag: str, reply: Response) -> CopyOutcome:
    """The outcome of a copy whose ETag is not the source's, as with multipart uploads and KMS."""
    if not etag:
        etag = _etag_of(await head(target, job.target_key))
    evidence = await compare(source, job.source_key, job.etag, target, job.target_key, etag)
    if evidence is not None:
        return CopyOutcome(job, "copied", etag, evidence, reply.attempts)
    if not await _source_is_as_listed(source, job):
        return _changed(job, reply, "PreconditionFailed")
    return CopyOutcome(
        job,
        "failed",
        etag or None,
        attempts=reply.attempts,
        error="ContentDiffers",
        message="S3 reports the copy as done, but source and target do not have the same content",
    )


async def _explain(source: Client, target: Client, job: CopyJob, reply: Response) -> CopyOutcome:
    """The outcome of a copy whose condition failed: 412 and 404 do not say which object they mean."""
    if not await _source_is_as_listed(source, job):
        return _changed(job, reply, read_error(reply.status, reply.body)[0])
    there = await head(target, job.target_key)
    if there.status != 200:
        return CopyOutcome(
            job,
            "failed",
            attempts=reply.attempts,
            error="TargetGone" if job.replace_etag else read_error(reply.status, reply.body)[0],
            message="the source is as listed and the target object that was in the way is gone; run again",
        )
    etag = _etag_of(there)
    same_size = there.headers.get(b"content-length") == b"%d" % job.size
    evidence = await compare(source, job.source_key, job.etag, target, job.target_key, etag) if same_size else None
    if evidence is not None:
        # If the reply to an earlier attempt of ours was lost, the object that is now in the way is ours.
        return CopyOutcome(job, "copied" if reply.repeated else "present", etag, evidence, reply.attempts)
    if same_size and not await _source_is_as_listed(source, job):
        return _changed(job, reply, "PreconditionFailed")
    return CopyOutcome(
        job,
        "conflict",
        etag,
        attempts=reply.attempts,
        error="PreconditionFailed",
        message="the target key is taken by other content",
    )


async def _source_is_as_listed(source: Client, job: CopyJob) -> bool:
    return (await head(source, job.source_key, job.etag)).status == 200


def _changed(job: CopyJob, reply: Response, code: str) -> CopyOutcome:
    return CopyOutcome(
        job,
        "changed",
        attempts=reply.attempts,
        error=code,
        message="the source object is gone, or not the one that was listed",
    )


def _etag_of(reply: Response) -> str:
    return reply.headers.get(b"etag", b"").decode().strip('"')
