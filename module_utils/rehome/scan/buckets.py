"""List both buckets into the catalog: here, or of a long listing all but its beginning on a cluster."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import replace

import uvloop

from ..codes import Code
from ..config.cluster import Cluster
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
from .list_by_movers import list_by_movers
from .listed import Listed

PARALLEL_LISTS = 16
PAGE_KEYS = 1_000
"""What S3 gives at most."""
KEYS_HERE = 200_000
"""Of a listing that a cluster goes on with: a second's work, in which it is divided. A shorter one needs no cluster."""
LISTED_ALONE = "listed_alone"
"""The name of the note in the catalog that says what a cluster could not list."""


def list_buckets(run: Run) -> int:
    """List both buckets into the catalog. Returns how many objects of the source are not under the map.

    Raises S3Error, and what a cluster raises (`read_on_cluster`).
    """
    cluster = run.settings.cluster
    # a slice is small, and the keys that it is made of would be sent with each shard
    here = cluster is None or run.settings.only_keys is not None
    try:
        with run.catalog.transaction():
            listed = uvloop.run(_list(run)) if cluster is None or here else _list_with(cluster, run)
    except S3Error as error:
        if error.code != DISORDERED:
            raise
        # list again without relying on the order of keys
        with run.catalog.transaction():
            listed = uvloop.run(_list(run, parallel=1))
        listed.alone = [] if here else _places(run)
    run.catalog.append("foreign_samples", [("object", suffix) for suffix in listed.samples])
    if listed.alone:
        run.catalog.note(LISTED_ALONE, " and ".join(listed.alone))
    return listed.foreign


def _list_with(cluster: Cluster, run: Run) -> Listed:
    """Begin here, and have the workers of a cluster list what is left."""
    listed = uvloop.run(_list(run, keys_here=KEYS_HERE))
    if any(left.remainders for left in listed.left):
        list_by_movers(run, cluster, listed, PAGE_KEYS)
    return listed


async def _list(run: Run, *, parallel: int = PARALLEL_LISTS, keys_here: float = math.inf) -> Listed:
    """List on this machine.

    keys_here: leave what is left once a bucket has so many objects, if its listing can be divided
    """
    settings, catalog = run.settings, run.catalog
    async with AsyncExitStack() as stack, open_clients(settings, run.progress) as (source, target):
        refused_keys = known_capabilities(settings, source.endpoint, target.endpoint).refused_keys
        listings = [
            Listing(client, side.prefix, PAGE_KEYS, parallel=parallel)
            for client, side in ((source, settings.source), (target, settings.target))
        ]
        from_source = await _source_pages(run, source, stack, listings[0])
        run.progress.stage("list objects")
        with ExitStack() as tables:
            rows: tuple[ObjectRows, ...] = (
                tables.enter_context(SourceRows(catalog, settings.keymap, refused_keys)),
                tables.enter_context(TargetRows(catalog, settings.keymap)),
            )
            counter = _Counter(run.progress)
            pages = from_source, listings[1].pages()
            await run_all(*(_fill(*one, counter, keys_here) for one in zip(pages, rows, listings, strict=True)))
    return Listed(
        sum(one.listed for one in rows),
        rows[0].foreign,
        rows[0].samples,
        tuple(listing.left for listing in listings),
        [
            place
            for place, one, listing in zip(_places(run), rows, listings, strict=True)
            if one.listed >= keys_here and not listing.is_divided and not (settings.source.inventory and one is rows[0])
        ],
        refused_keys,
    )


def _places(run: Run) -> list[str]:
    """Return source and target in words."""
    return [f"s3://{side.bucket}/{side.prefix}" for side in (run.settings.source, run.settings.target)]


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


async def _fill(
    pages: AsyncGenerator[Page, None], rows: ObjectRows, listing: Listing, counter: _Counter, keys_here: float
) -> None:
    """Add the objects under the map to the catalog.

    keys_here: leave what is left of `listing` once there are so many objects
    """
    async with aclosing(pages):
        async for page in pages:
            rows.add(page)
            counter.add(len(page))
            if rows.listed >= keys_here:
                listing.leave()
