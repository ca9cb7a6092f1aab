"""What a listing does not say, or an inventory may have wrong by now: asked object by object. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ..catalog.catalog import Catalog, Params
from ..mapping.key_shapes import MAX_KEY_BYTES
from ..mapping.keymap import KeyMap
from ..planning.plan import ARCHIVED
from ..progress import Progress
from ..s3.client.client import Client
from ..s3.concurrency import run_each
from ..s3.transport.connection import Response

_T = TypeVar("_T")

_BATCH_ROWS = 500
_BATCH_ROWS_PER_SLOT = 25
"""Slow work, of which few run at once, gets smaller batches: progress is reported after each."""
_GONE = (0, "", "", "", "", "", None, False)

_UNSURE = f"""
SELECT DISTINCT rest FROM reference_rows r
WHERE CASE
    WHEN EXISTS (SELECT 1 FROM target_objects t WHERE t.rest = r.rest) THEN r.is_old
    ELSE NOT EXISTS (SELECT 1 FROM source_objects s WHERE s.rest = r.rest)
    END
    AND strlen($prefix || rest) BETWEEN 1 AND {MAX_KEY_BYTES}
"""
"""What rows name that no copy is going to check: what the target has already, and what is in neither listing.
No object has another name than one of 1 to 1024 bytes, and S3 refuses the question."""

_ARCHIVED = f"SELECT s.rest FROM source_objects s WHERE {ARCHIVED} AND s.restore = ''"


async def find_named_objects(
    source: Client, keymap: KeyMap, unroutable: Callable[[str], str | None], catalog: Catalog, progress: Progress
) -> None:
    """Look at the objects that rows name and whose copy would not tell that the inventory is too old.

    Stored after the report, they would seem to dangle, or to be the target's older object of their name; stored
    anew, the target's older copy would seem to be theirs: their rows would follow it. Raises S3Error.
    """
    prefix = keymap.source_prefix
    statement, asked = _UNSURE, {"prefix": prefix}
    async for rests, replies in _head_rows(source, prefix, statement, "look up objects", catalog, progress, asked):
        there = [
            (
                rest,
                int(reply.headers.get(b"content-length", b"0")),
                _text(reply, b"etag").strip('"'),
                _text(reply, b"last-modified"),
                _text(reply, b"x-amz-storage-class") or "STANDARD",
                _restore(reply),
                _text(reply, b"x-amz-archive-status"),
                unroutable(prefix + rest),
                True,
            )
            if reply.status == 200
            else (rest, *_GONE)
            for rest, reply in zip(rests, replies, strict=True)
        ]
        catalog.append("looked_up", there)
    catalog.run("DELETE FROM source_objects s USING looked_up l WHERE l.rest = s.rest")
    catalog.run("INSERT INTO source_objects SELECT * EXCLUDE (is_there) FROM looked_up WHERE is_there")


async def find_restores(source: Client, prefix: str, catalog: Catalog, progress: Progress) -> None:
    """Ask each archived object whether it is restored, where the listing cannot tell. Raises S3Error."""
    async for rests, replies in _head_rows(source, prefix, _ARCHIVED, "look up restores", catalog, progress):
        restored = [
            (rest, restore)
            for rest, reply in zip(rests, replies, strict=True)
            if reply.status == 200 and (restore := _restore(reply))
        ]
        catalog.append("restores", restored)
    catalog.run("UPDATE source_objects s SET restore = r.restore FROM restores r WHERE r.rest = s.rest")


async def run_on_rows(
    function: Callable[..., Coroutine[Any, Any, _T]],
    statement: str,
    stage: str,
    limit: int,
    catalog: Catalog,
    progress: Progress,
    values: Params = (),
) -> AsyncIterator[tuple[Sequence[tuple[Any, ...]], Sequence[_T]]]:
    """Run `function(*row)` for each row of a query, at most `limit` at once, and report progress as `stage`.

    Yields batches of rows with their results. Raises the first error of `function`.
    """
    (total,) = catalog.query(f"SELECT count(*) FROM ({statement})", values)[0]
    if not total:
        return
    progress.stage(stage, total)
    batch, done = min(_BATCH_ROWS, _BATCH_ROWS_PER_SLOT * limit), 0
    for rows in catalog.stream(statement, values, batch):
        yield rows, await run_each(function, rows, limit)
        done += len(rows)
        progress.at(done)


async def _head_rows(
    source: Client,
    prefix: str,
    statement: str,
    stage: str,
    catalog: Catalog,
    progress: Progress,
    values: Params = (),
) -> AsyncIterator[tuple[Sequence[str], Sequence[Response]]]:
    """HEAD the object of each key suffix that a query returns; batches of suffixes and replies."""

    def head(rest: str) -> Coroutine[Any, Any, Response]:
        return source.request("HEAD", prefix + rest)

    limit = source.max_connections
    async for rows, replies in run_on_rows(head, statement, stage, limit, catalog, progress, values):
        yield [rest for (rest,) in rows], replies


def _restore(reply: Response) -> str:
    """What `x-amz-restore` says: `ongoing-request="true"`, or "false" and an expiry (HeadObject, S3 API reference)."""
    told = _text(reply, b"x-amz-restore")
    if 'ongoing-request="true"' in told:
        return "in_progress"
    return "restored" if told else ""


def _text(reply: Response, header: bytes) -> str:
    return reply.headers.get(header, b"").decode("latin-1")
