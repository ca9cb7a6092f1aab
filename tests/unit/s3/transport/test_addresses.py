"""Several addresses of one host: all are used, and a dead one does no harm."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import Retry
from rehome.s3.errors import S3StopError
from rehome.s3.transport.addresses import Addresses

from tests.unit.s3.wire import Naps, Wire, endpoint, on_uvloop, reply, served

HOST = "s3.example.com"


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Names:
    """A DNS resolver whose result a test sets."""

    def __init__(self, *addresses: str) -> None:
        self.result: Sequence[str] | OSError = addresses
        self.lookups = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups += 1
        if isinstance(self.result, OSError):
            raise self.result
        return self.result


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def slow(request: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.01)
    writer.write(reply(200))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def ask(client: Client, times: int = 12) -> None:
    await asyncio.gather(*[client.request("GET", f"k{n}") for n in range(times)])


@on_uvloop
async def test_connections_are_spread_over_all_addresses() -> None:
    hosts = ["127.0.0.1", "127.0.0.2", *(["::1"] if has_ipv6() else [])]
    async with AsyncExitStack() as stack:
        port = free_port()
        wires = [await stack.enter_async_context(served(slow, host, port)) for host in hosts]
        async with Client(endpoint(port, host=HOST), 12, resolver=Names(*hosts)) as client:
            await ask(client)
    assert {wire.connections for wire in wires} == {12 // len(hosts)}
    assert all(f"host: {HOST}:{port}".encode() in wire.requests[0] for wire in wires)


@on_uvloop
async def test_an_address_that_refuses_is_left_alone_and_the_others_are_used() -> None:
    naps = Naps()
    names = Names("127.0.0.3", "127.0.0.1", "127.0.0.2")
    async with AsyncExitStack() as stack:
        port = free_port()
        wires = [await stack.enter_async_context(served(slow, host, port)) for host in ("127.0.0.1", "127.0.0.2")]
        async with Client(endpoint(port, host=HOST), 12, retry=Retry(sleep=naps), resolver=names) as client:
            await ask(client)
    assert min(wire.connections for wire in wires) >= 4
    assert naps.taken == []


@on_uvloop
async def test_an_endpoint_is_unreachable_only_when_all_addresses_are() -> None:
    retry = Retry(attempts=2, sleep=Naps())
    async with Client(
        endpoint(free_port(), host=HOST), retry=retry, resolver=Names("127.0.0.1", "127.0.0.2")
    ) as client:
        with pytest.raises(S3StopError, match=r"none of 2 addresses responds: .*refused"):
            await client.request("GET", "k")


@on_uvloop
async def test_a_name_that_is_unknown_stops_the_run() -> None:
    names = Names()
    names.result = socket.gaierror(-2, "Name or service not known")
    async with Client(endpoint(80, host=HOST), retry=Retry(attempts=2, sleep=Naps()), resolver=names) as client:
        with pytest.raises(S3StopError, match=f"EndpointUnreachable: http://{HOST}: Name or service not known"):
            await client.request("GET", "k")


@on_uvloop
async def test_the_certificate_is_checked_for_the_name_not_for_the_address(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    trusted = ssl.create_default_context(cafile=certificate)
    async with (
        served(slow, ssl=tls) as wire,
        Client(endpoint(wire.port, trusted, host=HOST), resolver=Names("127.0.0.1")) as client,
    ):
        with pytest.raises(S3StopError, match="CertificateNotTrusted"):
            await client.request("GET", "k")
    assert wire.requests == []


@on_uvloop
async def test_a_name_is_resolved_again_after_a_minute_and_an_old_answer_is_better_than_none() -> None:
    clock, names = Clock(), Names("10.0.0.1")
    addresses = Addresses(HOST, 443, names, clock)
    assert [await addresses.ordered() for _ in range(3)] == [["10.0.0.1"]] * 3
    assert names.lookups == 1
    names.result = ["10.0.0.2"]
    clock.now = 61
    assert await addresses.ordered() == ["10.0.0.2"]
    names.result = socket.gaierror(-3, "Temporary failure in name resolution")
    clock.now = 122
    assert await addresses.ordered() == ["10.0.0.2"]
    assert names.lookups == 3


@on_uvloop
async def test_requests_at_once_resolve_a_name_once_and_later_ones_do_not_wait_for_it() -> None:
    clock, names = Clock(), Names("10.0.0.1")
    may_reply = asyncio.Event()
    may_reply.set()

    async def find(host: str, port: int) -> Sequence[str]:
        found = await names(host, port)
        await may_reply.wait()
        return found

    addresses = Addresses(HOST, 443, find, clock)
    await asyncio.gather(*[addresses.ordered() for _ in range(5)])
    assert names.lookups == 1
    clock.now = 61
    may_reply.clear()
    waiting = asyncio.create_task(addresses.ordered())
    await asyncio.sleep(0)
    assert await addresses.ordered() == ["10.0.0.1"]
    may_reply.set()
    await waiting
    assert names.lookups == 2


@on_uvloop
async def test_an_address_at_rest_is_tried_last_and_after_a_while_in_turn_again() -> None:
    clock = Clock()
    addresses = Addresses(HOST, 443, Names("a", "b", "c"), clock)
    await addresses.ordered()
    addresses.failed("b")
    assert [(await addresses.ordered())[-1] for _ in range(3)] == ["b"] * 3
    clock.now = 31
    assert Counter([(await addresses.ordered())[0] for _ in range(3)]) == Counter("abc")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@on_uvloop
async def test_an_ipv6_literal_is_an_endpoint() -> None:
    async with served(slow, "::1") as wire, Client(endpoint(wire.port, host="::1")) as client:
        assert (await client.request("GET", "k")).status == 200
    assert f"host: [::1]:{wire.port}".encode() in wire.requests[0]


@on_uvloop
async def test_connections_are_replaced_after_a_while_so_that_new_addresses_come_into_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rehome.s3.transport.pool._LIFETIME", 0.005)
    wire: Wire
    async with served(slow) as wire, Client(endpoint(wire.port)) as client:
        for _ in range(2):
            await client.request("GET", "k")
        await asyncio.sleep(0.01)
        for _ in range(2):
            await client.request("GET", "k")
    assert 2 <= wire.connections <= 4
