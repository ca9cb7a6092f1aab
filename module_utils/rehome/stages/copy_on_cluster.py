"""Copy the objects of a plan's queue on the workers of a cluster. Each outcome is recorded here, as without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import uvloop

from ..collector import rare_collections
from ..config.cluster import Cluster
from ..fleet.installed import require_dask
from ..fleet.orders import orders_of
from ..fleet.outcomes import folded, job_of
from ..fleet.shards import Row, Shard, cut, shard_objects
from ..fleet.uploads import in_parts, intend, settle
from ..run import Run
from ..s3.multipart.abort import abort_unfinished
from ..s3.multipart.record import Upload, Uploads
from ..s3.objects.job import CopyOptions, CopyOutcome
from ..services.capabilities import choose_options
from ..services.clients import open_clients, ticking
from ..services.pace import paced
from ..state.outcomes import Outcomes

if TYPE_CHECKING:
    from ..fleet.controller import Arrival, Parcel
    from .copy_objects import CopyCounts


def copy_on_cluster(
    run: Run,
    cluster: Cluster,
    rows: Iterable[Row],
    outcomes: Outcomes,
    on_outcome: Callable[[CopyOutcome], None],
    show: Callable[[], None],
    uploads: Uploads,
    counts: CopyCounts,
) -> None:
    """Copy what `rows` yields.

    show: called whenever the counts are to be shown: a shard's outcomes come at once, and then for long none
    Raises RefusedError before the first copy if the cluster cannot be used, S3StopError if no further copy can
    succeed, and RehomeError if the cluster is lost; what workers have reported until then is recorded.
    """
    require_dask()
    options = uvloop.run(_options(run))
    counts.method = options.method
    work = _Work(run, options, outcomes, on_outcome, show, uploads, counts)
    if counts.planned:
        # not uvloop: dask is tested on asyncio's own loop, and here nothing is done for each object
        most = shard_objects(counts.planned, cluster.workers, run.settings.copy.objects_per_second)
        asyncio.run(_move(run, cluster, options, work, work.parcels(rows, most)))
    if not run.stopping():
        uvloop.run(work.abort_leftovers())


async def _options(run: Run) -> CopyOptions:
    async with open_clients(run.settings, run.progress) as (source, target):
        return await choose_options(run.settings, source, target)


async def _move(run: Run, cluster: Cluster, options: CopyOptions, work: _Work, parcels: Iterator[Parcel]) -> None:
    from ..fleet.controller import Copying  # noqa: PLC0415 - it imports dask
    from ..fleet.dispatch import Dispatch, Throttle  # noqa: PLC0415 - likewise

    settings = run.settings
    policy = settings.copy
    throttle = Throttle(policy.max_requests, policy.objects_per_second)
    orders = orders_of(settings.source, settings.target, options, policy.max_requests)
    copying = Copying(cluster, f"rehome-{settings.name}-{settings.plan_tag}", orders, work.arrived)
    dispatch = Dispatch(cluster, throttle, work.movers, run.stopping)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(paced(run, throttle, rate=throttle))
        await stack.enter_async_context(ticking(run.progress))
        stack.enter_context(rare_collections())
        await dispatch.do(copying, parcels)


class _Work:
    """What is recorded of each shard before it is sent, and after it has come back."""

    def __init__(
        self,
        run: Run,
        options: CopyOptions,
        outcomes: Outcomes,
        on_outcome: Callable[[CopyOutcome], None],
        show: Callable[[], None],
        uploads: Uploads,
        counts: CopyCounts,
    ) -> None:
        self._run = run
        self._options = options
        self._outcomes = outcomes
        self._on_outcome = on_outcome
        self._show = show
        self._uploads = uploads
        self._counts = counts
        self._bucket = run.settings.target.bucket
        self._prefixes = run.settings.source.prefix, run.settings.target.prefix

    def parcels(self, rows: Iterable[Row], most: int) -> Iterator[Parcel]:
        """Yield the shards of so many objects at most, each recorded as begun."""
        from ..fleet.controller import Parcel  # noqa: PLC0415 - it imports dask

        for shard in cut(rows, most):
            self._outcomes.begin_shard(shard.number, (row[:3] for row in shard.rows))
            large = [job_of(row, *self._prefixes) for row in in_parts(shard.rows, self._options)]
            with self._uploads.at_once():
                known = [intend(self._uploads, self._bucket, job) for job in large]
            yield Parcel(shard, [upload for upload in known if upload is not None], bool(large))

    def arrived(self, shard: Shard, arrival: Arrival) -> None:
        """Record what became of a shard."""
        report, counts = arrival.report, self._counts
        told = 0
        for outcome in folded(shard, report.ended, *self._prefixes, ran_before=arrival.ran_before):
            self._on_outcome(outcome)
            told += 1
        left = {upload.target_key: upload for upload in report.uploads}
        self._settle(shard, left, lost=arrival.ran_before is not False)
        counts.movers[arrival.mover] = counts.movers.get(arrival.mover, 0) + told
        if told == len(shard.rows):
            self._outcomes.end_shard(shard.number)
        self._show()

    def movers(self, count: int) -> None:
        """Show how many workers there are, and that the run lives. Called every second."""
        self._counts.at_work = count
        self._show()
        self._outcomes.show_life()

    async def abort_leftovers(self) -> None:
        """Abort the uploads that workers which were lost, and earlier runs, have left open."""
        async with open_clients(self._run.settings, self._run.progress) as (_, target):
            await abort_unfinished(target, self._uploads)

    def _settle(self, shard: Shard, left: dict[str, Upload], *, lost: bool) -> None:
        with self._uploads.at_once():
            for row in in_parts(shard.rows, self._options):
                key = self._prefixes[1] + row[0]
                if lost:
                    # what the lost worker has left open has an id that nobody knows
                    self._uploads.leave(self._bucket, key)
                else:
                    settle(self._uploads, self._bucket, key, left.get(key))
