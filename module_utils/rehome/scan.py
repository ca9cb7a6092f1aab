"""Fill a catalog with what is there now: both buckets and the referencing columns. Reads only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import uvloop

from .catalog import Catalog
from .db.connect import connect
from .db.dialect import Dialect, Row, TableFacts
from .db.walk import walk
from .keymap import KeyMap, ValueMap
from .plan import ARCHIVE_CLASSES
from .progress import Progress
from .s3.client import Client
from .s3.compare import compare
from .s3.endpoint import resolve
from .s3.errors import S3Error, S3StopError
from .s3.job import MAX_COPY_BYTES
from .s3.listing import Listed, list_objects
from .settings import Reference, Settings

COMPARISONS_IN_FLIGHT = 8

_UNCLEAR = f"""
SELECT s.rest, s.etag, t.etag FROM source_objects s JOIN target_objects t ON t.rest = s.rest
WHERE s.size = t.size AND s.etag <> t.etag AND s.storage_class NOT IN {ARCHIVE_CLASSES}
"""


def scan(settings: Settings, catalog: Catalog, progress: Progress) -> None:
    """Read every reference, list both buckets, and compare what an ETag cannot tell apart.

    The rows come first: an application stores an object before the row that names it, so that the object of every row
    read is in the later listing. A row whose object is deleted in between seems to dangle; a later plan no longer
    finds it.
    Raises S3Error or DatabaseError where something cannot be read: half a scan is no scan.
    """
    with connect(settings.database) as database:
        foreign = sum(
            _scan_reference(database, reference, settings.value_map(reference), catalog, progress)
            for reference in settings.references
        )
    catalog.note("rows_foreign", foreign)
    uvloop.run(_scan_buckets(settings, catalog, progress))


async def _scan_buckets(settings: Settings, catalog: Catalog, progress: Progress) -> None:
    progress.stage("list objects")
    keymap = settings.keymap
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(Client(resolve(settings.source)))
        target = await stack.enter_async_context(Client(resolve(settings.target)))
        seen = 0

        async def fill(
            client: Client, prefix: str, table: str, row: Callable[[Listed, str], tuple[object, ...]]
        ) -> int:
            nonlocal seen
            foreign = 0
            async for page in list_objects(client, prefix):
                rests = [(item, item.key[len(prefix) :]) for item in page]
                meant = [row(item, rest) for item, rest in rests if keymap.covers(rest)]
                catalog.append(table, meant)
                foreign += len(page) - len(meant)
                seen += len(page)
                progress.at(seen)
            return foreign

        foreign, _ = await asyncio.gather(
            fill(
                source,
                settings.source.prefix,
                "source_objects",
                lambda item, rest: _source_row(keymap, item, rest),
            ),
            fill(
                target,
                settings.target.prefix,
                "target_objects",
                lambda item, rest: (rest, item.size, item.etag),
            ),
        )
        catalog.note("source_foreign", foreign)
        await _compare_unclear(settings, source, target, catalog, progress)


def _source_row(keymap: KeyMap, item: Listed, rest: str) -> tuple[object, ...]:
    reason = keymap.unroutable(item.key)
    if reason is None and item.size > MAX_COPY_BYTES:
        reason = f"{item.size} bytes are more than one CopyObject takes ({MAX_COPY_BYTES})"
    return (rest, item.size, item.etag, item.last_modified, item.storage_class, reason)


async def _compare_unclear(
    settings: Settings, source: Client, target: Client, catalog: Catalog, progress: Progress
) -> None:
    """Compare pairs of equal size and different ETags by their contents.

    The ETag of a multipart upload or of an object under KMS is no digest of its content (S3 user guide, "Checking
    object integrity"), so that different ones prove nothing.
    """
    (total,) = catalog.query(f"SELECT count(*) FROM ({_UNCLEAR})")[0]
    if not total:
        return
    progress.stage("compare contents", total)
    gate = asyncio.Semaphore(COMPARISONS_IN_FLIGHT)

    async def one(rest: str, source_etag: str, target_etag: str) -> tuple[str, str | None]:
        async with gate:
            try:
                evidence = await compare(
                    source,
                    settings.source.prefix + rest,
                    source_etag,
                    target,
                    settings.target.prefix + rest,
                    target_etag,
                )
            except S3StopError:
                raise
            except S3Error:
                # what cannot be read cannot be shown to be equal: a conflict, for a human
                evidence = None
            return rest, evidence

    done = 0
    for batch in catalog.stream(_UNCLEAR, batch=200):
        catalog.append("compared", await asyncio.gather(*(one(*pair) for pair in batch)))
        done += len(batch)
        progress.at(done)


def _scan_reference(
    database: Dialect, reference: Reference, values: ValueMap, catalog: Catalog, progress: Progress
) -> int:
    """Read one reference into the catalog; answers how many rows are not under the map."""
    facts = database.describe(reference.table, reference.column)
    progress.stage(f"read {reference.name}")
    read = kept = 0
    for page in walk(database, facts):
        meant = _meant_rows(page, values, facts)
        rows = [(reference.name, kept + place, *row) for place, row in enumerate(meant)]
        catalog.append("reference_rows", rows)
        read, kept = read + len(page), kept + len(rows)
        progress.at(read)
    return read - kept


def _meant_rows(page: list[Row], values: ValueMap, facts: TableFacts) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    moves = values.source_head != values.target_head
    for key, value in page:
        if value is None:
            continue
        rest = values.rest_if_old(value) if moves else None
        is_old = rest is not None
        if rest is None:
            rest = values.rest_if_new(value)
        if rest is not None:
            overflows = is_old and facts.overflows(values.target_head + rest)
            found.append((json.dumps(key, ensure_ascii=False), value, rest, is_old, overflows))
    return found
