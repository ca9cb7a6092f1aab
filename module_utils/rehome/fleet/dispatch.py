"""The controller's side of any work: submit shards in a window, follow the workers, and take what they report.

What the work is, its `Work` says: a copy (`controller`) or a reading (`reading`). Nothing here is of one object: what
is done for each is done for a shard at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from distributed import KilledWorker, WorkerPlugin
from distributed.client import FutureCancelledError

from ..codes import Code, codes_in, unmarked
from ..config.cluster import ALONE, Cluster
from ..errors import RefusedError, RehomeError
from .connect import ANSWERS_S, RUNNING, Dask, check_engines, connected, opened, statuses_of
from .orders import Pace, share
from .worker import RunGoneError, set_pace

LOOK_EVERY_S = 0.1
WORKERS_EVERY_S = 1.0
"""How often the scheduler is asked who works for it."""
ANSWER_S = 2.0
"""How long a worker may take to answer. One that does not is told again."""
SILENT_S = 60.0
"""For how long a scheduler may answer nothing: one that is frozen keeps its connections."""
GONE_S = 45.0
"""For how long a worker that is gone keeps its share of the rate: it may only be cut off, and copy until it notices.
A connection that is cut counts as such half a minute (`connect.TIMEOUTS`) after the last answer, or after the first
message that has none. So one end may notice after 20 s, as it was quiet before, and the other after 60 s."""
PATIENCE_S = 5.0
"""How long shards may take to end once the run is to stop: more than requests in flight have on a worker
(`s3/concurrency.py`), and with the rest of the end less than this module has (`ansible_module/stopping.py`)."""

WAY_TO_SCHEDULER = (
    "it has ended, or the network to it is cut. Start it again (make cluster-up), or let this machine reach it"
)
TAKEN_OVER = (
    "its workers do not know this run any more: another run of this migration has begun, or nothing was heard of this "
    "machine for too long. Let one run work at a time, and let it work without a pause of this machine"
)
REPLACED = "another run of this migration has begun and has taken its place. Let one run work at a time"
LET_GO = (
    "the scheduler has heard nothing of this machine for too long and has ended its run. Let it work without a pause "
    "of this machine, and mend its network"
)

P = TypeVar("P")
A = TypeVar("A")
_P_contra = TypeVar("_P_contra", contravariant=True)
_A = TypeVar("_A")


class Throttle:
    """What operators ask of the whole run, as `services/pace.py` sets it.

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


class Work(Protocol[_P_contra, _A]):
    """What is done with the shards of a run."""

    @property
    def plugin(self) -> WorkerPlugin:
        """What each worker needs for it, also those that join later."""

    async def begin(self, client: Dask) -> str:
        """Make room for the plugin, and return its name: no other run's has it, nor do this run's other works."""

    async def send(self, client: Dask, plugin: str, parcel: _P_contra) -> _A:
        """Have a worker do a shard, and return its report.

        plugin: the name of the plugin
        """

    def arrived(self, parcel: _P_contra, arrival: _A) -> RehomeError | None:
        """Take the report of a shard. Return why there is to be no further one, if so."""

    def words(self, parcel: _P_contra) -> str:
        """Return what a shard is, in a sentence: `shard of 40 objects`."""


@dataclass
class Dispatch:
    """The workers of one run.

    throttle: what all of them together are held to
    on_movers: called with how many there are
    """

    cluster: Cluster
    throttle: Throttle
    on_movers: Callable[[int], None]
    stopping: Callable[[], bool]
    stop: RehomeError | None = field(default=None, init=False)

    async def do(self, work: Work[P, A], parcels: Iterator[P]) -> None:
        """Have `parcels` done, each taken when there is room for it. The work takes what is reported.

        Raises RefusedError before the first if the cluster cannot be used, RehomeError if it is lost, and what the work
        ends with.
        """
        async with connected(self.cluster, self.stopping) as client:
            with self._losing():
                async with asyncio.timeout(ANSWERS_S):
                    plugin = await work.begin(client)
            crew = _Crew(self, client, plugin)
            try:
                with self._losing():
                    async with asyncio.timeout(ANSWERS_S):
                        await _register(client, work.plugin, plugin)
                        scheduler = await client.run_on_scheduler(_count_runs(), name=plugin, owner=client.id)
                await self._do(client, crew, work, parcels)
                if self.stop is not None and self.stop.trouble is Code.CLUSTER_LOST:
                    why = await _why_ended(self.cluster, scheduler, plugin)
                    self.stop = self.stop if why is None else lost(self.cluster, why)
            finally:
                await crew.dismiss()
        if self.stop is not None:
            raise self.stop

    @property
    def is_ending(self) -> bool:
        """Whether no further shard is submitted."""
        return self.stop is not None or self.stopping()

    def end(self, why: str) -> None:
        """Submit no further shard: the cluster is lost."""
        self.stop = self.stop or lost(self.cluster, why)

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Say what it means if the members do not answer."""
        try:
            yield
        except TimeoutError:
            silent = f"scheduler or workers have answered nothing for {ANSWERS_S:g} s"
            why = f"{silent}. Start those again that are frozen (make cluster-up)"
            raise lost(self.cluster, why) from None
        except OSError as error:  # dask's own are of this kind, too
            why = f"the scheduler or a worker is lost ({type(error).__name__}). Start it again (make cluster-up)"
            raise lost(self.cluster, why) from error

    async def _do(self, client: Dask, crew: _Crew, work: Work[P, A], parcels: Iterator[P]) -> None:
        pending: dict[asyncio.Task[A], P] = {}
        patience: float | None = None
        await crew.look()
        try:
            while True:
                while not self.is_ending and len(pending) < crew.window and (parcel := next(parcels, None)):
                    pending[asyncio.create_task(work.send(client, crew.plugin, parcel))] = parcel
                if not pending:
                    return
                done, _ = await asyncio.wait(pending, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._arrived(work, pending.pop(task), task)
                if self.is_ending:
                    patience = patience or time.monotonic() + PATIENCE_S
                    if time.monotonic() > patience:
                        return
                await crew.look()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            for task, parcel in pending.items():
                if not task.cancelled() and task.exception() is None:
                    work.arrived(parcel, task.result())

    def _arrived(self, work: Work[P, A], parcel: P, task: asyncio.Task[A]) -> None:
        try:
            arrival = task.result()
        except KilledWorker as killed:
            self.end(
                f"the workers that had one {work.words(parcel)} died one after the other, the last at "
                f"{getattr(killed.last_worker, 'address', killed.last_worker)}. See their logs and their memory",
            )
        except (FutureCancelledError, OSError, asyncio.CancelledError) as error:
            self.end(f"the scheduler is lost ({type(error).__name__}): {WAY_TO_SCHEDULER}")
        except RunGoneError:
            self.end(TAKEN_OVER)
        except Exception as error:
            # raised on a worker: the text of what nobody expects may hold a secret
            self.end(f"a worker has failed ({type(error).__name__}). See the workers' logs")
        else:
            stop = work.arrived(parcel, arrival)
            self.stop = self.stop or stop


class _Crew:
    """Who works for a run, and what each was told."""

    def __init__(self, dispatch: Dispatch, client: Dask, plugin: str) -> None:
        self.plugin = plugin
        self._dispatch = dispatch
        self._client = client
        self._there: list[str] = []
        self._workers: list[str] = []
        self._checked: frozenset[str] = frozenset()
        # what each has confirmed, and who was sent any: a reply that is lost says nothing of what a worker does
        self._told: dict[str, Pace] = {}
        self._sent: set[str] = set()
        self._gone: dict[str, float] = {}
        self._telling: asyncio.Task[None] | None = None
        self._telling_what: Pace | None = None
        self._look_at = -1.0
        self._unanswered = 0
        self._alone_since: float | None = None

    @property
    def window(self) -> int:
        """How many shards are under way: those that are worked on, and the next for each."""
        return len(self._workers) * 2 + 2

    async def look(self) -> None:
        """See who works now, and tell each the pace if it has changed."""
        dispatch = self._dispatch
        if time.monotonic() >= self._look_at:
            self._unanswered += 1
            with suppress(OSError):
                await self._count()
            self._require_answers()
            self._look_at = time.monotonic() + WORKERS_EVERY_S
        pace = dispatch.throttle.pace(len(self._there) + len(self._gone), stop=dispatch.is_ending)
        if self._telling is not None and self._telling.done():
            self._telling.result()
            self._telling = None
        if self._telling is not None and pace.stop and self._telling_what != pace:
            # a stop waits for nobody who does not answer
            self._telling.cancel()
            self._telling = None
        if self._telling is None and any(self._told.get(worker) != pace for worker in self._there):
            self._telling, self._telling_what = asyncio.create_task(self._tell(pace)), pace

    async def dismiss(self) -> None:
        """Take the plugin away, and with it what it has started."""
        if self._telling is not None:
            self._telling.cancel()
        with suppress(Exception):  # whatever dask raises of a scheduler that is lost, which has been reported
            async with asyncio.timeout(ANSWER_S):
                await remove_plugin(self._client, self.plugin)

    async def _count(self) -> None:
        async with asyncio.timeout(ANSWER_S):
            statuses = await statuses_of(self._client)
            self._unanswered = 0
            workers = [worker for worker, status in statuses.items() if status == RUNNING]
            if new := [worker for worker in workers if worker not in self._checked]:
                try:
                    await check_engines(self._dispatch.cluster, self._client, new)
                except RefusedError as refusal:
                    # not raised: what the others have under way is to be reported
                    self._dispatch.stop = self._dispatch.stop or refusal
                    workers = [worker for worker in workers if worker not in new]
        self._checked = frozenset(workers)
        self._workers = workers
        # one that takes no shard for now (its memory is full, it is about to leave) goes on with those that it has
        self._there = [worker for worker in statuses if worker in workers or worker in self._sent]
        now = time.monotonic()
        self._gone |= {worker: now for worker in self._sent if worker not in statuses}
        self._gone = {
            worker: since for worker, since in self._gone.items() if worker not in statuses and now - since < GONE_S
        }
        self._told = {worker: pace for worker, pace in self._told.items() if worker in statuses}
        self._sent &= statuses.keys()
        self._dispatch.on_movers(len(workers))
        self._require()

    def _require(self) -> None:
        """End the run if nobody has worked for it for as long as it waits for workers."""
        now, wait_s = time.monotonic(), self._dispatch.cluster.wait_s
        self._alone_since = None if self._workers else self._alone_since or now
        if self._alone_since is not None and now - self._alone_since > wait_s:
            alone = f"for {wait_s:g} s (rehome_cluster.wait_s) it has had no worker"
            self._dispatch.end(f"{alone}. Start workers again (make cluster-up)")

    def _require_answers(self) -> None:
        """End the run if the scheduler is silent: what it was asked for would be waited for, for ever."""
        # counted, so that the time in which this machine slept is none
        if self._unanswered * (ANSWER_S + WORKERS_EVERY_S) >= SILENT_S:
            silent = f"the scheduler has answered nothing for {SILENT_S:g} s"
            self._dispatch.end(f"{silent}. Start it again (make cluster-up)")

    async def _tell(self, pace: Pace) -> None:
        # those that have had a larger share first, so that all together never have more than the whole
        known = [worker for worker in self._there if worker in self._sent]
        await self._tell_all(known, pace)
        if all(self._told.get(worker) == pace for worker in known if worker in self._sent) or pace.stop:
            await self._tell_all([worker for worker in self._there if worker not in known], pace)

    async def _tell_all(self, workers: Sequence[str], pace: Pace) -> None:
        await asyncio.gather(*(self._tell_one(worker, pace) for worker in workers if self._told.get(worker) != pace))

    async def _tell_one(self, worker: str, pace: Pace) -> None:
        self._sent.add(worker)
        with suppress(OSError):
            async with asyncio.timeout(ANSWER_S):
                told = await self._client.run(set_pace, self.plugin, tuple(pace), workers=[worker], on_error="return")
            match told.get(worker):
                case True:
                    self._told[worker] = pace
                case False:  # it has nothing to hold to a pace yet
                    self._sent.discard(worker)


def failed_at(mover: str, text: str) -> RehomeError:
    """Return the error of a worker, by its name, that says of itself what is wrong."""
    mark = "".join(f" [{code}]" for code in codes_in(text)[:1])
    told = f"worker {mover}: {unmarked(text).rstrip('.')}. Mend that worker, {ALONE}.{mark}"
    return RehomeError(told, code=None if mark else Code.UNEXPECTED)


def said_to(mover: str, text: str) -> str:
    """Return what S3 has said to a worker, by its name: its own way there, or its keys, may be all that is wrong."""
    return f"{text.rstrip('.')} (worker {mover}: mend that there, {ALONE})"


async def replace_plugin(client: Dask, plugin: str) -> None:
    """Take away the plugin of a run whose place another one takes, and note that for its controller."""
    await client.run_on_scheduler(_note_replaced(), name=plugin)
    await remove_plugin(client, plugin)


async def _register(client: Dask, plugin: WorkerPlugin, name: str) -> None:
    """Start a plugin on all workers. Raises OSError if the scheduler is lost, and nothing for a worker that is."""
    while True:
        try:
            await client.register_plugin(plugin, name=name)
            return
        except OSError:
            # again, as others may not have heard of it, unless the scheduler does not answer either
            await statuses_of(client)
            await asyncio.sleep(LOOK_EVERY_S)  # until it has noticed which worker is gone


async def remove_plugin(client: Dask, plugin: str) -> None:
    """Take a plugin from workers and scheduler."""
    with suppress(ValueError, LookupError, OSError):  # its run has ended meanwhile, or a worker
        await client.unregister_worker_plugin(plugin)
    await client.run_on_scheduler(_forget_runs(), name=plugin)


async def _why_ended(cluster: Cluster, scheduler: str, plugin: str) -> str | None:
    """Return why a scheduler that is there has ended a run; None if it has not, or cannot be asked.

    To a controller, dask tells all of these alike.

    scheduler: the id of the one that the run began with
    """
    with suppress(Exception):  # whatever dask raises of a scheduler that is lost
        async with await opened(cluster, ANSWER_S) as client, asyncio.timeout(ANSWER_S):  # that of the run may be cut
            there, has_plugin, is_replaced = await client.run_on_scheduler(_state_of(), name=plugin)
        if there == scheduler and is_replaced:
            return REPLACED
        if there == scheduler and not has_plugin:
            return LET_GO
    return None


def lost(cluster: Cluster, why: str) -> RehomeError:
    """Return what ends a run whose cluster is lost. `why` ends with the way out, without a full stop."""
    way_out = f"then run the same command again, {ALONE}: it goes on from here."
    return RehomeError(f"rehome_cluster.address ({cluster.address}): {why}, {way_out}", code=Code.CLUSTER_LOST)


async def times_begun(client: Dask, plugin: str, key: str) -> int | None:
    """Return how often a shard of this plugin's was begun: more than once if a worker was lost.

    None: the scheduler was started again meanwhile, and does not know.
    """
    times: int | None = await client.run_on_scheduler(_runs_of(), name=plugin, key=key)
    return times


def _count_runs() -> Any:
    """Return what counts, in the scheduler, how often each shard was begun, and ends what has lost its owner.

    dask's own count (`suspicious`) lacks shards whose worker was lost after they had ended and before anybody had
    fetched the result.

    A controller that was killed ends nothing itself. A shard that waits for the pace would keep its worker for ever
    from the shards of other runs.
    """

    def count_runs(dask_scheduler: Any, name: str, owner: str) -> str:
        """Begin to count, and return the scheduler's id."""
        import asyncio  # noqa: PLC0415 - it is sent as code
        from contextlib import suppress  # noqa: PLC0415

        from distributed import SchedulerPlugin  # noqa: PLC0415

        class Runs(SchedulerPlugin):
            """Counts for one run. of: how often, by the key of the shard."""

            def __init__(self) -> None:
                self.of: dict[str, int] = {}

            def transition(self, key: Any, start: str, finish: str, *_args: Any, **_more: Any) -> None:
                """Count a shard that begins. The scheduler calls it for each task of anybody's."""
                if finish == "processing" and str(key).startswith(name):
                    self.of[key] = self.of.get(key, 0) + 1
                elif finish == "forgotten":
                    self.of.pop(key, None)

            def remove_client(self, scheduler: Any, client: str) -> None:
                """End the run if it is its controller that is gone."""
                if client == owner:
                    self.ending = asyncio.create_task(self.end(scheduler))

            async def end(self, scheduler: Any) -> None:
                """Take the plugin from the workers, and with it what it has started."""
                with suppress(ValueError, OSError):  # the controller has done it, or a worker has ended
                    await scheduler.unregister_worker_plugin(None, name)
                scheduler.plugins.pop(name, None)

        dask_scheduler.add_plugin(Runs(), name=name)
        return str(dask_scheduler.id)

    return count_runs


def _runs_of() -> Any:
    return lambda dask_scheduler, name, key: (
        dask_scheduler.plugins[name].of.get(key, 0) if name in dask_scheduler.plugins else None
    )


def _note_replaced() -> Any:
    return lambda dask_scheduler, name: dask_scheduler.log_event(name, "replaced")


def _state_of() -> Any:
    return lambda dask_scheduler, name: (
        dask_scheduler.id,
        name in dask_scheduler.plugins,
        bool(dask_scheduler.get_events(name)),
    )


def _forget_runs() -> Any:
    return lambda dask_scheduler, name: dask_scheduler.plugins.pop(name, None) and None
