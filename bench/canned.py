"""What the benchmarks' servers share: HTTP/1.1 on a free port, until the standard input ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import uvloop

HEAD_END = b"\r\n\r\n"


class RequestProtocol(asyncio.Protocol):
    """Splits the input into requests without a body, and passes the first line of each to `answer`."""

    def __init__(self, answer: Callable[[bytes, asyncio.Transport], None]) -> None:
        self._answer = answer
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each complete request (asyncio.Protocol)."""
        self._received += data
        while HEAD_END in self._received and self._transport is not None:
            head, _, self._received = self._received.partition(HEAD_END)
            self._answer(head.partition(b"\r\n")[0], self._transport)


def reply(status: bytes, body: bytes) -> bytes:
    """Return a whole response, on a connection that stays open."""
    return b"HTTP/1.1 %s\r\ncontent-type: application/xml\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def serve(answer: Callable[[bytes, asyncio.Transport], None]) -> None:
    """Listen, print the port, and answer until the parent process is gone."""
    uvloop.run(_serve(answer))


async def _serve(answer: Callable[[bytes, asyncio.Transport], None]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: RequestProtocol(answer), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.set() if not sys.stdin.read(1) else None)
    await ended.wait()
