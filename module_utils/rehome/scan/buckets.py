"""List both buckets into the catalog."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass, field, replace

import uvloop

from ..codes import Code
from ..errors import RefusedError
from ..object_rows import ObjectRows, SourceRows, TargetRows
from ..progress import Progress
from ..run import Run
from ..s3.client.client import Client
from ..s3.concurrency import run_all
from ..s3.errors import S3Error
from ..s3.listing.listing import DISORDERED, Listing
from ..s3.listing.page import Page
from ..services.capabilities import known_capabilities
from ..services.clients import open_client, open_clients

PARALLEL_LISTS = 16


@dataclass(slots=True)
class Listed:
    """What was listed.

    foreign: objects of the source that are not under the map
    samples: the first of them
    """

    foreign: int = 0
    samples: list[str] = field(default_factory=list)


def list_buckets(run: Run) -> int:
    """List both buckets into the catalog. Returns how many objects of the source are not under the map.

    Raises S3Error.
    """
    try:
        listed = _list(run, PARALLEL_LISTS)
    except S3Error as error:
        if error.code != DISORDERED:
            raise
        # list again without relying on the order of keys
        listed = _list(run, 1)
    run.catalog.append("foreign_samples", [("object", suffix) for suffix in listed.samples])
    return listed.foreign


def _list(run: Run, parallel: int) -> Listed:
    with run.catalog.transaction():
        return uvloop.run(_list_both(run, parallel))


async def _list_both(run: Run, parallel: int) -> Listed:
    settings, catalog = run.settings, run.catalog
    async with AsyncExitStack() as stack, open_clients(settings, run.progress) as (source, target):
        refused_keys = known_capabilities(settings, source.endpoint, target.endpoint).refused_keys
        listings = [
            Listing(client, side.prefix, parallel=parallel)
            for client, side in ((source, settings.source), (target, settings.target))
        ]
        from_source = await _source_pages(run, source, stack, listings[0])
        run.progress.stage("list objects")
        with ExitStack() as tables:
            sources = tables.enter_context(SourceRows(catalog, settings.keymap, refused_keys))
            targets = tables.enter_context(TargetRows(catalog, settings.keymap))
            counter = _Counter(run.progress)
            await run_all(
                _fill(from_source, sources, counter),
                _fill(listings[1].pages(), targets, counter),
            )
    return Listed(sources.foreign, sources.samples)


async def _source_pages(
    run: Run, source: Client, stack: AsyncExitStack, listing: Listing
) -> AsyncGenerator[Page, None]:
    """Return the pages of the source's objects, from S3 Inventory or from listing the bucket."""
    settings = run.settings
    if settings.source.inventory is None:
        return listing.pages()
    # Few runs have an inventory, and the import takes as long as a hundred copies.
    from ..s3.listing.inventory import open_inventory, read_inventory  # noqa: PLC0415

    clients: dict[str, Client] = {settings.source.bucket: source}

    def client_for(bucket: str) -> Client:
        if bucket not in clients:
            # the report's bucket is in the same region ("Configuring Amazon S3 Inventory", S3 user guide), and ours
            side = replace(settings.source, bucket=bucket, requester_pays=False, expected_bucket_owner=None)
            clients[bucket] = open_client(settings, side)
            stack.push_async_exit(clients[bucket])
        return clients[bucket]

    url = settings.source.inventory
    try:
        inventory = await open_inventory(client_for, url, settings.source.bucket)
    except S3Error as error:
        way_out = f"Let the credentials of rehome_source read it: s3:GetObject on {url.rpartition('/')[0]}/*"
        raise RefusedError.of(
            "rehome_source.inventory", url, f"cannot be read: {error}", way_out, code=Code.INVENTORY
        ) from error
    run.catalog.note("inventory_created", inventory.created.isoformat())
    return read_inventory(client_for, inventory, settings.source.prefix, settings.state_dir)


class _Counter:
    """Reports how many objects both listings have returned so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._listed = 0

    def add(self, count: int) -> None:
        self._listed += count
        self._progress.at(self._listed)


async def _fill(pages: AsyncGenerator[Page, None], rows: ObjectRows, counter: _Counter) -> None:
    """Add the objects under the map to the catalog."""
    async with aclosing(pages):
        async for page in pages:
            rows.add(page)
            counter.add(len(page))
