"""What a service says about an object's content, held against the content that was read or sent."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from .compare import Evidence
from .etags import Headers, is_md5, md5

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


_ALGORITHMS: Mapping[str, Callable[[], _Hash]] = {
    "md5": md5,
    "crc32": _Crc32,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
"""Without CRC32C, CRC64NVME and the XXHASHes, which Python would need a compiled library for."""


class Digests:
    """Digests of content that is given piece by piece, by these algorithms (names as in `expected_digests`)."""

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


def expected_digests(etag: str, headers: Headers, checksums: Mapping[str, str]) -> dict[str, bytes]:
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


def check_digests(claimed: Mapping[str, bytes], found: Mapping[str, bytes]) -> Evidence | None:
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
