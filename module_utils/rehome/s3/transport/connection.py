"""HTTP/1.1 over keep-alive connections: one protocol object per connection, one request on it at a time."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from math import inf
from typing import NamedTuple, Protocol, cast

import httptools

Sink = Callable[[bytes], None]
"""Receives a body in chunks."""


class PacedSink(Protocol):
    """A sink that may be slower than the server."""

    def __call__(self, chunk: bytes) -> None:
        """Take the next chunk."""

    def begin_from(self, connection: Connection) -> None:
        """Called before the reply: this connection can be told to pause and to resume."""


class Producer(Protocol):
    """A body that is made while it is sent."""

    length: int
    """In bytes; what `Connection.send` gets in all."""

    def begin(self, connection: Connection) -> None:
        """Give the content from its start to `connection.send`, or an error to `connection.abandon`."""

    def pause(self) -> None:
        """Called when more chunks would only fill the memory."""

    def resume(self) -> None:
        """Called when there is room for more."""

    def end(self) -> None:
        """Called when nothing more can be sent, whether all was or not."""


Body = bytes | bytearray | Producer


class Borrower(Protocol):
    """What receives or sends part of a body on a connection's socket, past its transport."""

    def stop(self) -> None:
        """Called when the connection is closed: let go of its socket."""


_COLLECTED_LIMIT = 16 * 1024 * 1024
"""Most bytes of a reply in memory; a full page of a listing with the longest keys has about 4 MiB."""

_TOTAL_TIMEOUTS = 10
"""Maximum duration of a reply, in read timeouts."""

_SHORT_REPLY = 4096
"""Bytes up to which what came with a head is kept with it: to cut it off takes longer."""

_SLICE = 256 * 1024
"""Bytes of a body that are handed to the transport at once. TLS encrypts them into a copy."""

_JOINED = 64 * 1024
"""Up to this length a body is sent in one piece with its head."""

_WRITE_AHEAD = 1024 * 1024
"""Bytes that may wait in the transport."""

_UNPARSED = 64 * 1024
"""From this length on, a body is counted and not parsed, which would copy each chunk once more."""


class Headers(Mapping[bytes, bytes]):
    """The headers of a reply, names in lower case. They are only read if one is asked for: most replies to a copy need
    none, and to take each from the parser would cost more than all the rest of a reply.

    head: begins with the status line and the lines of the headers, which the parser found to be well-formed
    """

    __slots__ = ("_found", "_head")

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._found: dict[bytes, bytes] | None = None

    def __getitem__(self, name: bytes) -> bytes:
        return self._all()[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[bytes, bytes]:
        if self._found is None:
            _, *lines = _cut(self._head)[0].split(b"\r\n")
            found = (line.partition(b":") for line in lines)
            self._found = {name.lower(): value.strip() for name, _, value in found}
        return self._found


def _cut(reply: bytes) -> tuple[bytes, bytes]:
    """Return the head of a reply, and what follows it."""
    head, _, rest = reply.lstrip(b"\r\n").partition(b"\r\n\r\n")
    return head, rest


class Response(NamedTuple):
    """A complete reply.

    headers: names in lower case
    body: empty if a sink received it
    attempts: how many times the request was sent
    repeated: an earlier attempt may have taken effect although its reply was lost
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes
    attempts: int = 1
    repeated: bool = False


class Fault(StrEnum):
    """Why there is no complete reply."""

    UNREACHABLE = "EndpointUnreachable"
    UNTRUSTED = "CertificateNotTrusted"
    TIMEOUT = "ReadTimeout"
    BROKEN = "ConnectionBroken"
    INVALID = "InvalidReply"
    PROXY = "ProxyRefused"


class TransportError(Exception):
    """There is no complete reply.

    sent: the request may have reached the server
    begun: part of the reply arrived
    delivered: the sink received part of the body
    """

    def __init__(self, fault: Fault, text: str, *, sent: bool, begun: bool = False, delivered: bool = False) -> None:
        super().__init__(text)
        self.fault = fault
        self.sent = sent
        self.begun = begun
        self.delivered = delivered


class _Reader:
    """Parses the replies on a connection, one after the other; httptools calls its `on_` methods.

    There is one per connection: one per reply would leave a reference cycle each time.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin(head_only=False, sink=None)

    def begin(self, *, head_only: bool, sink: Sink | None) -> None:
        """Prepare for the next reply."""
        self._head_only = head_only
        self._sink = sink
        self._status = 0
        self._head = b""
        self._in_head = True
        self._chunks: list[bytes] = []
        self._collected = 0
        self._keep_alive = False
        self._surplus = False
        self._left = 0
        self.complete = False
        self.begun = False
        self.delivered = False

    def feed(self, data: bytes) -> None:
        """Parse more bytes of the reply. Raises httptools' errors if they are not HTTP/1.1."""
        if self._left and self._sink is not None:
            self._pass_on(data, self._sink)
            return
        self.begun = True
        if self._in_head:
            self._head += data
        self._parser.feed_data(data)

    @property
    def left(self) -> int:
        """Bytes of the body that are still to come, if it is counted and not parsed; else 0."""
        return self._left

    def skip(self, count: int) -> None:
        """Count bytes of the body that came another way; not the last one, which ends the reply."""
        self._left -= count
        self.delivered = True

    @property
    def clean(self) -> bool:
        """Whether the connection may be used for another request."""
        return self._keep_alive and not self._surplus

    @property
    def succeeded(self) -> bool:
        """Whether the reply reports success."""
        return 200 <= self._status < 300

    def response(self) -> Response:
        """Return the reply, once it is `complete`."""
        return Response(self._status, Headers(self._head), b"".join(self._chunks))

    def end(self) -> None:
        """Let go of what has received the reply: it has memory that others wait for."""
        self._sink = None
        self._chunks = []

    def on_message_begin(self) -> None:
        self._surplus = self.complete

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._status = self._parser.get_status_code()
        # What came with an interim reply is the reply.
        if len(self._head) > _SHORT_REPLY and self._status >= 200:
            self._head, _ = _cut(self._head)
        if self._head_only and self._status >= 200:
            # The parser does not know that the reply to a HEAD has no body, whatever its content-length says.
            self._finish()
            self._parser = httptools.HttpResponseParser(self)
        elif self._sink is not None and self.succeeded:
            headers = Headers(self._head)
            length = int(headers.get(b"content-length", b"0"))
            if length >= _UNPARSED and b"transfer-encoding" not in headers:
                self._left = length

    def _pass_on(self, data: bytes, sink: Sink) -> None:
        """Give part of a body to the sink, whose length is known."""
        surplus = len(data) - self._left
        self._left = max(0, -surplus)
        self.delivered = True
        try:
            sink(data[:-surplus] if surplus > 0 else data)
        except Exception as error:
            # As the parser reports errors of the sinks that it calls.
            raise httptools.HttpParserCallbackError from error
        if not self._left:
            self._finish()
            self._surplus = surplus > 0
            # This parser still waits for the body.
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, chunk: bytes) -> None:
        if self._head_only:
            self._surplus = True
        elif self._sink is not None and self.succeeded:
            self.delivered = True
            if self._left:
                self._left -= len(chunk)
            self._sink(chunk)
        else:
            self._collected += len(chunk)
            if self._collected > _COLLECTED_LIMIT:
                raise ValueError("reply too long")
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self._status < 200:
            # What follows it is the reply.
            _, self._head = _cut(self._head)
            self._in_head = True
        elif not self.complete:
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        self._keep_alive = self._parser.should_keep_alive()


class _Slices:
    """A `Producer` of content that is in memory."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._content = memoryview(content)
        self.length = len(content)

    def begin(self, connection: Connection) -> None:
        self._connection = connection
        self._at = 0
        self.resume()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        while not self._paused and self._at < self.length:
            start, self._at = self._at, self._at + _SLICE
            self._connection.send(self._content[start : self._at])

    def end(self) -> None:
        self._at = self.length


class Connection(asyncio.BaseProtocol):
    """One connection. Await each `exchange` before the next one.

    reusable: False once it is closed, by either end
    opened_at, used_at: when it was opened and last used, in the loop's time
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = _Reader()
        self._waiter: asyncio.Future[Response] | None = None
        self._read_timeout = 0.0
        self._deadline = 0.0
        self._end = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._reading_paused = False
        self._producer: Producer | None = None
        self._head = b""
        self._unsent = 0
        self._writing_paused = False
        self._borrower: Borrower | None = None
        self.opened_at = self.used_at = self._loop.time()
        self.reusable = True

    async def exchange(
        self, head: bytes, *, head_only: bool, read_timeout: float, sink: Sink | None = None, body: Body = b""
    ) -> Response:
        """Send a request and wait for the complete reply.

        head: with the empty line at its end
        head_only: the request is a HEAD
        read_timeout: seconds of silence. Without a sink, the complete reply may take ten times as long: S3 sends
            white space during a long copy (CopyObject, S3 API reference), but not for ever.
        sink: receives the body of a 2xx reply, in place of `Response.body`
        body: of the request. A producer's first chunk takes the head along: the server cannot be silent before. From
            then on the producer's silence counts as the server's.

        Raises TransportError, and what a producer calls `abandon` with.
        """
        if self._transport is None or not self.reusable:
            raise TransportError(Fault.BROKEN, "the server closed the connection", sent=False)
        self._reader.begin(head_only=head_only, sink=sink)
        now = self._loop.time()
        self.used_at = now
        self._read_timeout = read_timeout
        self._deadline = now + read_timeout
        self._end = inf if sink is not None else now + _TOTAL_TIMEOUTS * read_timeout
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        if self._timer is None or self._timer_at > self._deadline:
            self._set_timer()
        if sink is not None and (begin_from := getattr(sink, "begin_from", None)) is not None:
            begin_from(self)
        try:
            if body:
                return await self._exchange_with_body(head, body, waiter)
            self._transport.write(head)
            return await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            # It has the error, that its traceback, and this the sink: such a circle would stay until a collection.
            del waiter

    async def _exchange_with_body(self, head: bytes, body: Body, waiter: asyncio.Future[Response]) -> Response:
        if isinstance(body, bytes | bytearray) and len(body) <= _JOINED:
            cast(asyncio.Transport, self._transport).write(head + body)
        else:
            self._producer = producer = _Slices(body) if isinstance(body, bytes | bytearray) else body
            self._head, self._unsent, self._end = head, producer.length, inf
            producer.begin(self)
        try:
            return await waiter
        finally:
            del waiter
            if self._producer is not None:
                self._producer.end()
                self._producer = None

    def send(self, chunk: bytes | memoryview) -> None:
        """Send the next chunk of a producer's body; nothing once the reply or an error is there."""
        if self._waiter is None or self._transport is None:
            return
        self.count_sent(len(chunk))
        if self._head:
            chunks, self._head = (self._head, chunk), b""
            self._transport.writelines(chunks)
        else:
            self._transport.write(chunk)

    def count_sent(self, count: int) -> None:
        """Count bytes of a producer's body; `send` does."""
        now = self._loop.time()
        self._unsent -= count
        self._deadline = now + self._read_timeout
        if not self._unsent:
            self._end = now + _TOTAL_TIMEOUTS * self._read_timeout

    @property
    def body_left(self) -> int:
        """Bytes of the reply's body that are still to come; 0 if that is not known, or it is not for a sink."""
        return self._reader.left

    def count_received(self, count: int) -> None:
        """Count bytes of the reply's body that the borrower received; it must leave the last one to the transport."""
        self._reader.skip(count)
        self._deadline = self._loop.time() + self._read_timeout

    def duplicate(self) -> int:
        """Return a descriptor of the socket, to be closed by the caller. Raises OSError if there is none."""
        found = None if self._transport is None else self._transport.get_extra_info("socket")
        if found is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return os.dup(found.fileno())

    def lend_input(self, borrower: Borrower) -> None:
        """Let `borrower` receive what comes next, until `take_input`. It may pause and resume as before."""
        self.pause_reading()
        self._borrower = borrower

    def take_input(self) -> None:
        """Receive again what comes next."""
        self._borrower = None
        self._reading_paused = True
        self.resume_reading()

    def lend_output(self, borrower: Borrower) -> None:
        """Let `borrower` send what comes next, until `take_output`.

        The producer is paused while the transport has anything to be sent before.
        """
        self._borrower = borrower
        if self._transport is not None:
            self._transport.set_write_buffer_limits(0)

    def take_output(self) -> None:
        """Send again what comes next."""
        self._borrower = None
        if self._transport is not None:
            self._transport.set_write_buffer_limits(_WRITE_AHEAD)

    def abandon(self, error: Exception) -> None:
        """End an exchange whose producer cannot go on: it raises `error`."""
        waiter, self._waiter = self._waiter, None
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def pause_reading(self) -> None:
        """Receive nothing more for now: what receives the reply is behind. The server's silence does not count."""
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            if self._borrower is None:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        if self._reading_paused:
            self._reading_paused = False
            self._deadline = self._loop.time() + self._read_timeout
            if self._transport is not None and self._borrower is None and not self._transport.is_closing():
                self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Called by asyncio when enough waits to be sent."""
        self._writing_paused = True
        if self._producer is not None:
            self._producer.pause()

    def resume_writing(self) -> None:
        """Called by asyncio when there is room for more."""
        self._writing_paused = False
        if self._producer is not None:
            self._producer.resume()

    def close(self) -> None:
        """Close the connection and abort what is in flight on it."""
        self.reusable = False
        self._end_loan()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio once the connection is open."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_WRITE_AHEAD)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with bytes from the server."""
        waiter, reader = self._waiter, self._reader
        if waiter is None or waiter.done():
            # No request is in flight: these bytes must not be taken for the next request's reply.
            self.close()
            return
        try:
            reader.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Fault.INVALID, "the reply is not HTTP/1.1 that can be read")
            return
        if reader.complete:
            if self._unsent and reader.succeeded:
                self._fail(Fault.INVALID, "the server reports success before it has the whole body")
                return
            if not reader.clean or self._unsent or self._writing_paused:
                # A refusal need not wait for the whole body, whose remainder would be taken for another request. If
                # all was given to the transport, which has too much of it, the next body would not be paused.
                self._unsent = 0
                self.close()
            if self._reading_paused:
                # The last chunk was one too many for the sink; the next reply must come nevertheless.
                self.resume_reading()
            self._waiter = None
            waiter.set_result(reader.response())
            reader.end()
        else:
            self._deadline = min(self._loop.time() + self._read_timeout, self._end)

    def eof_received(self) -> None:
        """Called by asyncio when the server sends nothing more: it closes the connection then."""

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio when the connection is closed, by either end."""
        self.reusable = False
        self._end_loan()
        self._transport = None
        self._fail(Fault.BROKEN, f"the connection broke before the reply was complete{f' ({error})' if error else ''}")
        # It and its parser know each other, so that what it was read into would stay until a collection.
        self._reader.end()

    def _end_loan(self) -> None:
        borrower, self._borrower = self._borrower, None
        if borrower is not None:
            borrower.stop()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        # One timer serves many requests: one per request would cost more than to parse the head of the reply.
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._reading_paused or self._head:
            self._deadline = self._loop.time() + self._read_timeout
        if self._loop.time() < self._deadline:
            self._set_timer()
        elif self._deadline == self._end:
            self._fail(Fault.TIMEOUT, f"no complete reply within {_TOTAL_TIMEOUTS * self._read_timeout:g} s")
        else:
            self._fail(Fault.TIMEOUT, f"no reply within {self._read_timeout:g} s")

    def _fail(self, fault: Fault, text: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            reader = self._reader
            waiter.set_exception(TransportError(fault, text, sent=True, begun=reader.begun, delivered=reader.delivered))
        self.close()


class TlsConnection(Connection, asyncio.BufferedProtocol):
    """A connection over TLS. What arrives is decrypted into a buffer that all connections of an event loop may share.

    Without one, uvloop has each read decrypted into new memory of 256 KiB, of which most is given back at once: the
    system maps and unmaps it every time, which took a fifth of a copy's CPU.
    """

    def __init__(self, buffer: memoryview) -> None:
        super().__init__()
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by asyncio before each read; what is in the buffer is used up by then."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called by asyncio with the number of bytes that were read."""
        self.data_received(bytes(self._buffer[:nbytes]))
