"""Which objects may be deleted: every object of the source in one class, from what is there now. Reads only.

In the settings given here, `source` is where is to be deleted and `target` where the same contents must be.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import uvloop

from ..catalog.catalog import Catalog
from ..catalog.schema import BROUGHT_BACK, DELETE_OUTCOMES, JUDGED, LOCKED, PROVEN, Table
from ..config.settings import Settings
from ..planning.plan import make_plan
from ..progress import Progress
from ..s3.errors import S3Error, S3StopError
from ..s3.objects.compare import Evidence, compare, head
from ..scan.lookups import run_on_rows
from ..scan.named_keys import read_named_keys
from ..scan.scan import scan_buckets
from ..services.clients import open_client, open_clients

CLASSES = ("to_delete", "unverified", "referenced", "locked")
"""Beside the reasons of one's own to keep an object."""

_IN_FLIGHT = 8

NAMED = "EXISTS (SELECT 1 FROM named_keys n WHERE n.rest = o.rest)"
"""A row names the object `o`."""

_CLASSIFY = f"""
SELECT o.rest, o.size, o.etag, o.target_etag, s.last_modified, o.class AS plan_class, o.weak, CASE
    {{reasons}}
    WHEN o.class <> 'present' THEN 'unverified'
    WHEN {NAMED} THEN 'referenced'
    WHEN o.weak AND NOT EXISTS (SELECT 1 FROM proven p WHERE p.rest = o.rest) THEN 'unverified'
    WHEN EXISTS (SELECT 1 FROM locked l WHERE l.rest = o.rest) THEN 'locked'
    ELSE 'to_delete'
    END AS class
FROM objects o JOIN source_objects s ON s.rest = o.rest
"""

_UNPROVEN = "SELECT rest, etag, target_etag FROM judged WHERE weak AND class = 'unverified' AND plan_class = 'present'"
_CANDIDATES = "SELECT rest, etag, target_etag FROM judged WHERE class = 'to_delete'"
TO_DELETE = "SELECT rest, etag, size FROM judged WHERE class = 'to_delete' ORDER BY rest"


def make_tables(catalog: Catalog) -> None:
    """What deleting keeps in its catalog beside the plan."""
    for table in (PROVEN, LOCKED, DELETE_OUTCOMES, BROUGHT_BACK):
        catalog.run(table.create())


def classify(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    reasons: Mapping[str, str],
    now: datetime,
    looks_for_locks: bool,
    forgiven: str = "false",
) -> tuple[dict[str, int], int]:
    """Look at both buckets and at every row, from nothing, and class the source's objects (table `judged`).

    reasons: class → condition in SQL on a planned object `o` and its listing `s`, under which it is kept first of all
    now: by the clock of the service and of this machine, whichever is earlier
    looks_for_locks: whether the bucket may have objects under retention or legal hold
    forgiven: condition in SQL on `named_keys`, of rows that will not name their object any more by then
    Answers the count of each class, and how many bytes are to be deleted. Raises S3Error and DatabaseError: half a look
    is none.
    """
    # an inventory is as old as its report, and what is there now is the question
    scan_buckets(replace(settings, source=replace(settings.source, inventory=None)), catalog, progress)
    make_plan(catalog, replace(settings, limit=None))
    # the rows come last, as an application may write one that names an old key at any moment
    read_named_keys(settings, catalog, progress)
    catalog.run(f"DELETE FROM named_keys WHERE {forgiven}")
    cases = "\n    ".join(f"WHEN {condition} THEN '{name}'" for name, condition in reasons.items())
    statement = JUDGED.create(_CLASSIFY.format(reasons=cases))
    catalog.run(statement)
    if catalog.query(f"SELECT 1 FROM ({_UNPROVEN}) LIMIT 1"):
        uvloop.run(_prove_weak(settings, catalog, progress))
        catalog.run(statement)
    if looks_for_locks:
        uvloop.run(_find_locked(settings, catalog, progress, now))
        catalog.run(statement)
    counted = dict(catalog.query("SELECT class, count(*) FROM judged GROUP BY class"))
    (size,) = catalog.query(f"SELECT coalesce(sum(size), 0) FROM ({TO_DELETE})")[0]
    return {name: int(counted.get(name, 0)) for name in (*CLASSES, *reasons)}, int(size)


async def _prove_weak(settings: Settings, catalog: Catalog, progress: Progress) -> None:
    """Compare the contents of those that only the size of our own copy speaks for: that is too little to delete."""
    async with open_clients(settings) as (source, target):

        async def prove(rest: str, etag: str, target_etag: str) -> tuple[str, ...] | None:
            key, target_key = settings.source.prefix + rest, settings.target.prefix + rest
            evidence = await compare(source, key, etag, target, target_key, target_etag)
            return (rest,) if evidence in (Evidence.CHECKSUM, Evidence.BYTES, Evidence.ETAG) else None

        await _look_at_each(catalog, progress, "compare contents", _UNPROVEN, PROVEN, prove)


async def _find_locked(settings: Settings, catalog: Catalog, progress: Progress, now: datetime) -> None:
    async with open_client(settings, settings.source) as source:

        async def look(rest: str, etag: str, target_etag: str) -> tuple[str, ...] | None:
            reply = await head(source, settings.source.prefix + rest)
            hold = reply.headers.get(b"x-amz-object-lock-legal-hold", b"").upper() == b"ON"
            until = reply.headers.get(b"x-amz-object-lock-retain-until-date", b"").decode()
            if hold:
                return rest, "legal hold"
            return (rest, f"retention until {until}") if until and _moment(until) > now else None

        await _look_at_each(catalog, progress, "look for locks", _CANDIDATES, LOCKED, look)


async def _look_at_each(
    catalog: Catalog,
    progress: Progress,
    stage: str,
    statement: str,
    table: Table,
    look: Callable[[str, str, str], Coroutine[Any, Any, tuple[str, ...] | None]],
) -> None:
    """Fill `table` with what `look` finds; an object that must not be read is left out of it."""

    async def one(rest: str, etag: str, target_etag: str) -> tuple[str, ...] | None:
        try:
            return await look(rest, etag, target_etag)
        except S3StopError:
            raise
        except S3Error as error:
            if 400 <= error.status < 500 and table is PROVEN:
                return None
            raise

    async for _, found in run_on_rows(one, statement, stage, _IN_FLIGHT, catalog, progress):
        catalog.append(table.name, [row for row in found if row is not None])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
