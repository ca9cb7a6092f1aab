"""Compare a sample of the moved objects byte by byte: an independent check of the other checks."""

from __future__ import annotations

from dataclasses import dataclass

import uvloop

from ..run import Run
from ..s3.concurrency import run_all
from ..s3.errors import ARCHIVED_CODES, S3Error
from ..s3.objects.compare import compare_bytes
from ..services.clients import open_clients

READS_IN_FLIGHT = 8

_SAMPLE = """
SELECT suffix, etag, target_etag FROM (FROM objects WHERE class = 'present') USING SAMPLE reservoir({0} ROWS)
"""
"""DuckDB samples before it filters, so that the filter has to be inside."""


@dataclass(slots=True)
class SampleCounts:
    """How many objects were read on both sides, and how many of them differ (listed in the catalog's `differing`)."""

    sampled: int = 0
    differing: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts by the names of the summary."""
        return {"objects_sampled": self.sampled, "objects_differing": self.differing}


def compare_sample(run: Run) -> SampleCounts:
    """Compare `rehome_verify_sample` of the objects that the plan in the catalog calls present, chosen at random.

    An object that was replaced since it was listed counts as differing: it is not the one that was planned. One that is
    archived on either side cannot be read, and is not counted.
    Raises S3Error and S3StopError if another cannot be read.
    """
    counts = SampleCounts()
    if sample_size := run.settings.verify_sample:
        pairs = run.catalog.query(_SAMPLE.format(sample_size))
        run.progress.stage("compare a sample", len(pairs))
        uvloop.run(_compare(run, pairs, counts))
    return counts


async def _compare(run: Run, pairs: list[tuple[str, str, str]], counts: SampleCounts) -> None:
    settings = run.settings
    queue = iter(pairs)
    async with open_clients(settings, run.progress) as (source, target):

        async def work() -> None:
            for suffix, etag, target_etag in queue:
                key, target_key = settings.source.prefix + suffix, settings.target.prefix + suffix
                try:
                    same = await compare_bytes(source, key, etag, target, target_key, target_etag)
                except S3Error as error:
                    if error.code in ARCHIVED_CODES:
                        continue
                    raise
                counts.sampled += 1
                if same is None:
                    counts.differing += 1
                    run.catalog.append("differing", [(suffix, etag, target_etag)])
                run.progress.at(counts.sampled, differing=counts.differing)

        await run_all(*(work() for _ in range(READS_IN_FLIGHT)))
