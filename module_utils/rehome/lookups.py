"""What a listing does not say, or an inventory does not know yet: asked object by object. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from .catalog import Catalog
from .keymap import KeyMap
from .plan import ARCHIVED
from .progress import Progress
from .s3.client import Client
from .s3.connection import Response

_BATCH = 500

_UNKNOWN = """
SELECT DISTINCT rest FROM reference_rows r
WHERE NOT EXISTS (SELECT 1 FROM source_objects s WHERE s.rest = r.rest)
    AND NOT EXISTS (SELECT 1 FROM target_objects t WHERE t.rest = r.rest)
"""

_ARCHIVED = f"SELECT s.rest FROM source_objects s WHERE {ARCHIVED} AND s.restore = ''"


async def find_named_objects(
    source: Client, keymap: KeyMap, unroutable: Callable[[str], str | None], catalog: Catalog, progress: Progress
) -> None:
    """Look for the objects that rows name and that neither the inventory nor the target's listing has.

    They may have been stored after the report: without this, their rows would seem to dangle. Raises S3Error.
    """
    async for rests, replies in _look_up(source, keymap.source_prefix, _UNKNOWN, "look up objects", catalog, progress):
        found = [
            (
                rest,
                int(reply.headers.get(b"content-length", b"0")),
                _text(reply, b"etag").strip('"'),
                _text(reply, b"last-modified"),
                _text(reply, b"x-amz-storage-class") or "STANDARD",
                _restore(reply),
                _text(reply, b"x-amz-archive-status"),
                unroutable(keymap.source_prefix + rest),
            )
            for rest, reply in zip(rests, replies, strict=True)
            if reply.status == 200
        ]
        catalog.append("source_objects", found)


async def find_restores(source: Client, prefix: str, catalog: Catalog, progress: Progress) -> None:
    """Ask each archived object whether it is restored, where the listing cannot tell. Raises S3Error."""
    async for rests, replies in _look_up(source, prefix, _ARCHIVED, "look up restores", catalog, progress):
        restored = [
            (rest, restore)
            for rest, reply in zip(rests, replies, strict=True)
            if reply.status == 200 and (restore := _restore(reply))
        ]
        catalog.append("restores", restored)
    catalog.run("UPDATE source_objects s SET restore = r.restore FROM restores r WHERE r.rest = s.rest")


async def _look_up(
    source: Client, prefix: str, statement: str, stage: str, catalog: Catalog, progress: Progress
) -> AsyncIterator[tuple[Sequence[str], Sequence[Response]]]:
    (total,) = catalog.query(f"SELECT count(*) FROM ({statement})")[0]
    if not total:
        return
    progress.stage(stage, total)
    gate = asyncio.Semaphore(source.max_connections)

    async def one(rest: str) -> Response:
        async with gate:
            return await source.request("HEAD", prefix + rest)

    done = 0
    for batch in catalog.stream(statement, batch=_BATCH):
        rests = [rest for (rest,) in batch]
        yield rests, await asyncio.gather(*map(one, rests))
        done += len(batch)
        progress.at(done)


def _restore(reply: Response) -> str:
    """What `x-amz-restore` says: `ongoing-request="true"`, or "false" and an expiry (HeadObject, S3 API reference)."""
    told = _text(reply, b"x-amz-restore")
    if 'ongoing-request="true"' in told:
        return "in_progress"
    return "restored" if told else ""


def _text(reply: Response, header: bytes) -> str:
    return reply.headers.get(header, b"").decode("latin-1")
