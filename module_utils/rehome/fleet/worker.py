"""How dask's worker runs a mover or a reader: plugins that start them, and the functions that the controller calls.

The controller sends these functions by name, so that a worker has the engine installed; the scheduler reads none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from distributed import WorkerPlugin, get_worker, secede

from ..config.settings import Side
from ..s3.multipart.record import Upload
from .access import Access, find_access
from .engine import package_versions, this_engine
from .mover import Mover
from .orders import Orders, Pace
from .reader import Reader
from .readings import READINGS
from .shards import as_bytes, from_bytes

LOOK_S = 5.0
"""How often a shard that waits looks whether its mover lives."""


class RunGoneError(Exception):
    """The plugin of a run was taken from this worker, by whoever ended that run or took its place."""


class MoverPlugin(WorkerPlugin):
    """Starts a mover on every worker, also on those that join later."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self.started: Mover | None = None

    def setup(self, worker: object) -> None:
        """Start the mover."""
        self.started = Mover(self._orders)
        self.started.start()

    def teardown(self, worker: object) -> None:
        """Close the mover. It ends by itself: the worker's loop waits for nothing."""
        if self.started is not None:
            self.started.close()


class ReaderPlugin(WorkerPlugin):
    """Starts a reader on every worker, also on those that join later."""

    def __init__(self, sides: Sequence[Side], max_requests: int) -> None:
        self._sides = sides
        self._max_requests = max_requests
        self.started: Reader | None = None

    def setup(self, worker: object) -> None:
        """Start the reader."""
        self.started = Reader(self._sides, self._max_requests)
        self.started.start()

    def teardown(self, worker: object) -> None:
        """Close the reader. It ends by itself: the worker's loop waits for nothing."""
        if self.started is not None:
            self.started.close()


def copy_shard(plugin: str, rows: bytes, uploads: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Copy a shard, and return its `Report` and the worker's name.

    plugin: the name of the run's plugin
    rows: as they were sent, as the outcomes are
    uploads: the fields of what earlier runs have recorded of it
    """
    worker = get_worker()
    mover: Mover = _started(worker, plugin)
    ticket = mover.copy(from_bytes(rows), [Upload(*upload) for upload in uploads])
    while not ticket.half_taken.wait(LOOK_S):
        if not mover.is_alive:  # it was closed in the moment in which the shard came
            raise RunGoneError(plugin)
    # its thread counts no longer as busy: the worker begins the next shard before this one has ended
    secede()  # type: ignore[no-untyped-call]
    ticket.done.wait()
    ended, left, stopped, error = ticket.report
    return as_bytes(ended), [tuple(upload) for upload in left], stopped and tuple(stopped), error, str(worker.name)


def read_shard(plugin: str, reading: str, shard: bytes) -> tuple[Any, ...]:
    """Read a shard, and return the fields of its `Answer` and the worker's name.

    plugin: the name of the run's plugin
    reading: the name of one of `READINGS`
    shard: as it was sent, as the result is
    """
    worker = get_worker()
    reader: Reader = _started(worker, plugin)
    # its thread counts no longer as busy: the window bounds what is read at once, and requests wait in the reader
    secede()  # type: ignore[no-untyped-call]
    result, failure = reader.read(READINGS[reading], from_bytes(shard))
    return as_bytes(result), failure and tuple(failure), str(worker.name)


def set_pace(plugin: str, pace: Sequence[Any], dask_worker: Any) -> bool:
    """Hold the mover or reader to this pace. Return False of a worker that is just joining: it is to be told again."""
    if plugin not in dask_worker.plugins:
        return False
    started: Mover | Reader = _started(dask_worker, plugin)
    started.set_pace(Pace(*pace))
    return True


def tell_engine() -> tuple[str, ...]:
    """Return the worker's engine."""
    return tuple(this_engine())


def tell_machine() -> tuple[float, dict[str, str]]:
    """Return what time it is here, and the versions of the packages that copy."""
    return time.time(), package_versions()


async def tell_access(orders: Orders, *, writes: bool) -> Access:
    """Return what this worker's own keys are good for. See `find_access`."""
    # beside the loop on which the worker answers its scheduler
    return await asyncio.to_thread(find_access, orders, writes=writes)


def _started(worker: Any, plugin: str) -> Any:
    """Return what a run's plugin has started on this worker. Raises RunGoneError."""
    if plugin not in worker.plugins:
        raise RunGoneError(plugin)
    return worker.plugins[plugin].started
