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

IN_FLIGHT = 8
"""Pairs of a shard at once: each may be read whole on both sides."""

SHARD_PAIRS = 200
SHARD_BYTES = 10**9
"""What is read at most on each side to know more of the progress, and again if a worker dies."""

Pair = tuple[str, int, str, str]
"""Suffix, size, ETag in the source, ETag in the target."""


async def evidence_of(place: Place, pair: Pair) -> Evidence | None:
    """Return what proves that two objects have the same content. None: nothing does, or they may not be read.

    Raises S3Error and S3StopError.
    """
    (key, target_key), (source, target) = _keys(place, pair), place.clients
    await place.rate.wait()
    try:
        return await compare(source, key, pair[2], target, target_key, pair[3])
    except S3RequestError as error:
        if not 400 <= error.status < 500:
            raise
        return None


async def is_same(place: Place, pair: Pair) -> bool | None:
    """Read two objects whole, and return whether their contents are the same. None: one of them is archived.

    One that was replaced is not the same. Raises S3Error and S3StopError.
    """
    (key, target_key), (source, target) = _keys(place, pair), place.clients
    await place.rate.wait()
    try:
        return await compare_bytes(source, key, pair[2], target, target_key, pair[3]) is not None
    except S3Error as error:
        if error.code in ARCHIVED_CODES:
            return None
        raise


async def compare_shard(place: Place, pairs: Sequence[Pair]) -> tuple[str | None, ...]:
    """Return the value of the evidence of each pair, in their order."""

    async def one(*pair: Any) -> str | None:
        evidence = await evidence_of(place, pair)
        return None if evidence is None else evidence.value

    return await run_each(one, pairs, IN_FLIGHT)


async def sample_shard(place: Place, pairs: Sequence[Pair]) -> tuple[bool | None, ...]:
    """Return whether each pair is the same, in their order."""

    def one(*pair: Any) -> Coroutine[Any, Any, bool | None]:
        return is_same(place, pair)

    return await run_each(one, pairs, IN_FLIGHT)


def _keys(place: Place, pair: Pair) -> tuple[str, str]:
    source, target = place.sides
    return source.prefix + pair[0], target.prefix + pair[0]
