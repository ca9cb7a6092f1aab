"""Copy objects by the million, each in the way that fits it and with one outcome, and stop if no copy can succeed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol

from ..client.client import Client
from ..client.pacing import RateLimiter
from ..concurrency import end_in_time, run_all
from ..errors import ARCHIVED_CODES, S3Error, S3StopError
from ..multipart.record import Uploads
from ..multipart.upload import CopyContext, Gate
from ..objects.job import MAX_COPY_BYTES, CopyJob, CopyOptions, CopyOutcome, CopyResult, SourceChanged
from ..objects.target_headers import TargetHeaders
from ..support import is_rejection
from .copy_object import ServerSide
from .copy_parts import copy_in_parts
from .crew import Crew
from .memory_budget import keep_blocks
from .reply_batching import ReplyBatching
from .stream_object import stream_object

_FAILURES_TO_STOP = 50
"""Equal failures in a row that stop a run without any success yet, or one whose every request uses its retries."""
_FAILURES_TO_STOP_LATER = 1_000
"""Equal failures in a row that stop a run midway: more than a folder of odd keys, less than a second's work."""
_REJECTIONS_TO_STOP = 5
"""Equal failures in a row of a service that says that it does not do what a copy asks for."""
_REJECTIONS_IN_ALL = 50
"""The same, with copies between them that need it not."""

_STREAMS = 32
"""Objects that are streamed at once, at first, and again where more are not faster."""

_DEFAULTS = CopyOptions()

_STOPPED = S3StopError(0, "", "the run is to stop", None)
"""What a part that may not begin any more is told."""


class ArrivingJobs(Protocol):
    """Jobs that arrive while others are copied."""

    def take(self) -> CopyJob | None:
        """Return the next job that has arrived; None if there is none at the moment."""

    async def wait(self) -> bool:
        """Wait until jobs have arrived. Returns False if none will arrive any more."""

    def close(self) -> None:
        """Let every `wait` return False: the run has ended by itself."""


async def copy_objects(
    source: Client,
    target: Client,
    jobs: Iterator[CopyJob] | ArrivingJobs,
    on_outcome: Callable[[CopyOutcome], None],
    options: CopyOptions = _DEFAULTS,
    uploads: Uploads | None = None,
    stopping: Callable[[], bool] = lambda: False,
    rate: RateLimiter | None = None,
) -> None:
    """Copy `jobs`, and call `on_outcome` exactly once for every job that was taken, unless it is to stop.

    The target's credentials send server-side copies, so they must be able to read the source bucket as well.
    Jobs are taken one by one, when a worker is free. Returns when `jobs` ends and all outcomes are reported. Jobs that
    arrive one after the other are waited for.

    uploads: where multipart uploads are recorded; None: nowhere, so that a killed run leaves them open
    stopping: once it returns True, no job is taken and no part is sent any more, jobs that wait for the rate are
        dropped, and what is in flight has `PATIENCE_S` to finish. What is dropped has no outcome: see what became of it
    rate: limits the objects per second, and may be given another limit meanwhile; None: one by `options`

    Raises S3StopError if no further copy can succeed: no job is taken any more, and those in flight are finished and
    reported first, except that multipart uploads send no further part and can be resumed. Errors of `jobs` and
    `on_outcome` end it at once.
    """
    if uploads is None:
        with Uploads(None) as unrecorded:
            await copy_objects(source, target, jobs, on_outcome, options, unrecorded, stopping, rate)
        return
    # Half of the connections stay free for small objects, which would otherwise wait for parts each time.
    gate = Gate(max(1, target.max_connections // 2))
    headers = TargetHeaders(source, target, options)
    if options.method == "stream":
        keep_blocks()
    workers = target.max_connections
    crew = Crew(workers, _STREAMS if options.method == "stream" else workers)
    run = _Run(CopyContext(source, target, options, uploads, gate, headers), jobs, on_outcome, stopping, rate, crew)
    batching = asyncio.create_task(run.batch_replies())
    try:
        work = run_all(*(run.work(number) for number in range(workers)))
        await end_in_time(work, stopping, lambda: gate.close(_STOPPED))
    finally:
        batching.cancel()
    if run.stop is not None:
        raise run.stop


async def _no_more() -> bool:
    return False


def _nothing_to_close() -> None:
    pass


class _Run:
    """What the workers of one `copy_objects` share."""

    def __init__(
        self,
        context: CopyContext,
        jobs: Iterator[CopyJob] | ArrivingJobs,
        on_outcome: Callable[[CopyOutcome], None],
        stopping: Callable[[], bool],
        rate: RateLimiter | None,
        crew: Crew,
    ) -> None:
        options = context.options
        self._context = context
        if isinstance(jobs, Iterator):
            # in C: it runs for each of millions
            self._take: Callable[[], CopyJob | None] = partial(next, jobs, None)
            self._wait, self._close = _no_more, _nothing_to_close
        else:
            self._take, self._wait, self._close = jobs.take, jobs.wait, jobs.close
        self._on_outcome = on_outcome
        self._stopping = stopping
        self._server_side = ServerSide(context.source, context.target, options, context.headers)
        self._copies_parts = bool(options.capabilities.uploads and options.capabilities.part_copy)
        # What need not be copied in parts is copied in one request where the service has no parts.
        threshold = options.multipart_threshold if self._copies_parts else MAX_COPY_BYTES + 1
        self._in_parts_from = max(1, min(threshold, MAX_COPY_BYTES + 1))
        self._streams = options.method == "stream"
        self._rate = rate or RateLimiter(options.objects_per_second)
        self._crew = crew
        self._batching = ReplyBatching()
        self._streak = _FailureStreak()
        self.stop: S3StopError | None = None

    async def batch_replies(self) -> None:
        # A pause would delay content that is streamed.
        if not self._streams:
            await self._batching.run()

    async def work(self, number: int) -> None:
        """Copy one object after the other. The first worker that finds none any more ends the wait of the others."""
        try:
            await self._work(number)
        finally:
            self._crew.end()

    async def _work(self, number: int) -> None:
        crew = self._crew
        while self.stop is None and (number < crew.limit or await crew.joins(number)):
            if (job := self._take() or await self._arrived()) is None:
                return
            if self._rate.limits and not await self._rate.wait(self._stopping):
                return
            began = time.monotonic()
            rejects = False
            try:
                outcome = await self._copy(job)
            except SourceChanged as changed:
                message = "the source object is gone, or not the one that was listed"
                outcome = CopyOutcome(job, "changed", error=changed.code, message=message)
            except S3Error as error:
                if error is _STOPPED:
                    return
                result: CopyResult = "archived" if error.code in ARCHIVED_CODES else "failed"
                outcome = CopyOutcome(job, result, attempts=error.attempts, error=error.code, message=error.message)
                rejects = is_rejection(error.status, error.code, error.message)
                if isinstance(error, S3StopError):
                    self._end(error)
            outcome.duration_s = time.monotonic() - began
            self._count(outcome, rejects=rejects)
            self._on_outcome(outcome)

    async def _arrived(self) -> CopyJob | None:
        while await self._wait():
            if (job := self._take()) is not None:
                return job
        return None

    def _count(self, outcome: CopyOutcome, *, rejects: bool) -> None:
        """Let what paces the run and what may stop it know of an outcome."""
        if self._streams:
            self._crew.completed()
        elif outcome.result == "copied" and outcome.job.size < self._in_parts_from:
            self._batching.record(outcome.duration_s)
        if outcome.result != "failed":
            self._streak.succeeded()
        elif (reason := self._streak.failed(outcome, rejects=rejects)) is not None:
            self._end(reason)

    def _copy(self, job: CopyJob) -> Awaitable[CopyOutcome]:
        if self._streams:
            return stream_object(self._context, job)
        if job.size < self._in_parts_from:
            return self._server_side.copy(job)
        if self._copies_parts:
            return copy_in_parts(self._context, job)
        return stream_object(self._context, job)

    def _end(self, reason: S3StopError) -> None:
        if self.stop is None:
            self.stop = reason
            self._context.gate.close(reason)
            self._close()


class _FailureStreak:
    """Counts equal failures in a row: what many objects have in common is no property of the objects.

    Midway through a run a few odd objects in a row are no reason to stop. A right that was taken away is, and so is a
    service that no longer replies. The latter shows in requests that fail only after all attempts: waiting for a
    thousand of those would take hours. And so is what a service does not support, which shows after few.
    """

    def __init__(self) -> None:
        self._any_success = False
        self._count = 0
        self._retried = 0
        self._rejected = 0
        self._rejected_in_all = 0
        self._error: str | None = None

    def succeeded(self) -> None:
        self._any_success = True
        self._count = self._retried = self._rejected = 0

    def failed(self, outcome: CopyOutcome, *, rejects: bool) -> S3StopError | None:
        """Return the reason to stop, or None.

        rejects: whether the service says that it does not support what the copy needs
        """
        if outcome.error != self._error:
            self._error, self._count, self._retried, self._rejected = outcome.error, 0, 0, 0
        self._count += 1
        self._retried += outcome.attempts > 1
        if rejects:
            self._rejected += 1
            self._rejected_in_all += 1
            if self._rejected >= _REJECTIONS_TO_STOP or self._rejected_in_all >= _REJECTIONS_IN_ALL:
                return self._reason(outcome, 501, f"{self._rejected_in_all:,} copies failed, the last with this code")
        serious = self._retried if self._any_success else self._count
        if serious < _FAILURES_TO_STOP and self._count < _FAILURES_TO_STOP_LATER:
            return None
        which = "last" if self._any_success else "first"
        return self._reason(outcome, 0, f"the {which} {self._count:,} copies all failed with this code")

    def _reason(self, outcome: CopyOutcome, status: int, what: str) -> S3StopError:
        return S3StopError(
            status,
            outcome.error or "",
            f"{what}: {(outcome.message or '').rstrip('.')}",
            outcome.job.source_key,
            verb="COPY",
        )
