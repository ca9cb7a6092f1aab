"""A pool of keep-alive connections to one endpoint."""

from __future__ import annotations

from .connection import Body, Connection, Fault, Response, Sink, TransportError
from .dialer import Dialer

_LIFETIME = 300.0
"""Seconds until a connection is replaced, so that new addresses of the endpoint are used."""


class Pool:
    """Keeps idle connections for later requests, at most `maximum`.

    How many are in use at once is up to the caller (`client.pacing`).
    """

    def __init__(self, dialer: Dialer, maximum: int) -> None:
        self._dialer = dialer
        self._maximum = maximum
        self._idle: list[Connection] = []
        self._closed = False

    async def exchange(
        self, head: bytes, *, head_only: bool, read_timeout: float, sink: Sink | None = None, body: Body = b""
    ) -> Response:
        """Like `Connection.exchange`, on an idle connection or a new one.

        If the server has closed the idle connection meanwhile, the request is sent again on a new one. The response
        is then `repeated` if the server may have acted on the first request.
        """
        idle = self._take_idle()
        connection = idle or await self._dialer.dial()
        try:
            response = await connection.exchange(
                head, head_only=head_only, read_timeout=read_timeout, sink=sink, body=body
            )
        except TransportError as error:
            if idle is None or error.fault is not Fault.BROKEN or error.begun:
                raise
            return await self._exchange_again(error.sent, head, head_only, read_timeout, sink, body)
        self._keep(connection)
        return response

    def close(self) -> None:
        """Close the idle connections now, and those in use after their request."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if (
            connection.reusable
            and not self._closed
            and len(self._idle) < self._maximum
            and connection.used_at - connection.opened_at < _LIFETIME
        ):
            self._idle.append(connection)
        else:
            connection.close()

    async def _exchange_again(
        self, sent: bool, head: bytes, head_only: bool, read_timeout: float, sink: Sink | None, body: Body
    ) -> Response:
        try:
            connection = await self._dialer.dial()
            response = await connection.exchange(
                head, head_only=head_only, read_timeout=read_timeout, sink=sink, body=body
            )
        except TransportError as error:
            error.sent = error.sent or sent
            raise
        self._keep(connection)
        return response._replace(repeated=sent)
