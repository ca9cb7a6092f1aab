"""Have the workers of a cluster list the ranges of keys that are left, and take the rows that they make of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..config.cluster import Cluster
from ..fleet.installed import require_dask
from ..fleet.listing import TABLES, Ask, Given, list_shard
from ..fleet.ranges import Ranges, packed, unpacked
from ..object_rows import first_samples
from ..run import Run
from ..services.clients import ticking
from .listed import Listed

SHARD_KEYS = 100_000
"""Half a second's work of a worker, and some 2 MB on the wire."""
SHARD_CHARACTERS = 16_000_000
"""The keys of a shard together: with those of a kilobyte, a shard has fewer."""


def list_by_movers(run: Run, cluster: Cluster, listed: Listed, page_size: int) -> None:
    """List what is left of `listed` into the catalog, and add it to its counts. Must not be called on a loop.

    Raises RefusedError if the cluster cannot be used, RehomeError if it is lost or if the run is to stop, and S3Error,
    of code DISORDERED if the keys are in no known order.
    """
    require_dask()
    with tempfile.TemporaryDirectory(prefix="listing-", dir=run.settings.state_dir) as folder:
        # not uvloop: dask is tested on asyncio's own loop
        asyncio.run(_list(run, cluster, _Shards(run, listed, page_size, Path(folder, "objects.parquet"))))


async def _list(run: Run, cluster: Cluster, shards: _Shards) -> None:
    from ..fleet.dispatch import Dispatch, Throttle  # noqa: PLC0415 - it imports dask
    from ..fleet.reading import read_on_cluster  # noqa: PLC0415 - likewise

    settings, most = run.settings, run.settings.copy.max_requests
    # what only reads is not paused, and counts for no rate
    dispatch = Dispatch(cluster, Throttle(most, None), shards.movers, run.stopping)
    async with ticking(run.progress):
        await read_on_cluster(dispatch, (settings.source, settings.target), most, list_shard, shards, shards.take)


class _Shards(Iterator[tuple[Any, ...]]):
    """The shards, as long as there are ranges that nobody has. It ends for now, and goes on with what comes back.

    file: where the rows of a shard are until they are in the catalog
    """

    def __init__(self, run: Run, listed: Listed, page_size: int, file: Path) -> None:
        self._run = run
        self._listed = listed
        self._page_size = page_size
        self._file = file
        self._ranges = [Ranges(left) for left in listed.left]
        self._globs = run.settings.include, run.settings.exclude
        self._refused_keys = tuple(sorted(listed.refused_keys))
        self._movers = 1

    def __next__(self) -> tuple[Any, ...]:
        """Return the next shard, of the bucket of which more waits."""
        side = max(range(len(self._ranges)), key=lambda side: len(self._ranges[side]))
        left = self._ranges[side].take(2 * self._movers + 2)
        if not left.remainders:
            raise StopIteration
        ask = Ask(side, packed(left), self._globs, self._refused_keys, self._page_size, SHARD_KEYS, SHARD_CHARACTERS)
        return tuple(ask)

    def movers(self, count: int) -> None:
        """Divide what waits among so many workers."""
        self._movers = count
        self._show()

    def take(self, shard: Sequence[Any], result: Sequence[Any]) -> None:
        """Add what a shard gave. Raises S3RequestError if all keys together are in no known order."""
        side, given, listed = Ask(*shard).side, Given(*result), self._listed
        self._file.write_bytes(given.file)
        self._run.catalog.load(TABLES[side], self._file)
        listed.objects += given.listed
        if not side:
            listed.foreign += given.foreign
            listed.samples = first_samples(listed.samples, given.samples)
        self._show()
        self._ranges[side].add(unpacked(given.left))

    def _show(self) -> None:
        self._run.progress.at(self._listed.objects, movers=self._movers)
