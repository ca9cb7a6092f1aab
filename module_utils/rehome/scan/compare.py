"""Compare the contents of pairs of objects, here or by the movers of a cluster. The same is found."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import uvloop

from ..fleet.comparing import SHARD_BYTES, SHARD_PAIRS, Pair
from ..fleet.reader import Place
from ..fleet.shards import bounded, most_of
from ..run import Run
from ..s3.client.pacing import RateLimiter
from ..services.clients import open_clients
from ..services.pace import paced
from .by_movers import read_by_movers

_R = TypeVar("_R")
_Reading = Callable[[Place, Sequence[Pair]], Coroutine[Any, Any, Sequence[_R]]]


def compare_pairs(
    run: Run,
    reading: _Reading[_R],
    pairs: Iterable[Pair],
    total: int,
    stage: str,
    take: Callable[[Sequence[Pair], Sequence[_R]], Mapping[str, int]],
) -> None:
    """Compare `pairs` of the run's source and target, and report progress as `stage`. No pair: nothing is opened.

    reading: one of `fleet.readings`
    take: called with pairs and what was found of each; returns counts for the progress
    Raises S3Error, and RehomeError if a cluster is lost. What was found until then was taken.
    """
    if not total:
        return
    run.progress.stage(stage, total)
    progress = _Progress(run, take)
    cluster = run.settings.cluster
    if cluster is None:
        uvloop.run(_compare_here(run, reading, bounded(pairs, SHARD_PAIRS, SHARD_BYTES), progress.add))
    else:
        shards = bounded(pairs, most_of(total, cluster.workers, SHARD_PAIRS), SHARD_BYTES)
        read_by_movers(run, cluster, reading, shards, progress.add, progress.movers)


class _Progress(Generic[_R]):
    """Shows how many pairs are compared, and by how many movers."""

    def __init__(self, run: Run, take: Callable[[Sequence[Pair], Sequence[_R]], Mapping[str, int]]) -> None:
        self._progress = run.progress
        self._take = take
        self._done = 0
        self._by: Mapping[str, int] = {}

    def add(self, pairs: Sequence[Pair], found: Sequence[_R]) -> None:
        counts = self._take(pairs, found)
        self._done += len(pairs)
        self._progress.at(self._done, **counts, **self._by)

    def movers(self, count: int) -> None:
        self._by = {"movers": count}


async def _compare_here(
    run: Run,
    reading: _Reading[_R],
    shards: Iterable[Sequence[Pair]],
    add: Callable[[Sequence[Pair], Sequence[_R]], None],
) -> None:
    sides = run.settings.source, run.settings.target
    async with open_clients(run.settings, run.progress) as clients, paced(run, *clients):
        place = Place(sides, clients, RateLimiter(None))
        for pairs in shards:
            add(pairs, await reading(place, pairs))
