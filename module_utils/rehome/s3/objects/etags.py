"""What ETags and checksums say about an object's content, and when they say nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

Headers = Mapping[bytes, bytes]
"""A reply's; names in lower case."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_BLANK = "0" * 32
_ENCRYPTION = b"x-amz-server-side-encryption"
_CUSTOMER_KEY = b"x-amz-server-side-encryption-customer-algorithm"


def md5(content: bytes | bytearray = b"") -> hashlib._Hash:
    """MD5, which is no proof against a forger, but what S3's ETags are made of."""
    return hashlib.md5(content, usedforsecurity=False)


def same_etag(one: str, other: str) -> bool:
    """Whether two ETags (without quotes) are the same one, and say something of the content.

    An empty one does not, nor one of zeros: gateways to file systems give those to files that others have written
    (MinIO's `defaultEtag` in cmd/fs-v1.go is 32 zeros and `-1`), all the same whatever they hold.
    """
    return one == other and one != "" and not one.startswith(_BLANK)


def checksums_match(first: Mapping[str, str], second: Mapping[str, str]) -> bool | None:
    """Whether two objects' checksums by algorithm are the same; None where they have no algorithm in common."""
    common = first.keys() & second.keys()
    return all(first[algorithm] == second[algorithm] for algorithm in common) if common else None


def is_md5(etag: str, headers: Headers) -> bool:
    """Whether an object's ETag is the MD5 of its content.

    Not for multipart uploads (`-N`), nor under KMS or a customer's key ("Checking object integrity", S3 user
    guide).
    """
    return not hides_digest(headers) and _MD5.fullmatch(etag) is not None


def hides_digest(headers: Headers) -> bool:
    """Whether an object is encrypted in a way that makes its ETag say nothing about its content."""
    return _CUSTOMER_KEY in headers or headers.get(_ENCRYPTION, b"").startswith(b"aws:kms")


def composite_etag(etags: Sequence[str]) -> str:
    """The ETag of an upload whose parts have these ETags (the same source); empty where one is no MD5."""
    if not all(_MD5.fullmatch(etag) for etag in etags):
        return ""
    parts = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{md5(parts).hexdigest()}-{len(etags)}"
