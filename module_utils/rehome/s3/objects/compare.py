"""Whether two objects have the same content, by the cheapest evidence that proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from ..client.client import Client
from ..concurrency import run_all
from ..errors import S3Error, S3StopError
from ..transport.connection import Response
from .etags import checksums_match, is_md5, same_etag

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
    """Compare two objects of any origin that have the given ETags (without quotes).

    Equal ETags prove equal contents only of equal sizes, which the caller must know already. Otherwise a
    full-object checksum of the same algorithm decides, or else both are read whole, in bounded memory.

    Returns None where the contents differ, or where an object is gone or has another ETag by now.
    Raises S3Error and S3StopError.
    """
    if same_etag(source_etag, target_etag):
        return Evidence.ETAG
    heads = await _heads(source, source_key, source_etag, target, target_key, target_etag)
    if heads is None:
        return None
    sums = checksums_match(*(full_checksums(reply) for reply in heads))
    if sums is not None:
        return Evidence.CHECKSUM if sums else None
    return await compare_bytes(source, source_key, source_etag, target, target_key, target_etag)


async def prove_copy(
    source: Client,
    source_key: str,
    source_etag: str,
    target: Client,
    target_key: str,
    target_etag: str,
    checksums: Mapping[str, str] = MappingProxyType({}),
) -> Evidence | None:
    """Prove an object that we have just made from the source, which the service says is done.

    As `compare`, but where there is no checksum the size has to do (`Evidence.SIZE`): the copy was made under
    the condition of the source's ETag, and reading both would move every byte twice. Only two ETags that
    are both MD5 digests and yet differ are evidence against the copy, so that both objects are read.

    checksums: of the whole new object in base64, by algorithm, as the service replied
    """
    if same_etag(source_etag, target_etag):
        return Evidence.ETAG
    if checksums:
        there = await head(source, source_key, source_etag)
        sums = checksums_match(full_checksums(there), checksums) if there.status == 200 else None
        if sums is not None:
            return Evidence.CHECKSUM if sums else None
    heads = await _heads(source, source_key, source_etag, target, target_key, target_etag)
    if heads is None:
        return None
    sums = checksums_match(*(full_checksums(reply) for reply in heads))
    if sums is not None:
        return Evidence.CHECKSUM if sums else None
    if is_md5(source_etag, heads[0].headers) and is_md5(target_etag, heads[1].headers):
        return await compare_bytes(source, source_key, source_etag, target, target_key, target_etag)
    return Evidence.SIZE


async def head(client: Client, key: str, etag: str | None = None) -> Response:
    """HEAD with the checksums; 412 where the object has not the given ETag, also from who ignores conditions.

    Raises as `Client.request`.
    """
    headers = {"x-amz-checksum-mode": "ENABLED"}
    if etag is None:
        return await client.request("HEAD", key, headers=headers)
    reply = await client.request("HEAD", key, headers={**headers, "if-match": f'"{etag}"'})
    other = reply.status == 200 and etag_of(reply) not in ("", etag)
    return reply._replace(status=412) if other else reply


def full_checksums(reply: Response) -> dict[str, str]:
    """The checksums of the whole content in base64, by algorithm in lower case, from a reply to `head`.

    Those of multipart uploads may be checksums of checksums (COMPOSITE, or ending in -N), which say nothing
    about an object that was cut otherwise ("Checking object integrity", S3 user guide).
    """
    if reply.headers.get(_CHECKSUM_TYPE) != b"FULL_OBJECT":
        return {}
    return {
        name.removeprefix(_CHECKSUM_PREFIX).decode(): value.decode()
        for name, value in reply.headers.items()
        if name.startswith(_CHECKSUM_PREFIX) and name != _CHECKSUM_TYPE and b"-" not in value
    }


def etag_of(reply: Response) -> str:
    """The ETag in a reply's header, without quotes; empty where there is none."""
    return reply.headers.get(b"etag", b"").decode().strip('"')


async def _heads(
    source: Client, source_key: str, source_etag: str, target: Client, target_key: str, target_etag: str
) -> tuple[Response, Response] | None:
    """The HEADs of two objects that are there, with these ETags and of the same size; else None."""
    heads = await run_all(head(source, source_key, source_etag), head(target, target_key, target_etag))
    if any(reply.status != 200 for reply in heads):
        return None
    first, second = (reply.headers.get(b"content-length") for reply in heads)
    return heads if first == second else None


async def compare_bytes(
    source: Client, source_key: str, source_etag: str, target: Client, target_key: str, target_etag: str
) -> Evidence | None:
    source_hash, target_hash = await run_all(
        _content_hash(source, source_key, source_etag), _content_hash(target, target_key, target_etag)
    )
    return Evidence.BYTES if source_hash is not None and source_hash == target_hash else None


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
