"""Check the cluster before hours of listing: that it is there, lets this machine in, and has workers that fit."""

from __future__ import annotations

import asyncio

from ..checks import Check, stops
from ..config.cluster import Cluster
from ..config.settings import Settings
from ..errors import RefusedError
from ..fleet.installed import require_dask

SUBJECT = "cluster"


def check_cluster(settings: Settings) -> list[Check]:
    """Return the checks of `rehome_cluster`; none if it is unset."""
    cluster = settings.cluster
    if cluster is None:
        return []
    try:
        require_dask()
        workers = asyncio.run(_workers(cluster))
    except RefusedError as refusal:
        return stops(SUBJECT, "workers", list(refusal.findings))
    words = f"{workers} of {cluster.workers} workers at {cluster.address} have this engine"
    return [Check(SUBJECT, "workers", "pass", words)]


async def _workers(cluster: Cluster) -> int:
    from ..fleet.connect import connected, workers_of  # noqa: PLC0415 - it imports dask

    async with connected(cluster) as client:
        return len(await workers_of(client))
