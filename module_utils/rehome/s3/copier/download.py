"""Content of an object, read whole or in part into memory that was set aside for it."""

from __future__ import annotations

from ..client.client import Client
from ..errors import S3Error, S3StopError, read_error
from ..objects.compare import etag_of
from ..objects.job import SourceChanged
from ..transport.connection import Response

_ATTEMPTS = 4


class _Filler:
    """A sink that fills `content` from its beginning."""

    def __init__(self, content: bytearray) -> None:
        self._room = memoryview(content)
        self.filled = 0
        self.overflowed = False

    def __call__(self, chunk: bytes) -> None:
        end = self.filled + len(chunk)
        if end > len(self._room):
            # Refused at once: a server that ignores `Range` would go on to send the whole object.
            self.overflowed = True
            raise ValueError("more content than was asked for")
        self._room[self.filled : end] = chunk
        self.filled = end


async def read_whole(source: Client, key: str, etag: str, content: bytearray) -> Response:
    """GET the object into `content`, which must have exactly its size.

    The reply has the object's checksums where the service keeps some. As `read_range` in all else.
    """
    return await _read(source, key, etag, {"x-amz-checksum-mode": "ENABLED"}, content)


async def read_range(source: Client, key: str, etag: str, offset: int, content: bytearray) -> Response:
    """GET as many bytes as `content` has, from `offset` on.

    etag: that the object must have, without quotes

    A reply that breaks in the middle is asked for anew, four times in all, from its own beginning and not
    from where it broke: what is whole is then always one reply to one request.

    Returns the reply, without its body. Raises SourceChanged, S3StopError and S3Error, the latter also for a
    reply that is longer or shorter than what was asked for (WrongLength).
    """
    return await _read(source, key, etag, {"range": f"bytes={offset}-{offset + len(content) - 1}"}, content)


async def _read(source: Client, key: str, etag: str, more: dict[str, str], content: bytearray) -> Response:
    headers = {"if-match": f'"{etag}"', **more}
    for attempt in range(1, _ATTEMPTS + 1):
        filler = _Filler(content)
        try:
            reply = await source.request("GET", key, headers=headers, sink=filler)
        except S3StopError:
            raise
        except S3Error as error:
            if filler.overflowed:
                raise _wrong_length(key, len(content), "more") from None
            if error.status or attempt == _ATTEMPTS:
                raise
        else:
            _check(reply, key, etag, len(content), filler.filled)
            return reply
    raise AssertionError("the last attempt returns or raises")


def _check(reply: Response, key: str, etag: str, expected: int, filled: int) -> None:
    if reply.status not in (200, 206):
        raise SourceChanged(read_error(reply.status, reply.body)[0])
    if etag_of(reply) not in ("", etag):
        # Some services ignore `If-Match`.
        raise SourceChanged("PreconditionFailed")
    if filled != expected:
        raise _wrong_length(key, expected, str(filled))


def _wrong_length(key: str, expected: int, found: str) -> S3Error:
    return S3Error(200, "WrongLength", f"{expected} bytes were asked for, the reply has {found}", key, verb="GET")


def damaged_error(key: str) -> S3Error:
    """Content that is not what the source's own digests say: nothing of it may be stored."""
    message = "what was read is not what the source's ETag or checksum says"
    # With a status that stands for good, as no later attempt is likely to read anything else.
    return S3Error(400, "ContentDiffers", message, key, verb="GET")
