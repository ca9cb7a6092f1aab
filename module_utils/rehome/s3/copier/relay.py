"""Send an object on while it is read: little of it is in memory at any time, whatever its size."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from ..client.client import Client
from ..errors import S3RequestError
from ..transport.connection import Connection, Response
from ..transport.splice import Splice, splice
from .download import Counter, read_once

_AHEAD = 1024 * 1024
"""Bytes that are read ahead of what the target takes."""

RELAY_BYTES = 3 * 1024 * 1024
"""What a relay has in memory: here, in the sending transport, and in the buffers of TLS."""


_TIMEOUT = 120.0
"""Seconds in which nothing could be sent, more than a source may be silent, and until the reply afterwards."""

_ATTEMPTS = 4


class Relay:
    """The content of a source object as the body of a request; a `Producer`.

    Where it can, most of the content does not enter this process (`splice`).

    Each time it begins, the object is read again from its start, in one reply, so that what one request sends is never
    of two replies. The last chunk is sent only once the whole reply was read and checked (`read_once`): until then the
    target has no complete object.

    etag: of the object; another one is not sent
    length: of the object, or of a part of it
    offset: where the part begins; None: it is the whole object
    """

    def __init__(self, source: Client, key: str, etag: str, length: int, offset: int | None = None) -> None:
        self._source = source
        self._key = key
        self._etag = etag
        self._offset = offset
        self.length = length
        self._reading: _Reading | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, connection: Connection) -> None:
        """Read the object, and send it over `connection`."""
        self.end()
        self._reading = _Reading(self.length, connection)
        self._task = asyncio.get_running_loop().create_task(self._read(self._reading, connection))

    async def _read(self, reading: _Reading, connection: Connection) -> None:
        try:
            await read_once(self._source, self._key, self._etag, reading, reading, self._offset)
        except Exception as error:
            connection.abandon(error)
        else:
            reading.complete()

    def pause(self) -> None:
        """Send nothing for now."""
        if self._reading is not None:
            self._reading.pause()

    def resume(self) -> None:
        """Send what has come, and read on."""
        if self._reading is not None:
            self._reading.resume()

    def end(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
        if self._reading is not None:
            self._reading.end()
        self._reading = self._task = None


async def put_relayed(
    target: Client, key: str, relay: Relay, headers: Mapping[str, str], query: Sequence[tuple[str, str]] = ()
) -> Response:
    """PUT what `relay` reads, again from its start if its source's reply breaks off, up to 4 times.

    Raises what `Client.request` does for the target, and `read_once` for the source.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return await _put_once(target, key, relay, headers, query)
        except S3RequestError as error:
            if error.status or error.verb != "GET":
                raise
    return await _put_once(target, key, relay, headers, query)


async def _put_once(
    target: Client, key: str, relay: Relay, headers: Mapping[str, str], query: Sequence[tuple[str, str]]
) -> Response:
    return await target.request(
        "PUT", key, query=query, headers=headers, body=relay, read_timeout=_TIMEOUT, proven=True
    )


class _Reading(Counter):
    """One reply with the content, on its way to one connection; a `PacedSink`."""

    def __init__(self, length: int, outlet: Connection) -> None:
        super().__init__(length)
        self._outlet = outlet
        self._inlet: Connection | None = None
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._held = 1
        self._paused = False
        self._began = False
        self._middle: Splice | None = None

    def complete(self) -> None:
        """Send the end: the whole reply was read and checked."""
        # The connection is another request's by now.
        self._inlet = None
        self._held = 0
        self._send()

    def end(self) -> None:
        """Let go of what moves the middle: it knows this as well, and would keep what has come until a collection."""
        self._middle = None

    def begin_from(self, connection: Connection) -> None:
        """Remember the connection that the content comes from, to pause it."""
        self._inlet = connection

    def __call__(self, chunk: bytes) -> None:
        self.add(chunk)
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        if not self._began and self._inlet is not None:
            self._began = True
            left = self.expected - self.filled
            self._middle = splice(self._inlet, self._outlet, left, self._passed, self._go_on)
            self._held = 0 if self._middle else 1
        if not self._paused:
            self._send()
        elif self._bytes > _AHEAD and self._inlet is not None:
            self._inlet.pause_reading()

    def pause(self) -> None:
        """Send nothing for now."""
        self._paused = True

    def resume(self) -> None:
        """Send what has come, and read on."""
        self._paused = False
        self._send()
        # During the middle, that knows whether the source is waited for.
        if not self._paused and self._middle is None and self._inlet is not None:
            self._inlet.resume_reading()

    def _send(self) -> None:
        while not self._paused and len(self._waiting) > self._held:
            chunk = self._waiting.popleft()
            self._bytes -= len(chunk)
            self._outlet.send(chunk)
        if self._middle is not None and not self._paused:
            self._middle.begin()

    def _passed(self, count: int) -> None:
        self.filled += count

    def _go_on(self, rest: bytes) -> None:
        """Take what comes behind the middle."""
        self._middle = None
        self._held = 1
        if rest:
            self._waiting.append(rest)
            self._bytes += len(rest)
        self._send()
