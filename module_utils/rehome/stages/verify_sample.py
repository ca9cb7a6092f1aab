"""Compare a sample of the moved objects byte by byte: an independent check of the other checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ..fleet.comparing import Pair, sample_shard
from ..run import Run
from ..scan.compare import compare_pairs

_SAMPLE = """
SELECT suffix, size, etag, target_etag
FROM (FROM objects WHERE class = 'present') USING SAMPLE reservoir({0} ROWS)
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
    Raises S3Error and S3StopError if another cannot be read, and RehomeError if a cluster is lost.
    """
    counts = SampleCounts()

    def take(pairs: Sequence[Pair], found: Sequence[bool | None]) -> Mapping[str, int]:
        differing = [pair for pair, same in zip(pairs, found, strict=True) if same is False]
        counts.sampled += sum(same is not None for same in found)
        counts.differing += len(differing)
        run.catalog.append("differing", [(suffix, etag, target_etag) for suffix, _, etag, target_etag in differing])
        return {"differing": counts.differing}

    if sample_size := run.settings.verify_sample:
        pairs = cast("list[Pair]", run.catalog.query(_SAMPLE.format(sample_size)))
        compare_pairs(run, sample_shard, pairs, len(pairs), "compare a sample", take)
    return counts
