"""Whether two objects have the same content, by the cheapest evidence that proves it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from ..client.client import Client
from ..concurrency import run_all
from ..transport.connection import Response, Sink
from .etags import checksums_match, is_md5, same_etag

_CHECKSUM_PREFIX = b"x-amz-checksum-"
_CHECKSUM_TYPE = b"x-amz-checksum-type"
_NO_CHECKSUMS: Mapping[str, str] = MappingProxyType({})


class Evidence(StrEnum):
    """What proved that two contents are the same."""

    ETAG = "etag"
    CHECKSUM = "checksum"
    BYTES = "bytes"
    SIZE = "size"
    """weak: anything stronger would have needed reading both objects"""


async def compare(
    source: Client,
    source_key: str,
    source_etag: str,
    target: Client,
    target_key: str,
    target_etag: str,
    *,
    is_own_copy: bool = False,
    own_checksums: Mapping[str, str] = _NO_CHECKSUMS,
) -> Evidence | None:
    """Compare two objects that have the given ETags (without quotes).

    Equal ETags prove equal contents only if the sizes are equal, which the caller must know already. Otherwise a
    full-object checksum of the same algorithm decides, or else both objects are read whole, in bounded memory.

    is_own_copy: we made the target from the source under the condition of `source_etag`. The size is enough then
        (`Evidence.SIZE`), as reading both would move every byte twice. Only two ETags that are both MD5 digests
        and differ are evidence against the copy, so that both objects are read.
    own_checksums: of such a copy's whole content in base64, by algorithm, as the service replied; they save a request

    Returns None if the contents differ, or if an object is gone or has another ETag by now.
    Raises S3Error and S3StopError.
    """
    if same_etag(source_etag, target_etag):
        return Evidence.ETAG
    match = None
    if own_checksums:
        reply = await head(source, source_key, source_etag)
        match = checksums_match(full_checksums(reply), own_checksums) if reply.status == 200 else None
    if match is None:
        heads = await run_all(head(source, source_key, source_etag), head(target, target_key, target_etag))
        sizes = {reply.headers.get(b"content-length") for reply in heads}
        if any(reply.status != 200 for reply in heads) or len(sizes) > 1:
            return None
        match = checksums_match(*(full_checksums(reply) for reply in heads))
    if match is not None:
        return Evidence.CHECKSUM if match else None
    if is_own_copy and not (is_md5(source_etag, heads[0].headers) and is_md5(target_etag, heads[1].headers)):
        return Evidence.SIZE
    return await compare_bytes(source, source_key, source_etag, target, target_key, target_etag)


async def compare_bytes(
    source: Client, source_key: str, source_etag: str, target: Client, target_key: str, target_etag: str
) -> Evidence | None:
    """Read both objects and compare them. Returns and raises as `compare`."""
    source_hash, target_hash = await run_all(
        _content_hash(source, source_key, source_etag), _content_hash(target, target_key, target_etag)
    )
    return Evidence.BYTES if source_hash is not None and source_hash == target_hash else None


async def head(client: Client, key: str, etag: str | None = None) -> Response:
    """Send a HeadObject that asks for checksums.

    etag: the reply's status is 412 if the object has another one, even if the service ignores `If-Match`

    Raises as `Client.request`.
    """
    headers = {"x-amz-checksum-mode": "ENABLED"}
    if etag is None:
        return await client.request("HEAD", key, headers=headers)
    reply = await client.request("HEAD", key, headers={**headers, "if-match": f'"{etag}"'})
    other = reply.status == 200 and etag_of(reply) not in ("", etag)
    return reply._replace(status=412) if other else reply


def full_checksums(reply: Response) -> dict[str, str]:
    """Return the checksums of the whole content from a reply to `head`: base64 by algorithm in lower case.

    Those of multipart uploads may be checksums of checksums (COMPOSITE, or ending in -N). These say nothing about an
    object that was cut into other parts ("Checking object integrity", S3 user guide), and are left out.
    """
    if reply.headers.get(_CHECKSUM_TYPE) != b"FULL_OBJECT":
        return {}
    return {
        name.removeprefix(_CHECKSUM_PREFIX).decode(): value.decode()
        for name, value in reply.headers.items()
        if name.startswith(_CHECKSUM_PREFIX) and name != _CHECKSUM_TYPE and b"-" not in value
    }


def etag_of(reply: Response) -> str:
    """Return the ETag in a reply's headers, without quotes; "" if there is none."""
    return reply.headers.get(b"etag", b"").decode().strip('"')


async def _content_hash(client: Client, key: str, etag: str) -> bytes | None:
    """Return the SHA-256 of the content, or None if no object with this ETag exists."""
    digest = hashlib.sha256()

    def begin() -> Sink:
        nonlocal digest
        digest = hashlib.sha256()
        return digest.update

    reply = await client.download(key, {"if-match": f'"{etag}"'}, begin)
    # some services ignore `If-Match`
    return digest.digest() if reply.status == 200 and etag_of(reply) in ("", etag) else None
