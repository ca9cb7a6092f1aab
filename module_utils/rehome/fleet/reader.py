"""One worker's reading: functions that only read, on a loop of its own, with connections that stay open.

What is read twice is the same, so that nothing is recorded of a shard that was lost, and a stop ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import uvloop

from ..config.settings import Side
from ..errors import RehomeError
from ..s3.client.client import Client
from ..s3.client.pacing import RateLimiter
from ..s3.endpoint.resolve import resolve
from ..s3.errors import S3Error, S3StopError
from .orders import WAIT, Pace


class Place(NamedTuple):
    """Where a reading reads.

    sides, clients: the buckets of the run, in its order
    rate: the worker's share of `rehome_objects_per_second`
    """

    sides: Sequence[Side]
    clients: Sequence[Client]
    rate: RateLimiter


Reading = Callable[[Place, Any], Coroutine[Any, Any, Any]]
"""Reads what a shard asks for: plain tuples in, plain tuples out."""


class Failure(NamedTuple):
    """Why a shard could not be read: the fields of an S3Error, or words. An exception might not be understood there.

    stops: every further request would fail, too
    """

    text: str
    status: int = 0
    code: str = ""
    key: str | None = None
    verb: str = ""
    stops: bool = True


class Answer(NamedTuple):
    """What a shard gave: `result`, unless there is a failure."""

    result: Any
    failure: Failure | None


STOPPED = Answer(None, Failure("it was to stop"))


class Reader:
    """Reads the shards that it is given, until it is closed. Its methods may be called from any thread.

    sides: without secrets
    max_requests: in flight to one bucket
    """

    def __init__(self, sides: Sequence[Side], max_requests: int) -> None:
        self._sides = sides
        self._max_requests = max_requests
        self._loop = uvloop.new_event_loop()
        self._pace = WAIT
        self._rate = RateLimiter(None)
        self._clients: list[Client] = []
        self._refusal: Failure | None = None
        self._opened = asyncio.Event()
        self._paced = asyncio.Event()
        self._closed = asyncio.Event()
        self._lock = threading.Lock()
        self._has_ended = False
        self._waiting: set[Future[Answer]] = set()
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._thread = threading.Thread(target=self._run, name="rehome-reader", daemon=True)

    def start(self) -> None:
        """Open the connections, and wait for shards and for the pace."""
        self._thread.start()

    def read(self, reading: Reading, shard: Any) -> Answer:
        """Read a shard, and return what it gave."""
        with self._lock:
            if self._has_ended:
                return STOPPED
            waiting = asyncio.run_coroutine_threadsafe(self._answer(reading, shard), self._loop)
            self._waiting.add(waiting)
        try:
            return waiting.result()
        except CancelledError:
            return STOPPED
        finally:
            with self._lock:
                self._waiting.discard(waiting)

    def set_pace(self, pace: Pace) -> None:
        """Hold the requests to this from now on. A stop ends all shards."""
        self._call(lambda: self._hold(pace))
        if pace.stop:
            self._cancel()

    def close(self) -> None:
        """End all shards, and the thread."""
        self._call(self._closed.set)

    def join(self) -> None:
        """Wait for the end after `close`."""
        self._thread.join()

    def _call(self, function: Callable[[], object]) -> None:
        with self._lock:
            if not self._has_ended:
                self._loop.call_soon_threadsafe(function)

    def _cancel(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for one in waiting:
            one.cancel()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        finally:
            with self._lock:
                self._has_ended = True
            self._cancel()
            self._loop.close()

    async def _work(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                for side in self._sides:
                    self._clients.append(await stack.enter_async_context(Client(resolve(side), self._max_requests)))
            except RehomeError as refusal:
                self._refusal = Failure(refusal.told)
            except Exception as unexpected:
                self._refusal = _unexpected(unexpected)
            self._hold(self._pace)
            self._opened.set()
            await self._closed.wait()
            self._cancel()
            # they end before their connections are closed
            await asyncio.gather(*filter(None, self._tasks), return_exceptions=True)

    async def _answer(self, reading: Reading, shard: Any) -> Answer:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            return await self._read(reading, shard)
        finally:
            self._tasks.discard(task)

    async def _read(self, reading: Reading, shard: Any) -> Answer:
        await self._opened.wait()
        if self._refusal is not None:
            return Answer(None, self._refusal)
        # what begins while there is no rate passes it by
        await self._paced.wait()
        try:
            return Answer(await reading(Place(self._sides, self._clients, self._rate), shard), None)
        except S3Error as error:
            stops = isinstance(error, S3StopError)
            return Answer(None, Failure(error.message, error.status, error.code, error.key, error.verb, stops))
        except RehomeError as error:
            return Answer(None, Failure(error.told))
        except Exception as unexpected:
            return Answer(None, _unexpected(unexpected))

    def _hold(self, pace: Pace) -> None:
        self._pace = pace
        if pace != WAIT:
            self._paced.set()
        for client in self._clients:
            client.limiter.set_ceiling(pace.requests)
        self._rate.retune(pace.per_second)


def _unexpected(error: Exception) -> Failure:
    """Return a failure without the text of an error, which may hold a secret."""
    logging.getLogger(__name__).error("a reading has failed", exc_info=error)
    return Failure(f"an error that nobody expected ({type(error).__name__}; its log has it)")
