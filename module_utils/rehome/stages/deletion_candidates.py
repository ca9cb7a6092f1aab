"""Put every object of the bucket to delete from in one class, from the present state. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

import uvloop

from ..catalog.catalog import Catalog
from ..catalog.schema import BROUGHT_BACK, DELETE_OUTCOMES, JUDGED, LOCKED, PROVEN
from ..fleet.comparing import Pair, compare_shard
from ..planning.plan import make_plan
from ..run import Run
from ..s3.documents import time_of
from ..s3.objects.compare import Evidence, head
from ..scan.compare import compare_pairs
from ..scan.lookups import run_on_rows
from ..scan.named_keys import read_named_keys
from ..scan.scan import scan_buckets
from ..services.clients import metered, open_client
from .delete_side import BucketState, DeleteSide

CLASSES = ("to_delete", "unverified", "referenced", "locked")
"""The classes of every deletion; each verb adds its own reasons to keep an object."""

_IN_FLIGHT = 8

NAMED = "EXISTS (SELECT 1 FROM named_keys n WHERE n.suffix = o.suffix)"
"""A row names the object `o`."""

_CLASSIFY = f"""
SELECT o.suffix, o.size, o.etag, o.target_etag, s.last_modified, o.class AS plan_class, o.weak, CASE
    {{reasons}}
    WHEN o.class <> 'present' THEN 'unverified'
    WHEN {NAMED} THEN 'referenced'
    WHEN o.weak AND NOT EXISTS (SELECT 1 FROM proven p WHERE p.suffix = o.suffix) THEN 'unverified'
    WHEN EXISTS (SELECT 1 FROM locked l WHERE l.suffix = o.suffix) THEN 'locked'
    ELSE 'to_delete'
    END AS class
FROM objects o JOIN source_objects s ON s.suffix = o.suffix
"""

_UNPROVEN = (
    "SELECT suffix, size, etag, target_etag FROM judged WHERE weak AND class = 'unverified' AND plan_class = 'present'"
)
_CANDIDATES = "SELECT suffix, etag, target_etag FROM judged WHERE class = 'to_delete'"
TO_DELETE = "SELECT suffix, etag, size FROM judged WHERE class = 'to_delete' ORDER BY suffix"


def make_tables(catalog: Catalog) -> None:
    """Create the tables that a deletion needs in addition to the plan."""
    for table in (PROVEN, LOCKED, DELETE_OUTCOMES, BROUGHT_BACK):
        catalog.run(table.create())


def classify(
    run: Run, side: DeleteSide, reasons: Mapping[str, str], bucket: BucketState, ignored_rows: str = "false"
) -> tuple[dict[str, int], int]:
    """Read both buckets and every row, from nothing, and class the objects of `delete_from` (table `judged`).

    reasons: class → condition in SQL on a planned object `o` and its listing `s`; it keeps an object before all others
    ignored_rows: condition in SQL on `named_keys`, of rows that will not name their object any more by then
    Return the count of each class, and the bytes to delete. Raises S3Error and DatabaseError if anything cannot be
    read: classes from half the state would prove nothing.
    """
    catalog, settings = run.catalog, side.settings
    scan_buckets(run.with_settings(settings))
    make_plan(catalog, settings)
    # the rows come last, as an application may write one that names an old key at any moment
    read_named_keys(run.with_settings(settings))
    catalog.run(f"DELETE FROM named_keys WHERE {ignored_rows}")
    cases = "\n    ".join(f"WHEN {condition} THEN '{name}'" for name, condition in reasons.items())
    statement = JUDGED.create(_CLASSIFY.format(reasons=cases))
    catalog.run(statement)
    if catalog.count(_UNPROVEN):
        _prove_weak(run, side)
        catalog.run(statement)
    if bucket.locks:
        uvloop.run(_find_locked(run, side, bucket.now))
        catalog.run(statement)
    counts = dict(catalog.query("SELECT class, count(*) FROM judged GROUP BY class"))
    (size,) = catalog.one(f"SELECT coalesce(sum(size), 0) FROM ({TO_DELETE})")
    return {name: int(counts.get(name, 0)) for name in (*CLASSES, *reasons)}, int(size)


def _prove_weak(run: Run, side: DeleteSide) -> None:
    """Compare the contents of objects whose only evidence is the size of our own copy: too little to delete them."""
    enough = (Evidence.CHECKSUM, Evidence.BYTES, Evidence.ETAG)

    def take(pairs: Sequence[Pair], found: Sequence[str | None]) -> Mapping[str, int]:
        proven = [(pair[0],) for pair, evidence in zip(pairs, found, strict=True) if evidence in enough]
        run.catalog.append(PROVEN.name, proven)
        return {}

    pairs = chain.from_iterable(run.catalog.stream(_UNPROVEN))
    total = run.catalog.count(_UNPROVEN)
    compare_pairs(run.with_settings(side.settings), compare_shard, pairs, total, "compare contents", take)


async def _find_locked(run: Run, side: DeleteSide, now: datetime) -> None:
    async with open_client(run.settings, side.delete_from) as source, metered(run.progress, source):

        async def find_lock(suffix: str, etag: str, target_etag: str) -> tuple[str, ...] | None:
            reply = await head(source, side.delete_from.prefix + suffix)
            hold = reply.headers.get(b"x-amz-object-lock-legal-hold", b"").upper() == b"ON"
            until = reply.headers.get(b"x-amz-object-lock-retain-until-date", b"").decode()
            if hold:
                return suffix, "legal hold"
            return (suffix, f"retention until {until}") if until and time_of(until) > now else None

        async for _, found in run_on_rows(run, find_lock, _CANDIDATES, "find locks", _IN_FLIGHT):
            run.catalog.append(LOCKED.name, [row for row in found if row is not None])
