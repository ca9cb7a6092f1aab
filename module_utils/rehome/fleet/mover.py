"""One worker's copy: a single `copy_objects` for the whole run, on a loop of its own, which shards are fed to.

A call for each shard would wait for its slowest object each time, with idle connections. And the pause before replies
are read (`s3/copier/reply_batching.py`) blocks the loop on purpose, so that it cannot be the loop that dask's worker
answers its scheduler on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import uvloop

from ..collector import rare_collections
from ..errors import RehomeError
from ..s3.client.client import Client
from ..s3.client.pacing import RateLimiter
from ..s3.copier.run import copy_objects
from ..s3.endpoint.resolve import resolve
from ..s3.errors import S3StopError
from ..s3.multipart.record import Upload, Uploads
from ..s3.objects.job import CopyJob, CopyOutcome
from .orders import WAIT, Orders, Pace
from .outcomes import Ended, job_of, packed
from .shards import Row
from .uploads import in_parts

TAKEN_AWAY = "taken away"
"""The error of a mover whose plugin was taken from its worker before its run had told it to stop."""


class Stopped(NamedTuple):
    """Why no further copy can succeed: the fields of an S3StopError, which would not carry the outcomes so far."""

    status: int
    code: str
    message: str
    key: str | None
    verb: str


class Report(NamedTuple):
    """What became of a shard.

    ended: its outcomes; not of every row, if the copy was stopped
    uploads: that are still open
    stopped, error: why the mover has ended by itself: S3's reason, or another in words
    """

    ended: list[Ended]
    uploads: list[Upload]
    stopped: Stopped | None
    error: str | None


class Ticket:
    """A shard that is being copied.

    half_taken: half of its jobs are taken: it is time for the next shard
    done: `report` has what became of it
    """

    def __init__(self, rows: Sequence[Row], uploads: Sequence[Upload]) -> None:
        self.rows = rows
        self.uploads = uploads
        self.half_taken = threading.Event()
        self.done = threading.Event()
        self.report = Report([], [], None, None)


class _Open:
    """A ticket's jobs that are left to take, and how many have no outcome yet."""

    def __init__(self, ticket: Ticket, jobs: Sequence[CopyJob]) -> None:
        self.ticket = ticket
        self.jobs = deque(jobs)
        self.count = self.left = len(jobs)
        self.uploading = list[str]()
        self._half = len(jobs) // 2

    def take(self) -> tuple[int, CopyJob] | None:
        """Return the next job with its place in the shard, None after the last; half-way, more shards are asked for."""
        left = len(self.jobs)
        if left == self._half:
            self.ticket.half_taken.set()
        return (self.count - left, self.jobs.popleft()) if left else None


class Mover:
    """Copies the shards that it is given, until it is closed. Its methods may be called from any thread."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._loop = uvloop.new_event_loop()
        self._feed = _Feed(orders)
        self._pace = WAIT
        self._was_told = True
        self._clients: Sequence[Client] = ()
        self._rate = RateLimiter(None)
        self._paced, self._closed = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="rehome-mover", daemon=True)

    def start(self) -> None:
        """Open the connections, and wait for shards and for the pace."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still ends the shards that it is given."""
        return self._thread.is_alive()

    def copy(self, rows: Sequence[Row], uploads: Sequence[Upload] = ()) -> Ticket:
        """Copy the objects of these rows.

        uploads: what earlier runs have recorded of them
        """
        ticket = Ticket(rows, uploads)
        self._loop.call_soon_threadsafe(self._feed.add, ticket)
        return ticket

    def set_pace(self, pace: Pace) -> None:
        """Hold the requests to this from now on."""
        self._loop.call_soon_threadsafe(self._hold, pace)

    def close(self) -> None:
        """Stop, and end the thread when what is in flight has ended."""
        self._loop.call_soon_threadsafe(self._take_away)

    def join(self) -> None:
        """Wait for the end after `close`."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        finally:
            self._loop.close()

    async def _work(self) -> None:
        with Uploads(None) as uploads:
            self._feed.uploads = uploads
            self._feed.end(*await self._ended(uploads))
        # shards that arrive now end at once
        await self._closed.wait()

    async def _ended(self, uploads: Uploads) -> tuple[Stopped | None, str | None]:
        """Copy until the end, and return why it came before it was asked for."""
        try:
            await self._copy(uploads)
        except S3StopError as stop:
            return Stopped(stop.status, stop.code, stop.message, stop.key, stop.verb), None
        except RehomeError as refusal:
            return None, refusal.told
        except Exception as unexpected:
            # told in place of shards that never end; its text may hold a secret
            logging.getLogger(__name__).exception("the copy has ended")
            return None, f"an error that nobody expected ({type(unexpected).__name__}; the worker's log has it)"
        return None, None if self._was_told else TAKEN_AWAY

    async def _copy(self, uploads: Uploads) -> None:
        orders, feed = self._orders, self._feed
        async with AsyncExitStack() as stack:
            stack.enter_context(rare_collections())
            self._clients = source, target = [
                await stack.enter_async_context(Client(resolve(side), orders.max_requests))
                for side in (orders.source, orders.target)
            ]
            feed.bucket = target.endpoint.bucket
            self._hold(self._pace)
            options, stopping = orders.options, self._is_stopping
            # jobs that are taken while there is no rate pass it by, all at once
            await self._paced.wait()
            await copy_objects(source, target, feed, feed.note, options, uploads, stopping, self._rate)

    def _take_away(self) -> None:
        self._was_told = self._pace.stop
        self._hold(self._pace._replace(stop=True))
        self._closed.set()

    def _is_stopping(self) -> bool:
        return self._pace.stop

    def _hold(self, pace: Pace) -> None:
        self._pace = pace
        if pace != WAIT:
            self._paced.set()
        for client in self._clients:
            # a run that is to stop waits for nothing
            client.limiter.set_ceiling(self._orders.max_requests if pace.stop else pace.requests)
        self._rate.retune(pace.per_second)
        if pace.stop:
            self._feed.close()


class _Feed:
    """The jobs of the shards in their order, as `ArrivingJobs`, and where their outcomes go. Of the mover's loop."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._queue: deque[_Open] = deque()
        self._of_job: dict[int, tuple[_Open, int]] = {}
        self._open: set[_Open] = set()
        self._arrived = asyncio.Event()
        self._is_closed = self._has_ended = False
        self._stopped: Stopped | None = None
        self._error: str | None = None
        self.uploads: Uploads | None = None
        self.bucket = ""

    def add(self, ticket: Ticket) -> None:
        """Queue a shard. It ends at once if it is empty, or if nothing is copied any more."""
        source, target = self._orders.source.prefix, self._orders.target.prefix
        jobs = [job_of(row, source, target) for row in ticket.rows]
        entry = _Open(ticket, jobs)
        if self._has_ended or not jobs:
            self._end(entry)
            return
        entry.uploading = [target + row[0] for row in in_parts(ticket.rows, self._orders.options)]
        for known in ticket.uploads:
            if self.uploads is not None:
                self.uploads.add(known)
        self._open.add(entry)
        self._queue.append(entry)
        self._arrived.set()

    def take(self) -> CopyJob | None:
        """Return the next job of all shards, None if there is none for now."""
        while self._queue and not self._is_closed:
            entry = self._queue[0]
            if (taken := entry.take()) is not None:
                index, job = taken
                self._of_job[id(job)] = entry, index
                return job
            self._queue.popleft()
        self._arrived.clear()
        return None

    async def wait(self) -> bool:
        """Wait until there is a job. Return False once no shard will come."""
        if not self._is_closed:
            await self._arrived.wait()
        return not self._is_closed

    def close(self) -> None:
        """Give out no job any more, and end whoever waits for one."""
        self._is_closed = True
        self._arrived.set()

    def note(self, outcome: CopyOutcome) -> None:
        """Add an outcome to the report of its shard, which ends with its last, or with the copy."""
        entry, index = self._of_job.pop(id(outcome.job))
        entry.ticket.report.ended.append(packed(index, outcome))
        entry.left -= 1
        if self.uploads is not None and self.uploads.bytes_sent:
            self.uploads.bytes_sent.pop(outcome.job.target_key, None)
        # once no job is given out any more, the copy is about to end, and why is to be told with the last outcomes
        if not entry.left and not self._is_closed:
            self._open.discard(entry)
            self._end(entry)

    def end(self, stopped: Stopped | None, error: str | None) -> None:
        """Nothing is copied any more: end what has no outcomes."""
        self.close()
        self._has_ended = True
        self._stopped, self._error = stopped, error
        for entry in self._open:
            self._end(entry)
        self.uploads = None
        self._open.clear()
        self._queue.clear()
        self._of_job.clear()

    def _end(self, entry: _Open) -> None:
        # the copy has ended before this shard came: what was recorded of it is as it was
        left = list(entry.ticket.uploads) if self.uploads is None else []
        if self.uploads is not None:
            for key in entry.uploading:
                if (known := self.uploads.find(self.bucket, key)) is not None:
                    left.append(known)
                    self.uploads.remove(self.bucket, key)
        entry.ticket.report = entry.ticket.report._replace(uploads=left, stopped=self._stopped, error=self._error)
        entry.ticket.half_taken.set()
        entry.ticket.done.set()
