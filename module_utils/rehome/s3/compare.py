"""Whether two objects have the same content, by the cheapest evidence that proves it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

from .client import Client
from .connection import Response
from .errors import S3Error, S3StopError

_T = TypeVar("_T")

_READ_ATTEMPTS = 3
_CHECKSUM_PREFIX = b"x-amz-checksum-"
_CHECKSUM_TYPE = b"x-amz-checksum-type"


class Evidence(StrEnum):
    """What proved that two contents are the same."""

    ETAG = "etag"
    CHECKSUM = "checksum"
    BYTES = "bytes"
    SIZE = "size"
    """weak: nothing stronger was to be had without reading both"""


async def compare(
    source: Client, source_key: str, source_etag: str, target: Client, target_key: str, target_etag: str
) -> Evidence | None:
    """Compare two objects that have the given ETags (without quotes).

    Equal ETags prove equal contents only of equal sizes, which the caller must know already. Otherwise a
    full-object checksum of the same algorithm decides, or else both are read whole, in bounded memory.

    Returns None where the contents differ, or where an object is gone or has another ETag by now.
    Raises S3Error and S3StopError.
    """
    if source_etag == target_etag:
        return Evidence.ETAG
    heads = await _both(head(source, source_key, source_etag), head(target, target_key, target_etag))
    if any(reply.status != 200 for reply in heads):
        return None
    sizes = [reply.headers.get(b"content-length") for reply in heads]
    if sizes[0] != sizes[1]:
        return None
    source_sums, target_sums = (_full_checksums(reply) for reply in heads)
    for algorithm in source_sums.keys() & target_sums.keys():
        return Evidence.CHECKSUM if source_sums[algorithm] == target_sums[algorithm] else None
    source_hash, target_hash = await _both(
        _content_hash(source, source_key, source_etag), _content_hash(target, target_key, target_etag)
    )
    return Evidence.BYTES if source_hash is not None and source_hash == target_hash else None


async def head(client: Client, key: str, etag: str | None = None) -> Response:
    """HEAD with the checksums; 412 where the object has not the given ETag. Raises as `Client.request`."""
    headers = {"x-amz-checksum-mode": "ENABLED"}
    if etag is not None:
        headers["if-match"] = f'"{etag}"'
    return await client.request("HEAD", key, headers=headers)


def _full_checksums(reply: Response) -> dict[bytes, bytes]:
    """The checksums of the whole content, by algorithm.

    Those of multipart uploads may be checksums of checksums (COMPOSITE, or ending in -N), which say nothing
    about an object that was cut otherwise ("Checking object integrity", S3 user guide).
    """
    if reply.headers.get(_CHECKSUM_TYPE) != b"FULL_OBJECT":
        return {}
    return {
        name: value
        for name, value in reply.headers.items()
        if name.startswith(_CHECKSUM_PREFIX) and name != _CHECKSUM_TYPE and b"-" not in value
    }


async def _content_hash(client: Client, key: str, etag: str) -> bytes | None:
    """Sha256 of the content, or None where the object is not there with this ETag."""
    for attempt in range(1, _READ_ATTEMPTS + 1):
        digest = hashlib.sha256()
        try:
            reply = await client.request("GET", key, headers={"if-match": f'"{etag}"'}, sink=digest.update)
        except S3StopError:
            raise
        except S3Error as error:
            if error.status or attempt == _READ_ATTEMPTS:
                raise
            continue
        return digest.digest() if reply.status == 200 else None
    raise AssertionError("the last attempt returns or raises")


async def _both(first: Coroutine[Any, Any, _T], second: Coroutine[Any, Any, _T]) -> tuple[_T, _T]:
    """Run both at once; where one fails, neither goes on."""
    tasks = asyncio.create_task(first), asyncio.create_task(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
