"""The controller's side: submit shards in a window, follow the workers, and take what they report.

Nothing here is of one object: what is done for each is done for a shard at a time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from distributed import KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from ..codes import Code
from ..config.cluster import Cluster
from ..errors import RehomeError
from ..s3.errors import S3StopError
from ..s3.multipart.record import Upload
from .connect import Dask, check_engines, connected, workers_of
from .mover import Report, Stopped
from .orders import Orders, Pace, share
from .shards import Shard
from .worker import MoverPlugin, set_pace

LOOK_EVERY_S = 0.1
WORKERS_EVERY_S = 1.0
"""How often the scheduler is asked who works for it."""
ANSWER_S = 2.0
"""How long a worker may take to answer. One that does not is told again."""
SILENT_S = 60.0
"""For how long a scheduler may answer nothing: one that is frozen keeps its connections."""
PATIENCE_S = 5.0
"""How long shards may take to end once the run is to stop: more than requests in flight have on a worker
(`s3/concurrency.py`), and with the rest of the end less than this module has (`ansible_module/stopping.py`)."""


class Throttle:
    """What operators ask of the whole run, as `stages/pace.py` sets it.

    limiter: itself, as a client has one
    """

    def __init__(self, requests: int, per_second: float | None) -> None:
        self.limiter = self
        self._requests = requests
        self._per_second = per_second

    def set_ceiling(self, requests: int) -> None:
        """Let each worker have no more requests in flight to one bucket; 0 holds all back."""
        self._requests = requests

    def retune(self, per_second: float | None) -> None:
        """Let the run start so many objects per second; None: as many as the services take."""
        self._per_second = per_second

    def pace(self, movers: int, *, stop: bool) -> Pace:
        """Return the pace of each worker."""
        return share(self._requests, self._per_second, movers, stop=stop)


class Parcel(NamedTuple):
    """A shard on its way, and what earlier runs have recorded of its uploads.

    uploading: whether objects of it may be uploaded in parts
    """

    shard: Shard
    uploads: Sequence[Upload]
    uploading: bool


class Arrival(NamedTuple):
    """What became of a shard.

    mover: the worker's name
    ran_before: it was begun on a worker that was lost
    """

    report: Report
    mover: str
    ran_before: bool


@dataclass
class Fleet:
    """The workers of one run.

    migration: names what is moved where; this run takes the place of an earlier one of the same name
    plugin: names this run's plugin on the workers and its shards. No other run has the name: the scheduler may still
        have the shards of a run whose connection is open, though nothing is heard of it, and their numbers are ours
    on_arrival: called once for each shard that came back
    on_movers: called with how many workers there are
    """

    cluster: Cluster
    migration: str
    orders: Orders
    throttle: Throttle
    on_arrival: Callable[[Shard, Arrival], None]
    on_movers: Callable[[int], None]
    stopping: Callable[[], bool]
    stop: RehomeError | None = field(default=None, init=False)
    plugin: str = field(init=False)

    def __post_init__(self) -> None:
        """Choose the name of the plugin."""
        self.plugin = f"{self.migration}-{secrets.token_hex(4)}"

    async def move(self, parcels: Iterator[Parcel]) -> None:
        """Copy what `parcels` yields, each taken when there is room for it.

        Raises S3StopError if no further copy can succeed, RefusedError before the first if the cluster cannot be used,
        and RehomeError if it is lost. What was reported until then was passed on.
        """
        async with connected(self.cluster, self.stopping) as client:
            await self._take_over(client)
            await client.register_plugin(MoverPlugin(self.orders), name=self.plugin)
            await client.run_on_scheduler(_count_runs(), name=self.plugin, owner=client.id)
            crew = _Crew(self, client)
            try:
                await self._move(client, crew, parcels)
            finally:
                await crew.dismiss()
        if self.stop is not None:
            raise self.stop

    @property
    def is_ending(self) -> bool:
        """Whether no further shard is submitted."""
        return self.stop is not None or self.stopping()

    async def _take_over(self, client: Dask) -> None:
        """End the movers of earlier runs that could not do so themselves."""
        for plugin in await client.run_on_scheduler(_plugins(), prefix=f"{self.migration}-"):
            with suppress(ValueError, LookupError, OSError):  # that run has ended meanwhile, or a worker
                await client.unregister_worker_plugin(plugin)
            await client.run_on_scheduler(_forget_runs(), name=plugin)

    async def _move(self, client: Dask, crew: _Crew, parcels: Iterator[Parcel]) -> None:
        pending: dict[asyncio.Task[Arrival], Shard] = {}
        patience: float | None = None
        await crew.look()
        try:
            while True:
                while not self.is_ending and len(pending) < crew.window and (parcel := next(parcels, None)):
                    pending[asyncio.create_task(self._send(client, parcel))] = parcel.shard
                if not pending:
                    return
                done, _ = await asyncio.wait(pending, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._arrived(pending.pop(task), task)
                if self.is_ending:
                    patience = patience or time.monotonic() + PATIENCE_S
                    if time.monotonic() > patience:
                        return
                await crew.look()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _arrived(self, shard: Shard, task: asyncio.Task[Arrival]) -> None:
        try:
            arrival = task.result()
        except KilledWorker as killed:
            self._end(
                f"the workers that copied one shard of {len(shard.rows):,} objects died one after the other, the last "
                f"at {getattr(killed.last_worker, 'address', killed.last_worker)}. See their logs and their memory",
            )
            return
        except (FutureCancelledError, CommClosedError, OSError, asyncio.CancelledError) as lost:
            self._end(f"the scheduler at {self.cluster.address} is lost ({type(lost).__name__}). Start it again")
            return
        except Exception as error:
            # raised on a worker: the text of what nobody expects may hold a secret
            self._end(f"a worker has failed ({type(error).__name__}). See the workers' logs")
            return
        report = arrival.report
        self.on_arrival(shard, arrival)
        if self.stop is None and report.stopped is not None:
            status, code, message, key, verb = report.stopped
            self.stop = S3StopError(status, code, message, key, verb=verb)
        if report.error is not None:
            self._end(f"worker {arrival.mover}: {report.error}", code=None)

    def _end(self, why: str, code: Code | None = Code.CLUSTER_LOST) -> None:
        if self.stop is None:
            more = ", then run the same command again: it goes on from here" if code else ""
            self.stop = RehomeError(f"rehome_cluster.address ({self.cluster.address}): {why}{more}.", code=code)

    async def _send(self, client: Dask, parcel: Parcel) -> Arrival:
        rows, uploads = parcel.shard.rows, [tuple(upload) for upload in parcel.uploads]
        future = client.submit(_COPY, self.plugin, rows, uploads, key=_key(self.plugin, parcel.shard), pure=False)
        try:
            ended, left, stopped, error, mover = await future
            report = Report(ended, [Upload(*one) for one in left], stopped and Stopped(*stopped), error)
            ran_before = False
            if parcel.uploading or any(one[1] == "present" for one in ended):
                ran_before = await client.run_on_scheduler(_runs_of(), name=self.plugin, key=future.key) > 1
        finally:
            future.release()
        return Arrival(report, mover, ran_before)


class _Crew:
    """Who works for a run, and what each was told."""

    def __init__(self, fleet: Fleet, client: Dask) -> None:
        self._fleet = fleet
        self._client = client
        self._workers: list[str] = []
        self._checked: frozenset[str] = frozenset()
        self._told: dict[str, Pace] = {}
        self._telling: asyncio.Task[None] | None = None
        self._look_at = -1.0
        self._unanswered = 0
        self._alone_since: float | None = None

    @property
    def window(self) -> int:
        """How many shards are under way: those that are copied, and the next for each."""
        return len(self._workers) * 2 + 2

    async def look(self) -> None:
        """See who works now, and tell each the pace if it has changed."""
        fleet = self._fleet
        if time.monotonic() >= self._look_at:
            self._unanswered += 1
            with suppress(OSError, TimeoutError, CommClosedError):
                await self._count()
            self._require_answers()
            self._look_at = time.monotonic() + WORKERS_EVERY_S
        pace = fleet.throttle.pace(len(self._workers), stop=fleet.is_ending)
        if self._telling is not None and self._telling.done():
            self._telling.result()
            self._telling = None
        if self._telling is None and any(self._told.get(worker) != pace for worker in self._workers):
            self._telling = asyncio.create_task(self._tell(pace))

    async def dismiss(self) -> None:
        """Stop the movers, and take the plugins away."""
        if self._telling is not None:
            self._telling.cancel()
        with suppress(Exception):  # a scheduler that is lost has been reported
            async with asyncio.timeout(ANSWER_S):
                await self._client.unregister_worker_plugin(self._fleet.plugin)
                await self._client.run_on_scheduler(_forget_runs(), name=self._fleet.plugin)

    async def _count(self) -> None:
        async with asyncio.timeout(ANSWER_S):
            workers = await workers_of(self._client)
            self._unanswered = 0
            if new := [worker for worker in workers if worker not in self._checked]:
                await check_engines(self._fleet.cluster, self._client, new)
        self._checked = frozenset(workers)
        self._workers = workers
        self._told = {worker: pace for worker, pace in self._told.items() if worker in workers}
        self._fleet.on_movers(len(workers))
        self._require()

    def _require(self) -> None:
        """End the run if nobody has worked for it for as long as it waits for workers."""
        now, wait_s = time.monotonic(), self._fleet.cluster.wait_s
        self._alone_since = None if self._workers else self._alone_since or now
        if self._alone_since is not None and now - self._alone_since > wait_s:
            self._fleet._end(f"for {wait_s:g} s (rehome_cluster.wait_s) it has had no worker. Start workers again")

    def _require_answers(self) -> None:
        """End the run if the scheduler is silent: what it was asked for would be waited for, for ever."""
        # counted, so that the time in which this machine slept is none
        if self._unanswered * (ANSWER_S + WORKERS_EVERY_S) >= SILENT_S:
            self._fleet._end(f"the scheduler has answered nothing for {SILENT_S:g} s. Start it again")

    async def _tell(self, pace: Pace) -> None:
        # those that have had a larger share first, so that all together never have more than the whole
        for known in (True, False):
            there = [worker for worker in self._workers if (worker in self._told) is known]
            await asyncio.gather(*(self._tell_one(worker, pace) for worker in there if self._told.get(worker) != pace))

    async def _tell_one(self, worker: str, pace: Pace) -> None:
        with suppress(OSError, TimeoutError, CommClosedError):
            async with asyncio.timeout(ANSWER_S):
                told = await self._client.run(
                    set_pace, self._fleet.plugin, tuple(pace), workers=[worker], on_error="return"
                )
            if told.get(worker, False) is True:
                self._told[worker] = pace


def _key(plugin: str, shard: Shard) -> str:
    return f"{plugin}-{shard.number:06}"


def _copy_shard() -> Any:
    return lambda *shard: __import__("importlib").import_module("rehome.fleet.worker").copy_shard(*shard)


_COPY = _copy_shard()
"""Without a name, so that it travels as code: the scheduler reads what it is sent, and has no engine."""


def _count_runs() -> Any:
    """Return what counts, in the scheduler, how often each shard was begun, and ends the movers without their owner.

    dask's own count (`suspicious`) lacks shards whose worker was lost after they had ended and before anybody had
    fetched the result.

    A controller that was killed ends nothing itself. A shard that waits for the pace would keep its worker for ever
    from the shards of other runs.
    """

    def count_runs(dask_scheduler: Any, name: str, owner: str) -> None:
        import asyncio  # noqa: PLC0415 - it is sent as code
        from contextlib import suppress  # noqa: PLC0415

        from distributed import SchedulerPlugin  # noqa: PLC0415

        class Runs(SchedulerPlugin):
            def __init__(self) -> None:
                self.of: dict[str, int] = {}

            def transition(self, key: Any, start: str, finish: str, *_args: Any, **_more: Any) -> None:
                if finish == "processing" and str(key).startswith(name):
                    self.of[key] = self.of.get(key, 0) + 1
                elif finish == "forgotten":
                    self.of.pop(key, None)

            def remove_client(self, scheduler: Any, client: str) -> None:
                if client == owner:
                    self.ending = asyncio.create_task(self.end(scheduler))

            async def end(self, scheduler: Any) -> None:
                with suppress(ValueError, OSError):  # the controller has done it, or a worker has ended
                    await scheduler.unregister_worker_plugin(None, name)
                scheduler.plugins.pop(name, None)

        dask_scheduler.add_plugin(Runs(), name=name)

    return count_runs


def _runs_of() -> Any:
    return lambda dask_scheduler, name, key: dask_scheduler.plugins[name].of.get(key, 0)


def _plugins() -> Any:
    return lambda dask_scheduler, prefix: [name for name in dask_scheduler.worker_plugins if name.startswith(prefix)]


def _forget_runs() -> Any:
    return lambda dask_scheduler, name: dask_scheduler.plugins.pop(name, None) and None
