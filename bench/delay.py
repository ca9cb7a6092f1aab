"""`python -m bench.delay PORT MS`: a link with latency: pass connections on to 127.0.0.1:PORT, each byte MS later.

Prints its own port, and runs until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import cast

import uvloop

_IN_FLIGHT = 16 * 1024 * 1024
"""Bytes of one direction of a connection that may be under way: a gigabyte a second at 15 ms, so that the latency is
felt, and the line is not."""


class _End(asyncio.Protocol):
    """One end of a connection. What it receives is written to the other end, later."""

    def __init__(self, delay_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay_s = delay_s
        self._late: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._paused = self._waiting = False
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._add(data)

    def eof_received(self) -> bool:
        self._add(b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._add(b"")

    def _add(self, data: bytes) -> None:
        self._late.append((self._loop.time() + self._delay_s, data))
        self._bytes += len(data)
        if self._bytes > _IN_FLIGHT and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        if not self._waiting:
            self._waiting = True
            self._loop.call_at(self._late[0][0], self.deliver)

    def deliver(self) -> None:
        """Write what is due."""
        now = self._loop.time() + 0.0005
        out = self.other.transport if self.other is not None else None
        if out is None and self.transport is not None and not self.transport.is_closing():
            # The connection to the server is still being made.
            self._loop.call_later(0.001, self.deliver)
            return
        if out is None:
            return
        while self._late and self._late[0][0] <= now:
            data = self._late.popleft()[1]
            self._bytes -= len(data)
            if out.is_closing():
                continue
            if data:
                out.write(data)
            else:
                out.close()
        if self._paused and self._bytes < _IN_FLIGHT // 2 and self.transport is not None:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        self._waiting = bool(self._late)
        if self._waiting:
            self._loop.call_at(self._late[0][0], self.deliver)


class _Accepted(_End):
    """The client's end."""

    def __init__(self, port: int, delay_s: float) -> None:
        super().__init__(delay_s)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        def make() -> _End:
            end = _End(self._delay_s)
            end.other = self
            return end

        try:
            _, self.other = await self._loop.create_connection(make, "127.0.0.1", self._port)
        except OSError:
            if self.transport is not None:
                self.transport.close()


async def _serve(port: int, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Accepted(port, delay_s), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1e3))
