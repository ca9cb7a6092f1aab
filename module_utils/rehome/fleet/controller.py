"""The copy as the controller sees it: what is sent with each shard, and what its report becomes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..config.cluster import Cluster
from ..errors import RehomeError
from ..s3.errors import S3StopError
from ..s3.multipart.record import Upload
from .connect import Dask
from .dispatch import TAKEN_OVER, WAY_TO_SCHEDULER, failed_at, lost, replace_plugin, said_to, times_begun
from .mover import TAKEN_AWAY, Report, Stopped
from .orders import Orders
from .shards import Shard, as_bytes, from_bytes
from .worker import MoverPlugin


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
    ran_before: it was begun on a worker that was lost; None: the scheduler, which knows, was lost before it could say
    """

    report: Report
    mover: str
    ran_before: bool | None


class Copying:
    """The copy of one run, as `Work`.

    migration: names what is moved where; this run takes the place of an earlier one of the same name
    on_arrival: called once for each shard that came back
    """

    def __init__(
        self, cluster: Cluster, migration: str, orders: Orders, on_arrival: Callable[[Shard, Arrival], None]
    ) -> None:
        self.plugin = MoverPlugin(orders)
        self._cluster = cluster
        self._migration = migration
        self._on_arrival = on_arrival

    async def begin(self, client: Dask) -> str:
        """End the movers of earlier runs that could not do so themselves, and are still connected.

        No other run has the name of this one's plugin: the scheduler may still have the shards of a run whose
        connection is open, though nothing is heard of it, and their numbers are ours.
        """
        for earlier in await client.run_on_scheduler(_plugins(), prefix=f"{self._migration}-"):
            await replace_plugin(client, earlier)
        return f"{self._migration}-{secrets.token_hex(4)}"

    async def send(self, client: Dask, plugin: str, parcel: Parcel) -> Arrival:
        """Have a worker copy a shard."""
        rows, uploads = as_bytes(parcel.shard.rows), [tuple(upload) for upload in parcel.uploads]
        future = client.submit(_COPY, plugin, rows, uploads, key=f"{plugin}-{parcel.shard.number:06}", pure=False)
        try:
            sent, left, stopped, error, mover = await future
            ended = from_bytes(sent)
            report = Report(ended, [Upload(*one) for one in left], stopped and Stopped(*stopped), error)
            asks = parcel.uploading or any(one[1] == "present" for one in ended)
            ran_before = await _ran_before(client, plugin, future.key) if asks else False
        finally:
            future.release()
        return Arrival(report, mover, ran_before)

    def arrived(self, parcel: Parcel, arrival: Arrival) -> RehomeError | None:
        """Pass a shard on. Return why its mover has ended, if so."""
        self._on_arrival(parcel.shard, arrival)
        if arrival.ran_before is None:
            return lost(self._cluster, f"the scheduler is lost: {WAY_TO_SCHEDULER}")
        report = arrival.report
        if report.stopped is not None:
            status, code, message, key, verb = report.stopped
            return S3StopError(status, code, said_to(arrival.mover, message), key, verb=verb)
        if report.error == TAKEN_AWAY:
            return lost(self._cluster, TAKEN_OVER)
        return None if report.error is None else failed_at(arrival.mover, report.error)

    def words(self, parcel: Parcel) -> str:
        """Return `shard of 40 objects`."""
        return f"shard of {len(parcel.shard.rows):,} objects"


async def _ran_before(client: Dask, plugin: str, key: str) -> bool | None:
    try:
        times = await times_begun(client, plugin, key)
    except (OSError, asyncio.CancelledError):
        # also if the run ends while it is asked: what the worker has reported is not lost for that
        return None
    return None if times is None else times > 1


def _copy_shard() -> Any:
    return lambda *shard: __import__("importlib").import_module("rehome.fleet.worker").copy_shard(*shard)


_COPY = _copy_shard()
"""Without a name, so that it travels as code: the scheduler reads what it is sent, and has no engine."""


def _plugins() -> Any:
    return lambda dask_scheduler, prefix: [name for name in dask_scheduler.worker_plugins if name.startswith(prefix)]
