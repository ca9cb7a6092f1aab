"""What ETags and checksums prove about an object's content, and when they prove nothing."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence

Headers = Mapping[bytes, bytes]
"""Of a reply; names in lower case."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_BLANK = "0" * 32
_ENCRYPTION = b"x-amz-server-side-encryption"
_CUSTOMER_KEY = b"x-amz-server-side-encryption-customer-algorithm"


def md5(content: bytes | bytearray = b"") -> hashlib._Hash:
    """Return an MD5 hash object. MD5 does not stop a forger, but S3's ETags are made of it."""
    return hashlib.md5(content, usedforsecurity=False)


def content_md5(content: bytes) -> str:
    """Return the value of the header Content-MD5 for a request body."""
    return b64encode(md5(content).digest()).decode()


def same_etag(one: str, other: str) -> bool:
    """Return whether two ETags (without quotes) are equal and depend on the content.

    An empty one does not, nor one of zeros: gateways to file systems give the same ETag to every file that others
    wrote, whatever it holds (MinIO's `defaultEtag` in cmd/fs-v1.go is 32 zeros and `-1`).
    """
    return one == other and one != "" and not one.startswith(_BLANK)


def checksums_match(first: Mapping[str, str], second: Mapping[str, str]) -> bool | None:
    """Return whether two objects' checksums by algorithm are equal, or None if they share no algorithm."""
    common = first.keys() & second.keys()
    return all(first[algorithm] == second[algorithm] for algorithm in common) if common else None


def is_md5(etag: str, headers: Headers) -> bool:
    """Return whether an object's ETag is the MD5 of its content.

    It is not for multipart uploads (`-N`), nor under KMS or a customer's key ("Checking object integrity", S3 user
    guide).
    """
    return not hides_digest(headers) and _MD5.fullmatch(etag) is not None


def hides_digest(headers: Headers) -> bool:
    """Return whether an object is encrypted such that its ETag is no digest of its content (KMS, customer's key)."""
    return _CUSTOMER_KEY in headers or headers.get(_ENCRYPTION, b"").startswith(b"aws:kms")


def composite_etag(etags: Sequence[str]) -> str:
    """Return the ETag of a multipart upload from its parts' ETags, or "" if one of these is no MD5.

    It is the MD5 of the parts' MD5s and their number ("Checking object integrity", S3 user guide).
    """
    if not all(_MD5.fullmatch(etag) for etag in etags):
        return ""
    parts = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{md5(parts).hexdigest()}-{len(etags)}"
