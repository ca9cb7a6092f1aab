"""Read an object, whole or in part: into a buffer, or as it comes."""

from __future__ import annotations

from typing import Self

from ..client.client import Client
from ..errors import S3Error, S3RequestError, read_error
from ..objects.compare import etag_of
from ..objects.job import SourceChanged
from ..transport.connection import Response, Sink


class _OverflowError(Exception):
    """A reply is longer than requested."""


class Counter:
    """Counts the bytes of one reply.

    expected: so many must come
    """

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.filled = 0
        self.overflowed = False

    def add(self, chunk: bytes) -> None:
        """Count a chunk. Raises an error, which ends the reply, if it is one too many."""
        filled = self.filled + len(chunk)
        if filled > self.expected:
            # Refused at once: a server that ignores `Range` would send the whole object.
            self.overflowed = True
            raise _OverflowError
        self.filled = filled


class _BufferSink(Counter):
    """A sink that fills `content` from its start."""

    def __init__(self, content: bytearray) -> None:
        super().__init__(len(content))
        self._buffer = memoryview(content)

    def __call__(self, chunk: bytes) -> None:
        start = self.filled
        self.add(chunk)
        self._buffer[start : self.filled] = chunk

    def begin(self) -> Self:
        """Fill from the start again. Raises _OverflowError if an earlier reply was too long."""
        if self.overflowed:
            raise _OverflowError
        self.filled = 0
        return self


async def read_whole(source: Client, key: str, etag: str, content: bytearray) -> Response:
    """GET the object into `content`, which must have exactly its size; otherwise as `read_range`.

    The reply has the object's checksums if the service stores any.
    """
    return await _read(source, key, etag, {"x-amz-checksum-mode": "ENABLED"}, content)


async def read_range(source: Client, key: str, etag: str, offset: int, content: bytearray) -> Response:
    """GET as many bytes as `content` has, from byte `offset` on.

    etag: that the object must have, without quotes

    If a reply breaks off, the request is repeated, up to four attempts in all. Each reads everything again, not from
    where the reply broke, so that the content is always that of a single reply.

    Returns the reply, without its body. Raises SourceChanged, S3StopError and S3Error; the latter also if a reply is
    longer or shorter than requested (WrongLength).
    """
    return await _read(source, key, etag, {"range": _range(offset, len(content))}, content)


async def read_once(
    source: Client, key: str, etag: str, counter: Counter, sink: Sink, offset: int | None = None
) -> Response:
    """GET the object once, chunk by chunk, or from byte `offset` on what `counter` expects; otherwise as `read_range`.

    counter: of what `sink` gets, which gives it each chunk
    """
    headers = {"if-match": f'"{etag}"'}
    if offset is not None:
        headers["range"] = _range(offset, counter.expected)
    try:
        reply = await source.request("GET", key, headers=headers, sink=sink)
    except S3RequestError:
        if counter.overflowed:
            raise _wrong_length(key, counter.expected, "more") from None
        raise
    _check(reply, key, etag, counter)
    return reply


def _range(offset: int, length: int) -> str:
    return f"bytes={offset}-{offset + length - 1}"


async def _read(source: Client, key: str, etag: str, extra_headers: dict[str, str], content: bytearray) -> Response:
    sink = _BufferSink(content)
    try:
        reply = await source.download(key, {"if-match": f'"{etag}"', **extra_headers}, sink.begin)
    except (S3RequestError, _OverflowError):
        if sink.overflowed:
            raise _wrong_length(key, len(content), "more") from None
        raise
    _check(reply, key, etag, sink)
    return reply


def _check(reply: Response, key: str, etag: str, counter: Counter) -> None:
    if reply.status not in (200, 206):
        raise SourceChanged(read_error(reply.status, reply.body)[0])
    if etag_of(reply) not in ("", etag):
        # Some services ignore `If-Match`.
        raise SourceChanged("PreconditionFailed")
    filled, expected = counter.filled, counter.expected
    if filled != expected:
        encoding = reply.headers.get(b"content-encoding", b"").decode("latin-1")
        raise _wrong_length(key, expected, f"{filled}, with Content-Encoding {encoding}" if encoding else str(filled))


def _wrong_length(key: str, expected: int, found: str) -> S3Error:
    return S3RequestError(
        200,
        "WrongLength",
        f"{expected} bytes were requested, and the reply has {found}: it is not what the service stores, as if "
        "something on the way had packed or unpacked it",
        key,
        verb="GET",
    )


def damaged_error(key: str) -> S3Error:
    """Return the error for content that does not match the source's digests, and must not be stored."""
    message = "the content that was read does not match the source's ETag or checksum"
    # A status that is not transient, as another attempt is unlikely to read anything else.
    return S3RequestError(400, "ContentDiffers", message, key, verb="GET")
