"""Check the cluster before hours of listing: that it is there, lets this machine in, and has workers that fit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..checks import Check, stops
from ..config.cluster import Cluster
from ..config.settings import Settings, Side
from ..errors import Finding, RefusedError
from ..fleet.installed import require_dask

SUBJECT = "cluster"


def check_cluster(settings: Settings) -> list[Check]:
    """Return the checks of `rehome_cluster`; none if it is unset."""
    cluster = settings.cluster
    if cluster is None:
        return []
    try:
        require_dask()
        workers, findings = asyncio.run(_ask(cluster, (settings.source, settings.target)))
    except RefusedError as refusal:
        return stops(SUBJECT, "workers", list(refusal.findings))
    words = f"{workers} of {cluster.workers} workers at {cluster.address} have this engine"
    checks = [Check(SUBJECT, "workers", "pass", words)]
    if findings:
        return [*checks, *stops(SUBJECT, "reach", findings)]
    return [*checks, Check(SUBJECT, "reach", "pass", "every worker reaches both buckets with keys of its own")]


async def _ask(cluster: Cluster, sides: Sequence[Side]) -> tuple[int, list[Finding]]:
    """Return how many workers there are, and what keeps them from the buckets."""
    from ..fleet.connect import check_reach, connected, workers_of  # noqa: PLC0415 - it imports dask

    async with connected(cluster) as client:
        return len(await workers_of(client)), await check_reach(client, sides)
