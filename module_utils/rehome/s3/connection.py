"""HTTP/1.1 over kept-alive connections: one protocol object per connection, one request on it at a time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, cast

import httptools

from .endpoint import Endpoint

Sink = Callable[[bytes], None]

_COLLECTED_LIMIT = 16 * 1024 * 1024
"""Bytes of a reply that are kept in memory; a full listing page with the longest keys has about 4 MiB."""


class Response(NamedTuple):
    """A whole reply.

    headers: names in lower case
    body: empty where a sink took it
    attempts: how many times the request was sent until this reply came
    repeated: an earlier sending of the same request may have taken effect although its reply was lost
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    attempts: int = 1
    repeated: bool = False


class Fault(StrEnum):
    """Why there is no whole reply."""

    UNREACHABLE = "EndpointUnreachable"
    UNTRUSTED = "CertificateNotTrusted"
    TIMEOUT = "ReadTimeout"
    CUT = "ConnectionBroken"
    GARBAGE = "InvalidReply"


class TransportError(Exception):
    """No whole reply came.

    sent: the request may have reached the server
    begun: part of the reply had come
    delivered: the sink was given part of the body
    """

    def __init__(self, fault: Fault, text: str, *, sent: bool, begun: bool = False, delivered: bool = False) -> None:
        super().__init__(text)
        self.fault = fault
        self.sent = sent
        self.begun = begun
        self.delivered = delivered


class _Reader:
    """Reads one reply after the other on a connection; httptools calls its `on_` methods.

    It lives as long as its connection: one made for each reply would leave a reference cycle each time.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin(head_only=False, sink=None)

    def begin(self, *, head_only: bool, sink: Sink | None) -> None:
        """Get ready for the next reply."""
        self._head_only = head_only
        self._sink = sink
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._collected = 0
        self._keep_alive = False
        self._surplus = False
        self.complete = False
        self.begun = False
        self.delivered = False

    def feed(self, data: bytes) -> None:
        """Raises httptools' errors where `data` is not HTTP/1.1."""
        self.begun = True
        self._parser.feed_data(data)

    @property
    def clean(self) -> bool:
        """Whether the connection is at the beginning of the next reply."""
        return self._keep_alive and not self._surplus

    def response(self) -> Response:
        return Response(self._status, self._headers, b"".join(self._chunks))

    def on_message_begin(self) -> None:
        self._surplus = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._head_only and self._status >= 200:
            # The parser cannot know that a reply to HEAD has no body, whatever length it announces.
            self._finish()
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, chunk: bytes) -> None:
        if self._head_only:
            self._surplus = True
        elif self._sink is not None and 200 <= self._status < 300:
            self.delivered = True
            self._sink(chunk)
        else:
            self._collected += len(chunk)
            if self._collected > _COLLECTED_LIMIT:
                raise ValueError("reply too long")
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._headers.clear()
        elif not self.complete:
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        self._keep_alive = self._parser.should_keep_alive()


class Connection(asyncio.Protocol):
    """One connection. `exchange` must have returned before it is called again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = _Reader()
        self._waiter: asyncio.Future[Response] | None = None
        self._streaming = False
        self._deadline = 0.0
        self._read_timeout = 0.0
        self.reusable = True

    async def exchange(
        self, request: bytes, *, head_only: bool, read_timeout: float, sink: Sink | None = None
    ) -> Response:
        """Send `request` (head and body) and wait for the whole reply.

        head_only: the request is a HEAD
        read_timeout: seconds for the whole reply, or between two chunks where a sink takes them
        sink: receives the body of a 2xx reply instead of `Response.body`

        Raises TransportError.
        """
        if self._transport is None or not self.reusable:
            raise TransportError(Fault.CUT, "the server closed the connection", sent=False)
        self._reader.begin(head_only=head_only, sink=sink)
        self._streaming = sink is not None
        self._read_timeout = read_timeout
        self._deadline = self._loop.time() + read_timeout
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_at(self._deadline, self._expire, waiter)
        self._transport.write(request)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Drop the connection, with whatever is under way on it."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        waiter, reader = self._waiter, self._reader
        if waiter is None or waiter.done():
            # Nothing is asked: whatever this is, it must not be taken for the next request's reply.
            self.close()
            return
        if self._streaming:
            self._deadline = self._loop.time() + self._read_timeout
        try:
            reader.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Fault.GARBAGE, "the reply is not HTTP/1.1 that can be read")
            return
        if reader.complete:
            if not reader.clean:
                self.close()
            self._waiter = None
            waiter.set_result(reader.response())

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self._transport = None
        self._fail(Fault.CUT, f"the connection broke before the reply was whole{f' ({error})' if error else ''}")

    def _expire(self, waiter: asyncio.Future[Response]) -> None:
        if waiter is not self._waiter or waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._loop.call_at(self._deadline, self._expire, waiter)
        else:
            self._fail(Fault.TIMEOUT, f"no reply within {self._read_timeout:g} s")

    def _fail(self, fault: Fault, text: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            reader = self._reader
            waiter.set_exception(TransportError(fault, text, sent=True, begun=reader.begun, delivered=reader.delivered))
        self.close()


async def dial(endpoint: Endpoint, connect_timeout: float) -> Connection:
    """Open a connection.

    connect_timeout: seconds for name, TCP and TLS together

    Raises TransportError with `sent` False.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout):
            _, connection = await loop.create_connection(Connection, endpoint.host, endpoint.port, ssl=endpoint.tls)
    except ssl.SSLCertVerificationError as error:
        raise TransportError(Fault.UNTRUSTED, error.verify_message, sent=False) from None
    except TimeoutError:
        raise TransportError(Fault.UNREACHABLE, f"no connection within {connect_timeout:g} s", sent=False) from None
    except OSError as error:
        raise TransportError(Fault.UNREACHABLE, error.strerror or str(error), sent=False) from None
    return connection


class Pool:
    """Keeps connections for the next request.

    How many are in use at once is the caller's affair (`pacing`); at most `maximum` are kept while idle.
    """

    def __init__(self, endpoint: Endpoint, maximum: int, connect_timeout: float) -> None:
        self._endpoint = endpoint
        self._maximum = maximum
        self._connect_timeout = connect_timeout
        self._idle: list[Connection] = []

    async def exchange(
        self, request: bytes, *, head_only: bool, read_timeout: float, sink: Sink | None = None
    ) -> Response:
        """As `Connection.exchange`, on a kept connection or a new one.

        A kept connection that the server had closed meanwhile is replaced and the request sent again; the
        response then says `repeated`, as the server may have acted on it.
        """
        kept = self._take_idle()
        connection = kept or await self._dial()
        try:
            response = await connection.exchange(request, head_only=head_only, read_timeout=read_timeout, sink=sink)
        except TransportError as error:
            if kept is None or error.fault is not Fault.CUT or error.begun:
                raise
            return await self._exchange_again(error.sent, request, head_only, read_timeout, sink)
        self._keep(connection)
        return response

    def close(self) -> None:
        """Drop the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _dial(self) -> Connection:
        return await dial(self._endpoint, self._connect_timeout)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if connection.reusable and len(self._idle) < self._maximum:
            self._idle.append(connection)
        else:
            connection.close()

    async def _exchange_again(
        self, sent: bool, request: bytes, head_only: bool, read_timeout: float, sink: Sink | None
    ) -> Response:
        try:
            connection = await self._dial()
            response = await connection.exchange(request, head_only=head_only, read_timeout=read_timeout, sink=sink)
        except TransportError as error:
            error.sent = error.sent or sent
            raise
        self._keep(connection)
        return response._replace(repeated=sent)
