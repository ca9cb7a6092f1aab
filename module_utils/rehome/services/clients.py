"""Open the S3 clients of a migration's source and target."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ..config.settings import Settings, Side
from ..progress import WRITE_EVERY_S, Progress
from ..s3.client.client import Client
from ..s3.client.meter import RequestGauge
from ..s3.endpoint.resolve import resolve
from ..s3.probe.scratch import RETRY


def open_client(settings: Settings, side: Side, *, probing: bool = False) -> Client:
    """Return a client for the bucket of `side`, with `rehome_max_requests` requests in flight at most.

    probing: for a few requests ahead of the work, which are repeated for seconds and not for minutes
    Raises RefusedError if the endpoint or the credentials cannot be resolved.
    """
    return Client(resolve(side), settings.copy.max_requests, retry=RETRY if probing else None)


@asynccontextmanager
async def open_clients(
    settings: Settings, progress: Progress | None = None, *, probing: bool = False
) -> AsyncIterator[tuple[Client, Client]]:
    """Yield the clients of source and target, and close both at the end of the block. See `open_client`.

    progress: shows their requests
    """
    async with (
        open_client(settings, settings.source, probing=probing) as source,
        open_client(settings, settings.target, probing=probing) as target,
    ):
        if progress is None:
            yield source, target
            return
        async with metered(progress, source, target):
            yield source, target


@asynccontextmanager
async def metered(progress: Progress, *clients: Client) -> AsyncIterator[None]:
    """Show the requests of `clients` in the progress for the length of the block, also while no reply arrives."""
    with progress.measured_by(RequestGauge(clients)):
        async with ticking(progress):
            yield


@asynccontextmanager
async def ticking(progress: Progress) -> AsyncIterator[None]:
    """Show for the length of the block that time goes on, also while nothing else happens."""
    task = asyncio.create_task(_tick(progress))
    try:
        yield
    finally:
        task.cancel()


async def _tick(progress: Progress) -> None:
    while True:
        await asyncio.sleep(WRITE_EVERY_S)
        with suppress(OSError):  # a full disk is reported by the work
            progress.tick()
