"""Content that is passed on between two real connections: through the kernel where it can, and through this process."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import hashlib
import os
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import Retry
from rehome.s3.copier.relay import Relay
from rehome.s3.errors import S3Error, S3RequestError
from rehome.s3.objects.job import SourceChanged
from rehome.s3.transport.connection import Response

from tests.unit.s3.wire import Naps, endpoint, on_uvloop, reply

KIB, MIB = 1024, 1024**2
BODY = hashlib.shake_256(b"content").digest(9 * MIB + 5)
ETAG = "0" * 32
STORED = reply(200, etag=f'"{ETAG}"')

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Gets each connection."""


class Moved:
    """What `os.splice` moved. fails: by the number of a call, the error that it raises in place of moving"""

    def __init__(self, real: Callable[..., int]) -> None:
        self._real = real
        self.calls = 0
        self.bytes = 0
        self.fails: dict[int, OSError] = {}

    def __call__(self, *args: Any, **options: Any) -> int:
        self.calls += 1
        if self.calls in self.fails:
            raise self.fails[self.calls]
        moved = self._real(*args, **options)
        self.bytes += moved
        return moved


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Moved:
    found = Moved(os.splice)
    monkeypatch.setattr(os, "splice", found)
    return found


@pytest.fixture(params=["through the kernel", "through this process"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "through this process":
        monkeypatch.delattr(os, "splice")


either_way = pytest.mark.usefixtures("_either_way")


@on_uvloop
async def _used() -> None:
    """The first loop of a process opens a pipe that it keeps."""


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    _used()
    before = descriptors()
    yield
    assert descriptors() - before == set()


def descriptors() -> set[str]:
    """What is open, of pipes and sockets."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        # the one of this directory is gone by then
        with suppress(FileNotFoundError):
            found.add(str(path.readlink()))
    return found


class Source:
    """Sends one object to each GET.

    sends: how, given the body
    """

    def __init__(self, sends: Callable[[asyncio.StreamWriter, bytes], Awaitable[None]], body: bytes = BODY) -> None:
        self._sends = sends
        self.body = body
        self.reads = self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            self.reads += 1
            await self._sends(writer, self.body)


def head(length: int) -> bytes:
    return reply(200, etag=f'"{ETAG}"').replace(b"content-length: 0", b"content-length: %d" % length)


async def whole(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(head(len(body)) + body)
    await writer.drain()


class Target:
    """Takes what comes and keeps it. `received` has each body, as far as it came.

    pauses: seconds to read nothing, after the first bytes
    """

    def __init__(self, pauses: float = 0) -> None:
        self._pauses = pauses
        self.received: list[bytearray] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while request := await reader.readuntil(b"\r\n\r\n"):
            length = int(request.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = bytearray()
            self.received.append(body)
            while len(body) < length:
                chunk = await reader.read(length - len(body))
                if not chunk:
                    return
                body += chunk
                await asyncio.sleep(self._pauses)
                self._pauses = 0
            writer.write(STORED)


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0, ssl=tls, limit=64 * KIB)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def between(
    source: Serve, target: Serve, *, source_timeout: float = 5.0, tls: tuple[Any, Any] = (None, None)
) -> AsyncIterator[tuple[Client, Client]]:
    once = Retry(attempts=1, sleep=Naps())
    serving, trusting = tls
    async with (
        listening(source, serving) as source_port,
        listening(target, serving) as target_port,
        Client(endpoint(source_port, trusting), retry=once, read_timeout=source_timeout) as reading,
        Client(endpoint(target_port, trusting), retry=once) as writing,
    ):
        yield reading, writing
    # the servers' ends of the connections
    await asyncio.sleep(0.05)


async def passed_on(clients: tuple[Client, Client], length: int = len(BODY), read_timeout: float = 5.0) -> Response:
    source, target = clients
    relay = Relay(source, "old", ETAG, length)
    return await target.request("PUT", "new", body=relay, read_timeout=read_timeout, proven=True)


async def error_of(passing: Awaitable[Response]) -> tuple[str, str | None]:
    with pytest.raises(S3RequestError) as raised:
        await passing
    return raised.value.code, raised.value.verb


@either_way
@pytest.mark.parametrize("size", [MIB, 576 * KIB + 1, 640 * KIB, len(BODY)])
@pytest.mark.parametrize("pauses", [0, 0.1], ids=["", "to a target that pauses"])
@pytest.mark.parametrize("pieces", [16 * KIB - 1, 2 * MIB], ids=["small pieces", "large pieces"])
def test_what_is_passed_on_arrives_as_it_was(size: int, pauses: float, pieces: int) -> None:
    async def in_pieces(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)))
        for start in range(0, len(body), pieces):
            writer.write(body[start : start + pieces])
            await writer.drain()

    @on_uvloop
    async def scenario() -> None:
        source, target = Source(in_pieces, BODY[:size]), Target(pauses)
        async with between(source, target) as clients:
            assert (await passed_on(clients, size)).status == 200
        assert target.received == [BODY[:size]]

    scenario()


def test_most_of_it_does_not_enter_this_process(moved: Moved) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with between(Source(whole), Target()) as clients:
            await passed_on(clients)

    scenario()
    # out of one socket, and into the other
    assert moved.bytes > 2 * 0.9 * len(BODY)


@either_way
def test_the_connections_of_both_ends_serve_one_body_after_the_other() -> None:
    @on_uvloop
    async def scenario() -> None:
        source, target = Source(whole), Target()
        async with between(source, target) as clients:
            for _ in range(3):
                await passed_on(clients)
        assert target.received == [BODY] * 3
        assert (source.connections, target.connections) == (1, 1)

    scenario()


@either_way
def test_many_are_passed_on_at_once() -> None:
    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(whole), target) as clients:
            await asyncio.gather(*[passed_on(clients) for _ in range(8)])
        assert target.received == [BODY] * 8

    scenario()


def test_over_tls_it_goes_through_this_process(moved: Moved, tls: ssl.SSLContext, certificate: Path) -> None:
    @on_uvloop
    async def scenario() -> None:
        target = Target()
        trusting = ssl.create_default_context(cafile=certificate)
        async with between(Source(whole), target, tls=(tls, trusting)) as clients:
            await passed_on(clients)
        assert target.received == [BODY]

    scenario()
    assert moved.calls == 0


def test_a_body_in_chunks_goes_through_this_process(moved: Moved) -> None:
    async def in_chunks(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\netag: "%s"\r\ntransfer-encoding: chunked\r\n\r\n' % ETAG.encode())
        for start in range(0, len(body), MIB):
            piece = body[start : start + MIB]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(in_chunks), target) as clients:
            await passed_on(clients)
        assert target.received == [BODY]

    scenario()
    assert moved.calls == 0


@pytest.mark.parametrize("call", range(1, 7))
@pytest.mark.parametrize("number", [22, 38], ids=["EINVAL", "ENOSYS"])
def test_where_the_system_refuses_to_go_on_it_goes_on_through_this_process(
    moved: Moved, call: int, number: int
) -> None:
    moved.fails = {call: OSError(number, "refused")}

    @on_uvloop
    async def scenario() -> None:
        source, target = Source(whole), Target(0.05)
        async with between(source, target) as clients:
            for _ in range(2):
                await passed_on(clients)
        assert target.received == [BODY] * 2
        assert source.reads == 2

    scenario()
    assert moved.calls >= call


@pytest.mark.parametrize("where", [(os, "pipe2"), (os, "dup"), (fcntl, "fcntl")], ids=["pipe", "descriptor", "size"])
def test_without_a_pipe_it_goes_through_this_process(
    where: tuple[object, str], moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(*where, refuse)

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(whole), target) as clients:
            await passed_on(clients)
        assert target.received == [BODY]

    scenario()
    assert moved.calls == 0


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection as a crash does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


@either_way
@pytest.mark.parametrize("ends", [asyncio.StreamWriter.close, reset], ids=["closed", "reset"])
@pytest.mark.parametrize("part", [5 * MIB, len(BODY) - 10], ids=["in the middle", "at the end"])
def test_of_a_source_that_breaks_off_the_target_never_has_everything(
    ends: Callable[[asyncio.StreamWriter], None], part: int
) -> None:
    async def some(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)) + body[:part])
        await writer.drain()
        await asyncio.sleep(0.1)
        ends(writer)

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(some), target) as clients:
            assert await error_of(passed_on(clients)) == ("ConnectionBroken", "GET")
        (received,) = target.received
        assert len(received) < len(BODY)
        assert BODY.startswith(received)

    scenario()


@either_way
@pytest.mark.parametrize("ends", [asyncio.StreamWriter.close, reset], ids=["closed", "reset"])
def test_a_target_that_breaks_off_is_what_fails(ends: Callable[[asyncio.StreamWriter], None]) -> None:
    async def some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3 * MIB)
        ends(writer)

    @on_uvloop
    async def scenario() -> None:
        async with between(Source(whole), some) as clients:
            assert await error_of(passed_on(clients)) == ("ConnectionBroken", "PUT")

    scenario()


@either_way
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (200, "InvalidReply")])
def test_a_reply_before_the_target_has_everything_ends_it(status: int, code: str) -> None:
    """A refusal is believed, success is not."""
    body = BODY * 8  # more than the buffers between the ends take

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3 * MIB)
        writer.write(reply(status, b"<Error><Code>AccessDenied</Code></Error>" if status == 403 else b""))
        await writer.drain()
        await reader.read(-1)

    @on_uvloop
    async def scenario() -> None:
        async with between(Source(whole, body), early) as clients:
            with pytest.raises(S3Error) as raised:
                await passed_on(clients, len(body))
        assert raised.value.code == code

    scenario()


@either_way
def test_a_source_that_falls_silent_is_waited_for_no_longer_than_its_time() -> None:
    async def stuck(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)) + body[: 5 * MIB])
        await writer.drain()
        await asyncio.sleep(10)

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(stuck), target, source_timeout=0.3) as clients:
            assert await error_of(passed_on(clients)) == ("ReadTimeout", "GET")
        assert len(target.received[0]) <= 5 * MIB

    scenario()


@either_way
def test_ends_that_are_slow_are_not_taken_for_silent() -> None:
    async def slowly(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)))
        for start in range(0, len(body), 128 * KIB):
            writer.write(body[start : start + 128 * KIB])
            await asyncio.sleep(0.03)

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(slowly, BODY[: 4 * MIB]), target, source_timeout=0.4) as clients:
            await passed_on(clients, 4 * MIB, read_timeout=0.4)
        assert target.received == [BODY[: 4 * MIB]]

    scenario()


@either_way
def test_a_target_that_takes_nothing_more_is_waited_for_no_longer_than_its_time() -> None:
    body = BODY * 8

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(MIB)
        await asyncio.sleep(10)

    @on_uvloop
    async def scenario() -> None:
        async with between(Source(whole, body), stuck, source_timeout=0.2) as clients:
            assert await error_of(passed_on(clients, len(body), read_timeout=0.5)) == ("ReadTimeout", "PUT")

    scenario()


@either_way
def test_a_source_is_not_taken_for_silent_while_the_target_pauses() -> None:
    body = BODY * 8

    @on_uvloop
    async def scenario() -> None:
        target = Target(pauses=1.0)
        async with between(Source(whole, body), target, source_timeout=0.3) as clients:
            await passed_on(clients, len(body))
        assert target.received == [body]

    scenario()


@either_way
def test_a_target_that_takes_something_at_first_and_then_pauses_does_not_make_the_source_silent() -> None:
    body = BODY * 8

    @on_uvloop
    async def scenario() -> None:
        target = Target(pauses=1.0)
        async with between(Source(whole, body), target, source_timeout=0.3) as clients:
            relay = Relay(clients[0], "old", ETAG, len(body))
            passing = asyncio.ensure_future(clients[1].request("PUT", "new", body=relay, proven=True))
            await asyncio.sleep(0.2)
            # as the transport does where its buffers are smaller than those of this machine
            relay.pause()
            relay.resume()
            await passing
        assert target.received == [body]

    scenario()


@either_way
def test_a_target_that_was_sent_nothing_yet_is_not_taken_for_silent() -> None:
    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(whole), target) as clients:
            limiter = clients[0].limiter
            limiter.set_ceiling(0)
            passing = asyncio.ensure_future(passed_on(clients, read_timeout=0.3))
            await asyncio.sleep(1.0)
            limiter.set_ceiling(clients[0].max_connections)
            await passing
        assert target.received == [BODY]

    scenario()


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


@either_way
@pytest.mark.usefixtures("_without_collector")
def test_what_was_read_ahead_is_freed_when_the_target_refuses_it() -> None:
    """A run collects seldom, and a service that is overloaded refuses much."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # meanwhile it is read ahead
        await asyncio.sleep(0.1)
        writer.write(reply(403, b"<Error><Code>AccessDenied</Code></Error>"))
        await writer.drain()
        await asyncio.sleep(0.1)

    @on_uvloop
    async def scenario() -> None:
        async with between(Source(whole), refuse) as clients:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(8):
                with pytest.raises(S3Error):
                    await passed_on(clients)
            await asyncio.sleep(0.3)
            after, _ = tracemalloc.get_traced_memory()
        assert after - before < 4 * MIB

    scenario()


class Stuck:
    """The connection to a target that takes nothing."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def send(self, chunk: bytes) -> None:
        raise AssertionError(f"{len(chunk)} bytes are sent although it is paused")

    def abandon(self, error: Exception) -> None:
        self.error = error


def test_a_source_connection_answers_the_next_request_whatever_became_of_the_content_that_it_brought() -> None:
    """The last chunk of all may be the one with which enough is read ahead."""
    sizes = (MIB, 64 * KIB)

    async def in_two(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)) + body[: sizes[0]])
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(body[sizes[0] :])

    @on_uvloop
    async def scenario() -> None:
        source = Source(in_two, BODY[: sum(sizes)])
        async with between(source, Target()) as (reading, _):
            was_read = asyncio.Event()

            class Watched:
                async def request(self, *args: Any, **more: Any) -> Response:
                    reply = await reading.request(*args, **more)
                    was_read.set()
                    return reply

            watched: Any = Watched()
            stuck: Any = Stuck()
            relay = Relay(watched, "old", ETAG, sum(sizes))
            relay.begin(stuck)
            relay.pause()
            await was_read.wait()
            relay.end()
            assert (await reading.request("GET", "old")).body == source.body
        assert stuck.error is None
        assert source.connections == 1

    scenario()


@either_way
@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1, len(BODY) + MIB, 2 * MIB])
def test_of_content_of_another_length_the_target_never_has_everything(size: int) -> None:
    sent = (BODY * 2)[:size]

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(whole, sent), target) as clients:
            assert await error_of(passed_on(clients)) == ("WrongLength", "GET")
        assert len(target.received[0]) < len(BODY)

    scenario()


@either_way
def test_of_another_version_the_target_never_has_everything() -> None:
    async def another(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)).replace(ETAG.encode(), b"another") + body)
        await writer.drain()

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(another), target) as clients:
            with pytest.raises(SourceChanged):
                await passed_on(clients)
        assert len(target.received[0]) < len(BODY)

    scenario()


@either_way
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1])
def test_what_is_cancelled_leaves_neither_connections_nor_descriptors(after_s: float) -> None:
    async def slowly(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)))
        for start in range(0, len(body), 64 * KIB):
            writer.write(body[start : start + 64 * KIB])
            await asyncio.sleep(0.01)

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(slowly), target) as clients:
            before = descriptors()
            passing = asyncio.ensure_future(passed_on(clients))
            await asyncio.sleep(after_s)
            passing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await passing
            await asyncio.sleep(0.05)
            assert descriptors() - before == set()
        assert all(len(received) < len(BODY) for received in target.received)

    scenario()


@either_way
def test_the_end_is_held_back_until_the_reply_was_checked() -> None:
    """The source has not sent its last byte: it may still break off."""
    asked = asyncio.Event()

    async def all_but_one(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(head(len(body)) + body[:-1])
        await asked.wait()
        writer.write(body[-1:])

    @on_uvloop
    async def scenario() -> None:
        target = Target()
        async with between(Source(all_but_one), target) as clients:
            passing = asyncio.ensure_future(passed_on(clients))
            await asyncio.sleep(0.3)
            assert MIB < len(target.received[0]) < len(BODY)
            asked.set()
            await passing
        assert target.received == [BODY]

    scenario()
