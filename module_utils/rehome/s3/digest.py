"""What a service says about an object's content, held against the content that was read or sent."""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from .compare import Evidence

Headers = Mapping[bytes, bytes]
"""A reply's; names in lower case."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_ENCRYPTION = b"x-amz-server-side-encryption"
_CUSTOMER_KEY = b"x-amz-server-side-encryption-customer-algorithm"

_LARGE = 1024**2
"""Bytes from which hashing takes longer than a thread's start."""


class _Hash(Protocol):
    """What hashlib's objects have."""

    def update(self, data: bytearray, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    """CRC32 as hashlib would have it, in the byte order that S3 writes it in."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytearray, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def md5(content: bytes | bytearray = b"") -> hashlib._Hash:
    """MD5, which is no proof against a forger, but what S3's ETags are made of."""
    return hashlib.md5(content, usedforsecurity=False)


_ALGORITHMS: Mapping[str, Callable[[], _Hash]] = {
    "md5": md5,
    "crc32": _Crc32,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
"""Without CRC32C, CRC64NVME and the XXHASHes, which Python would need a compiled library for."""


class Digests:
    """Digests of content that is given piece by piece, by these algorithms (names as in `claims`)."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes: dict[str, _Hash] = {name: _ALGORITHMS[name]() for name in algorithms}

    async def add(self, content: bytearray) -> None:
        """Take in the next piece; a large one in a thread, as hashing leaves the interpreter to others."""
        if len(content) < _LARGE:
            self._update(content)
        else:
            await asyncio.to_thread(self._update, content)

    def results(self) -> dict[str, bytes]:
        """The digests of all that was added, by algorithm."""
        return {name: one.digest() for name, one in self._hashes.items()}

    def _update(self, content: bytearray) -> None:
        for one in self._hashes.values():
            one.update(content)


def claims(etag: str, headers: Headers, checksums: Mapping[str, str]) -> dict[str, bytes]:
    """The digests of the whole content that can be recomputed here, by algorithm.

    etag: without quotes
    headers: of any reply to HEAD or GET
    checksums: of the whole content, in base64, by algorithm in lower case
    """
    found = {"md5": bytes.fromhex(etag)} if is_md5(etag, headers) else {}
    for algorithm, value in checksums.items():
        if algorithm in _ALGORITHMS:
            with suppress(Base64Error):
                found[algorithm] = a2b_base64(value)
    return found


def verdict(claimed: Mapping[str, bytes], found: Mapping[str, bytes]) -> Evidence | None:
    """What the claims prove about content with these digests.

    BYTES where its MD5 is the ETag, CHECKSUM where another digest is the claimed one, SIZE where nothing is
    claimed; None where the content is not what the claims say. A checksum that is right outweighs an ETag
    that is not: some services' ETags only look like an MD5 (S3's directory buckets).
    """
    right = {name: found[name] == digest for name, digest in claimed.items()}
    checksums = [right[name] for name in right if name != "md5"]
    if not all(checksums):
        return None
    if right.get("md5"):
        return Evidence.BYTES
    if checksums:
        return Evidence.CHECKSUM
    return None if right else Evidence.SIZE


def agreement(first: Mapping[str, str], second: Mapping[str, str]) -> bool | None:
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
