"""A scripted S3: a TCP server that replies exactly what a test sets, and records its requests."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import uvloop
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import Retry
from rehome.s3.transport.endpoint import Credentials, Endpoint

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Gets one request (head and body) and writes a reply; closing the writer ends the connection."""


class Wire:
    """A listening server. `requests` has those received, `connections` the number of connections."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                await self._handler(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error(status: int, code: str, message: str = "because") -> bytes:
    return reply(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def copied(etag: str) -> bytes:
    return reply(200, f"<CopyObjectResult><ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>".encode())


def script(replies: Sequence[bytes | None]) -> Handler:
    """Return a handler of one reply after the other; None closes the connection without one."""
    left = iter(replies)

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        data = next(left)
        if data is None:
            writer.close()
        else:
            writer.write(data)

    return handle


class Naps:
    """A sleep that returns at once and records how long it should have taken."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def endpoint(port: int, tls: ssl.SSLContext | None = None, **changes: Any) -> Endpoint:
    found = Endpoint(
        scheme="https" if tls else "http",
        host="127.0.0.1",
        port=port,
        base_path="/bucket",
        bucket="bucket",
        region="us-east-1",
        tls=tls,
        credentials=lambda: Credentials("AKID", "SECRET"),
    )
    return replace(found, **changes)


@asynccontextmanager
async def served(handler: Handler, host: str = "127.0.0.1", port: int = 0, **tls: Any) -> AsyncIterator[Wire]:
    """Run a scripted server."""
    wire = Wire(handler)
    server = await asyncio.start_server(wire.serve, host, port, **tls)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()


@asynccontextmanager
async def client_of(
    handler: Handler,
    *,
    attempts: int = 4,
    max_connections: int = 4,
    read_timeout: float = 5.0,
    changes: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Client, Wire, Naps]]:
    """Run a scripted server with a client of it.

    changes: to the endpoint
    options: of the client
    """
    naps = Naps()
    retry = Retry(attempts=attempts, sleep=naps, random=lambda: 1.0)
    async with (
        served(handler) as wire,
        Client(
            endpoint(wire.port, **(changes or {})),
            max_connections,
            retry=retry,
            connect_timeout=5.0,
            read_timeout=read_timeout,
            **options,
        ) as client,
    ):
        yield client, wire, naps


def on_uvloop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn a coroutine function into a test that runs on uvloop."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def limited() -> None:
            async with asyncio.timeout(30):
                await test(*args, **kwargs)

        uvloop.run(limited())

    return run
