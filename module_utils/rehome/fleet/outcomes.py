"""Send outcomes from a worker to the controller in a compact form, and fold them into the outcomes of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..s3.objects.compare import Evidence
from ..s3.objects.job import CopyJob, CopyOutcome, CopyResult
from .shards import Row, Shard

Ended = tuple[int, CopyResult, str | None, str | None, int, str | None, str | None, float]
"""An outcome: the index of its row in the shard, result, ETag, evidence, attempts, error, message, duration."""

_EVIDENCE: dict[str | None, Evidence | None] = {None: None, **{evidence.value: evidence for evidence in Evidence}}


def job_of(row: Row, source_prefix: str, target_prefix: str) -> CopyJob:
    """Return the job of a row."""
    suffix, size, etag, replace_etag, storage_class = row
    return CopyJob(source_prefix + suffix, etag, size, target_prefix + suffix, replace_etag, storage_class)


def packed(index: int, outcome: CopyOutcome) -> Ended:
    """Return an outcome as it is sent.

    index: of its row in the shard
    """
    evidence = None if outcome.evidence is None else outcome.evidence.value
    became = outcome.attempts, outcome.error, outcome.message, outcome.duration_s
    return index, outcome.result, outcome.target_etag, evidence, *became


def folded(
    shard: Shard, ended: Iterable[Ended], source_prefix: str, target_prefix: str, *, ran_before: bool | None
) -> Iterator[CopyOutcome]:
    """Yield the outcomes of a shard, one at most for each of its rows.

    ran_before: a worker that was lost may have copied some of its objects, which are there now. They are this run's
        copies, and a rollback has to know them. None: nobody can say, so that those have no outcome here: they stay
        on record as begun, which a later run recognises.
    """
    told = set[int]()
    for index, result, target_etag, evidence, attempts, error, message, duration_s in ended:
        if index in told or (ran_before is None and result == "present"):
            continue
        told.add(index)
        yield CopyOutcome(
            job_of(shard.rows[index], source_prefix, target_prefix),
            "copied" if ran_before and result == "present" else result,
            target_etag,
            _EVIDENCE[evidence],
            attempts,
            error,
            message,
            duration_s,
        )
