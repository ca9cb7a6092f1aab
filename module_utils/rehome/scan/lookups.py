"""Look up single objects by HEAD: for what a listing does not contain, and for what an inventory may have wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ..catalog.catalog import Params
from ..mapping.key_shapes import MAX_KEY_BYTES
from ..planning.plan import ARCHIVED
from ..run import Run
from ..s3.client.client import Client
from ..s3.concurrency import run_each
from ..s3.transport.connection import Response

_T = TypeVar("_T")

_BATCH_ROWS = 500
_BATCH_ROWS_PER_SLOT = 25
"""Slow work, of which few run at once, gets smaller batches: progress is reported after each."""
_MISSING = (0, "", "", "", "", "", None, False)
"""What `looked_up` holds of an object that does not exist, in the order of its columns."""

_UNCERTAIN = f"""
SELECT DISTINCT suffix FROM reference_rows r
WHERE CASE
    WHEN EXISTS (SELECT 1 FROM target_objects t WHERE t.suffix = r.suffix) THEN r.is_old
    ELSE NOT EXISTS (SELECT 1 FROM source_objects s WHERE s.suffix = r.suffix)
    END
    AND strlen($prefix || suffix) BETWEEN 1 AND {MAX_KEY_BYTES}
"""
"""Objects that rows name and that no copy will check: those in the target already, and those in neither listing.
A key has 1 to 1024 bytes ("Object key naming guidelines", S3 user guide); S3 refuses a request for any other."""

_ARCHIVED = f"SELECT s.suffix FROM source_objects s WHERE {ARCHIVED} AND s.restore = ''"


async def find_named_objects(run: Run, source: Client, unroutable: Callable[[str], str | None]) -> None:
    """HEAD the referenced objects for which a stale inventory would go unnoticed during the copy.

    The row of an object that was stored after the report would seem to dangle, or its object would be taken for the
    target's older one of that name. If an object was overwritten since, the target's older copy would pass for its own,
    and its rows would be rewritten to it. Raises S3Error.
    """
    prefix, catalog = run.settings.source.prefix, run.catalog
    async for suffixes, replies in _head_rows(run, source, _UNCERTAIN, "look up objects", {"prefix": prefix}):
        found = [
            (
                suffix,
                int(reply.headers.get(b"content-length", b"0")),
                _text(reply, b"etag").strip('"'),
                _text(reply, b"last-modified"),
                _text(reply, b"x-amz-storage-class") or "STANDARD",
                _restore(reply),
                _text(reply, b"x-amz-archive-status"),
                unroutable(prefix + suffix),
                True,
            )
            if reply.status == 200
            else (suffix, *_MISSING)
            for suffix, reply in zip(suffixes, replies, strict=True)
        ]
        catalog.append("looked_up", found)
    catalog.run("DELETE FROM source_objects s USING looked_up l WHERE l.suffix = s.suffix")
    catalog.run("INSERT INTO source_objects SELECT * EXCLUDE (is_there) FROM looked_up WHERE is_there")


async def find_restores(run: Run, source: Client) -> None:
    """HEAD each archived object whose listing does not say whether it is restored. Raises S3Error."""
    found = False
    async for suffixes, replies in _head_rows(run, source, _ARCHIVED, "look up restores"):
        restored = [
            (suffix, restore)
            for suffix, reply in zip(suffixes, replies, strict=True)
            if reply.status == 200 and (restore := _restore(reply))
        ]
        run.catalog.append("restores", restored)
        found = found or bool(restored)
    if found:
        run.catalog.run("UPDATE source_objects s SET restore = r.restore FROM restores r WHERE r.suffix = s.suffix")


async def run_on_rows(
    run: Run,
    function: Callable[..., Coroutine[Any, Any, _T]],
    statement: str,
    stage: str,
    limit: int,
    params: Params = (),
) -> AsyncIterator[tuple[Sequence[tuple[Any, ...]], Sequence[_T]]]:
    """Run `function(*row)` for each row of a query, at most `limit` at once, and report progress as `stage`.

    Yields batches of rows with their results. Raises the first error of `function`.
    """
    total = run.catalog.count(statement, params)
    if not total:
        return
    run.progress.stage(stage, total)
    batch, done = min(_BATCH_ROWS, _BATCH_ROWS_PER_SLOT * limit), 0
    for rows in run.catalog.stream(statement, params, batch):
        yield rows, await run_each(function, rows, limit)
        done += len(rows)
        run.progress.at(done)


async def _head_rows(
    run: Run, source: Client, statement: str, stage: str, params: Params = ()
) -> AsyncIterator[tuple[Sequence[str], Sequence[Response]]]:
    """HEAD the object of each key suffix that a query returns. Yields batches of suffixes and their responses."""

    def head(suffix: str) -> Coroutine[Any, Any, Response]:
        return source.request("HEAD", run.settings.source.prefix + suffix)

    async for rows, replies in run_on_rows(run, head, statement, stage, source.max_connections, params):
        yield [suffix for (suffix,) in rows], replies


def _restore(reply: Response) -> str:
    """Return the state that `x-amz-restore` reports: `ongoing-request="true"`, or "false" with an expiry date
    (HeadObject, S3 API reference)."""
    header = _text(reply, b"x-amz-restore")
    if 'ongoing-request="true"' in header:
        return "in_progress"
    return "restored" if header else ""


def _text(reply: Response, header: bytes) -> str:
    return reply.headers.get(header, b"").decode("latin-1")
