"""Have the workers of a cluster read, and take what they give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from ..config.cluster import Cluster
from ..fleet.installed import require_dask
from ..fleet.reader import Place
from ..run import Run
from ..services.clients import ticking
from ..services.pace import paced

_Q = TypeVar("_Q")
_R = TypeVar("_R")


def read_by_movers(
    run: Run,
    cluster: Cluster,
    reading: Callable[[Place, _Q], Coroutine[Any, Any, _R]],
    shards: Iterable[_Q],
    on_result: Callable[[_Q, _R], object],
    on_movers: Callable[[int], None],
) -> None:
    """Read all of `shards` from the run's source and target. Must not be called on a loop: it runs one of its own.

    reading, shards, on_result: as of `fleet.reading.read_on_cluster`
    on_movers: called with how many workers there are
    Raises RefusedError if the cluster cannot be used, RehomeError if it is lost or if the run is to stop, and S3Error.
    """
    require_dask()
    from ..fleet.dispatch import Dispatch, Throttle  # noqa: PLC0415 - it imports dask
    from ..fleet.reading import read_on_cluster  # noqa: PLC0415 - likewise

    settings, policy = run.settings, run.settings.copy
    throttle = Throttle(policy.max_requests, policy.objects_per_second)
    dispatch = Dispatch(cluster, throttle, on_movers, run.stopping)
    sides = settings.source, settings.target

    async def read() -> None:
        """Read at the pace of the run, and show how far it is."""
        async with paced(run, throttle, rate=throttle), ticking(run.progress):
            await read_on_cluster(dispatch, sides, policy.max_requests, reading, shards, on_result)

    # not uvloop: dask is tested on asyncio's own loop
    asyncio.run(read())
