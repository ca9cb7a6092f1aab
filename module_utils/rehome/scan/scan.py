"""Fill a catalog with the objects of both buckets and the rows of the referencing columns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from itertools import compress, islice, repeat
from types import MappingProxyType

import uvloop

from ..codes import Code
from ..discover.noted import SOURCE_LISTING, listing_of
from ..errors import RefusedError
from ..mapping.keymap import KeyMap
from ..planning.plan import ARCHIVED
from ..progress import Progress
from ..run import Run
from ..s3.client.client import Client
from ..s3.concurrency import run_all
from ..s3.errors import S3Error, S3RequestError
from ..s3.listing.listing import DISORDERED, list_objects
from ..s3.listing.page import Page
from ..s3.objects.compare import compare
from ..s3.objects.job import CopyJob, CopyOutcome
from ..s3.probe.scratch import SCRATCH_NAME
from ..services.capabilities import known_capabilities
from ..services.clients import open_client, open_clients
from ..state.outcomes import Outcomes, load_proofs
from .lookups import find_named_objects, find_restores, run_on_rows
from .rows import read_rows

PARALLEL_LISTS = 16
FOREIGN_SAMPLES = 100
"""So many of the first source keys that are not under the map are kept, for a message if nothing else is there."""
COMPARISONS_IN_FLIGHT = 8
_NO_FACTS: Mapping[str, object] = MappingProxyType({})

_LISTED_OF_ALL = ("suffix", "size", "etag", "last_modified", "storage_class")
"""The columns of `source_objects` that every object has; what the others say, few do."""

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
    uvloop.run(_scan_buckets(run, facts))


def without_inventory(run: Run) -> Run:
    """Return the run with a source that is listed: an inventory is as old as its report."""
    settings = run.settings
    return run.with_settings(replace(settings, source=replace(settings.source, inventory=None)))


async def _scan_buckets(run: Run, facts: Mapping[str, object] = _NO_FACTS) -> None:
    settings, catalog = run.settings, run.catalog
    async with AsyncExitStack() as stack, open_clients(settings, run.progress) as (source, target):
        refused_keys = known_capabilities(settings, source.endpoint, target.endpoint).refused_keys
        keymap, counter = settings.keymap, _Counter(run.progress)

        def unroutable(key: str) -> str | None:
            return keymap.unroutable(key, refused_keys)

        async def list_both(parallel: int) -> int:
            from_source = await _source_pages(run, source, stack, parallel)
            from_target = list_objects(target, settings.target.prefix, parallel=parallel)
            run.progress.stage("list objects")
            samples = _Samples()
            with (
                catalog.transaction(),
                catalog.bulk_appender("source_objects") as sources,
                catalog.bulk_appender("source_objects", _LISTED_OF_ALL) as plain_sources,
                catalog.bulk_appender("target_objects") as targets,
            ):

                def add_sources(page: Page, suffixes: Sequence[str]) -> None:
                    listed = suffixes, page.sizes, page.etags, page.last_modified, page.storage_classes
                    reasons = keymap.unroutable_each(page.keys, refused_keys)
                    if any(page.restores) or any(page.tiers) or any(reasons):
                        sources.append(*listed, page.restores, page.tiers, reasons)
                    else:
                        plain_sources.append(*listed)

                def add_targets(page: Page, suffixes: Sequence[str]) -> None:
                    targets.append(suffixes, page.sizes, page.etags)

                foreign, _ = await run_all(
                    _fill(from_source, keymap, settings.source.prefix, add_sources, counter, samples),
                    _fill(from_target, keymap, settings.target.prefix, add_targets, counter),
                )
            catalog.append("foreign_samples", [("object", suffix) for suffix in samples.suffixes])
            return foreign

        try:
            foreign = await list_both(PARALLEL_LISTS)
        except S3Error as error:
            if error.code != DISORDERED:
                raise
            # list again without relying on the order of keys
            foreign = await list_both(1)
        catalog.note_all({**facts, "source_foreign": foreign, SOURCE_LISTING: listing_of(settings)})
        if settings.source.inventory is not None:
            await find_named_objects(run, source, unroutable)
        if settings.source.inventory is not None or not source.endpoint.is_aws:
            await find_restores(run, source)
        await _compare_inconclusive(run, source, target)


async def _source_pages(run: Run, source: Client, stack: AsyncExitStack, parallel: int) -> AsyncGenerator[Page, None]:
    """Return the pages of the source's objects, from S3 Inventory or from listing the bucket."""
    settings = run.settings
    if settings.source.inventory is None:
        return list_objects(source, settings.source.prefix, parallel=parallel)
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


class _Samples:
    """The first suffixes, in the order of text, of those that it is given."""

    def __init__(self) -> None:
        self.suffixes: list[str] = []

    def add(self, suffixes: Iterable[str]) -> None:
        """Take the suffixes of a page, whose keys are mostly in order."""
        some = [suffix for suffix in islice(suffixes, FOREIGN_SAMPLES) if not suffix.startswith(SCRATCH_NAME)]
        if some and (len(self.suffixes) < FOREIGN_SAMPLES or some[0] < self.suffixes[-1]):
            self.suffixes = sorted([*self.suffixes, *some])[:FOREIGN_SAMPLES]


async def _fill(
    pages: AsyncGenerator[Page, None],
    keymap: KeyMap,
    prefix: str,
    add: Callable[[Page, Sequence[str]], None],
    counter: _Counter,
    samples: _Samples | None = None,
) -> int:
    """Add the objects under the map to the catalog. Returns how many objects are not under it.

    add: takes a page of them with their suffixes
    samples: takes the first of those
    """
    foreign, skip = 0, len(prefix)
    async with aclosing(pages):
        async for page in pages:
            suffixes = [key[skip:] for key in page.keys]
            # scratch objects of a probe never belong to the application, in whichever migration they turn up
            is_covered = keymap.covers_each(suffixes)
            if any(map(str.startswith, suffixes, repeat(SCRATCH_NAME))):
                is_covered = [
                    covered and not suffix.startswith(SCRATCH_NAME)
                    for covered, suffix in zip(is_covered, suffixes, strict=True)
                ]
            covered = page
            if not all(is_covered):
                if samples is not None:
                    samples.add(suffix for suffix, covers in zip(suffixes, is_covered, strict=True) if not covers)
                covered, suffixes = page.select(is_covered), list(compress(suffixes, is_covered))
            if suffixes:
                add(covered, suffixes)
            foreign += len(page) - len(covered)
            counter.add(len(page))
    return foreign


async def _compare_inconclusive(run: Run, source: Client, target: Client) -> None:
    """Compare the contents of pairs with equal sizes and different ETags.

    The ETag of a multipart upload or of an object under KMS is not a digest of its content (S3 user guide, "Checking
    object integrity"), so different ETags prove nothing. Proofs of earlier runs are reused.
    """
    settings, catalog = run.settings, run.catalog
    load_proofs(catalog, settings)
    if not catalog.query(f"SELECT 1 FROM ({_INCONCLUSIVE}) LIMIT 1"):
        return
    outcomes = Outcomes(catalog, settings)

    async def prove(suffix: str, size: int, source_etag: str, target_etag: str) -> tuple[str, str | None]:
        job = CopyJob(settings.source.prefix + suffix, source_etag, size, settings.target.prefix + suffix)
        try:
            evidence = await compare(source, job.source_key, source_etag, target, job.target_key, target_etag)
        except S3RequestError as error:
            if not 400 <= error.status < 500:
                raise
            # an object that may not be read cannot be proven equal: it becomes a conflict, for a human
            evidence = None
        if evidence is not None:
            outcomes.add(CopyOutcome(job, "present", target_etag, evidence, attempts=0))
        return suffix, evidence

    async for _, pairs in run_on_rows(run, prove, _INCONCLUSIVE, "compare contents", COMPARISONS_IN_FLIGHT):
        catalog.append("compared", pairs)
    outcomes.close()
