"""Fill a catalog with the objects of both buckets and the rows of the referencing columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

import uvloop

from ..discover.noted import SOURCE_LISTING, listing_of
from ..fleet.comparing import Pair, compare_shard
from ..planning.plan import ARCHIVED
from ..run import Run
from ..s3.objects.compare import Evidence
from ..s3.objects.job import CopyJob, CopyOutcome
from ..services.capabilities import known_capabilities
from ..services.clients import open_clients
from ..state.outcomes import Outcomes, load_proofs
from .buckets import list_buckets
from .compare import compare_pairs
from .lookups import find_named_objects, find_restores
from .rows import read_rows

_NO_FACTS: Mapping[str, object] = MappingProxyType({})

_INCONCLUSIVE = f"""
SELECT s.suffix, s.size, s.etag, u.target_etag FROM unproven u JOIN source_objects s ON s.suffix = u.suffix
WHERE s.size = u.target_size AND NOT {ARCHIVED} AND NOT EXISTS (SELECT 1 FROM compared c WHERE c.suffix = s.suffix)
"""
"""Pairs that may have the same content although their ETags differ."""


def scan(run: Run) -> None:
    """Read every reference, list both buckets, and compare the contents of pairs whose ETags prove nothing.

    Rows are read first: an application stores an object before the row that names it, so the object of every row is in
    the later listing. A row whose object is deleted in between seems to dangle; the next plan no longer finds it.

    Raises S3Error or DatabaseError if anything cannot be read: the catalog is incomplete then.
    """
    scan_buckets(run, {"rows_foreign": read_rows(run)})


def scan_buckets(run: Run, facts: Mapping[str, object] = _NO_FACTS) -> None:
    """List both buckets, and compare the contents of pairs whose ETags prove nothing. Raises S3Error.

    facts: for the catalog's metadata, noted with those of the listing
    """
    foreign = list_buckets(run)
    run.catalog.note_all({**facts, "source_foreign": foreign, SOURCE_LISTING: listing_of(run.settings)})
    uvloop.run(_look_closer(run))
    _compare_inconclusive(run)


def without_inventory(run: Run) -> Run:
    """Return the run with a source that is listed: an inventory is as old as its report."""
    settings = run.settings
    return run.with_settings(replace(settings, source=replace(settings.source, inventory=None)))


async def _look_closer(run: Run) -> None:
    """Look at objects of which the listings do not say enough."""
    settings = run.settings
    async with open_clients(settings, run.progress) as (source, target):
        refused_keys = known_capabilities(settings, source.endpoint, target.endpoint).refused_keys

        def unroutable(key: str) -> str | None:
            return settings.keymap.unroutable(key, refused_keys)

        if settings.source.inventory is not None:
            await find_named_objects(run, source, unroutable)
        if settings.source.inventory is not None or not source.endpoint.is_aws:
            await find_restores(run, source)


def _compare_inconclusive(run: Run) -> None:
    """Compare the contents of pairs with equal sizes and different ETags.

    The ETag of a multipart upload or of an object under KMS is not a digest of its content (S3 user guide, "Checking
    object integrity"), so different ETags prove nothing. Proofs of earlier runs are reused. An object that may not be
    read cannot be proven equal: it becomes a conflict, for a human.
    """
    settings, catalog = run.settings, run.catalog
    load_proofs(catalog, settings)
    total = catalog.count(_INCONCLUSIVE)
    if not total:
        return
    outcomes = Outcomes(catalog, settings)

    def take(pairs: Sequence[Pair], found: Sequence[str | None]) -> Mapping[str, int]:
        for (suffix, size, etag, target_etag), evidence in zip(pairs, found, strict=True):
            if evidence is not None:
                job = CopyJob(settings.source.prefix + suffix, etag, size, settings.target.prefix + suffix)
                outcomes.add(CopyOutcome(job, "present", target_etag, Evidence(evidence), attempts=0))
        catalog.append("compared", [(pair[0], evidence) for pair, evidence in zip(pairs, found, strict=True)])
        return {}

    pairs = chain.from_iterable(catalog.stream(_INCONCLUSIVE))
    try:
        compare_pairs(run, compare_shard, pairs, total, "compare contents", take)
    finally:
        # a run that follows one that was lost in the middle has these proofs
        outcomes.close()
