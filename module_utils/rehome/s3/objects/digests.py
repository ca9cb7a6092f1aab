"""Digests of content that was read, and what they prove when compared with what the service says about the object."""

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
"""Bytes from which hashing takes longer than starting a thread."""


class _Hash(Protocol):
    """The interface of hashlib's objects."""

    def update(self, data: bytearray, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    """CRC32 with hashlib's interface, in the byte order that S3 uses."""

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
"""Without CRC32C, CRC64NVME and the XXHASHes, for which Python would need a compiled library."""


class Digests:
    """Digests of content that is added piece by piece.

    algorithms: names as in `expected_digests`
    """

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes: dict[str, _Hash] = {name: _ALGORITHMS[name]() for name in algorithms}

    async def add(self, content: bytearray) -> None:
        """Add the next piece. A large one is hashed in a thread, as hashlib releases the GIL."""
        if len(content) < _LARGE:
            self._update(content)
        else:
            await asyncio.to_thread(self._update, content)

    def results(self) -> dict[str, bytes]:
        """Return the digests of all that was added, by algorithm."""
        return {name: one.digest() for name, one in self._hashes.items()}

    def _update(self, content: bytearray) -> None:
        for one in self._hashes.values():
            one.update(content)


def expected_digests(etag: str, headers: Headers, checksums: Mapping[str, str]) -> dict[str, bytes]:
    """Return the digests of the whole content that the service states and that can be computed here, by algorithm.

    etag: without quotes
    headers: of any reply to HEAD or GET
    checksums: of the whole content in base64, by algorithm in lower case
    """
    found = {"md5": bytes.fromhex(etag)} if is_md5(etag, headers) else {}
    for algorithm, value in checksums.items():
        if algorithm in _ALGORITHMS:
            with suppress(Base64Error):
                found[algorithm] = a2b_base64(value)
    return found


def check_digests(expected: Mapping[str, bytes], actual: Mapping[str, bytes]) -> Evidence | None:
    """Return what the digests of content that was read prove about it, or None if it is not the expected content.

    BYTES if its MD5 is the ETag, CHECKSUM if another digest is the expected one, SIZE if nothing is expected. A
    correct checksum outweighs an ETag that differs: some services' ETags only look like an MD5 (S3's directory
    buckets).

    actual: by all algorithms in `expected`
    """
    correct = {name: actual[name] == digest for name, digest in expected.items()}
    checksums = [correct[name] for name in correct if name != "md5"]
    if not all(checksums):
        return None
    if correct.get("md5"):
        return Evidence.BYTES
    if checksums:
        return Evidence.CHECKSUM
    return None if correct else Evidence.SIZE
