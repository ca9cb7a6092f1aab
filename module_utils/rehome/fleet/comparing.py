"""Compare the contents of objects in two buckets: what a worker does with a shard of pairs, and this machine with each.

The place is of two sides, the source and the target.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from ..s3.concurrency import run_each
from ..s3.errors import ARCHIVED_CODES, S3Error, S3RequestError
from ..s3.objects.compare import Evidence, compare, compare_bytes
from .reader import Place

IN_FLIGHT = 4
"""Pairs of one shard at once: each may be read whole on both sides, and a worker has two shards or more."""

Pair = tuple[str, str, str]
"""Suffix, ETag in the source, ETag in the target."""


async def evidence_of(place: Place, suffix: str, etag: str, target_etag: str) -> Evidence | None:
    """Return what proves that two objects have the same content. None: nothing does, or they may not be read.

    Raises S3Error and S3StopError.
    """
    keys = [side.prefix + suffix for side in place.sides]
    source, target = place.clients
    await place.rate.wait()
    try:
        return await compare(source, keys[0], etag, target, keys[1], target_etag)
    except S3RequestError as error:
        if not 400 <= error.status < 500:
            raise
        return None


async def is_same(place: Place, suffix: str, etag: str, target_etag: str) -> bool | None:
    """Read two objects whole, and return whether their contents are the same. None: one of them is archived.

    One that was replaced is not the same. Raises S3Error and S3StopError.
    """
    keys = [side.prefix + suffix for side in place.sides]
    source, target = place.clients
    await place.rate.wait()
    try:
        return await compare_bytes(source, keys[0], etag, target, keys[1], target_etag) is not None
    except S3Error as error:
        if error.code in ARCHIVED_CODES:
            return None
        raise


async def compare_shard(place: Place, pairs: Sequence[Pair]) -> tuple[str | None, ...]:
    """Return `evidence_of` each pair, in their order."""

    async def one(*pair: str) -> str | None:
        evidence = await evidence_of(place, *pair)
        return evidence and evidence.value

    return await run_each(one, pairs, IN_FLIGHT)


async def sample_shard(place: Place, pairs: Sequence[Pair]) -> tuple[bool | None, ...]:
    """Return whether each pair `is_same`, in their order."""

    def one(*pair: str) -> Coroutine[Any, Any, bool | None]:
        return is_same(place, *pair)

    return await run_each(one, pairs, IN_FLIGHT)
