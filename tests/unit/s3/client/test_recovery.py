"""Recovery from expired credentials, a wrong clock and a wrong region while requests are in flight."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from rehome.codes import Code
from rehome.errors import Finding, RefusedError
from rehome.s3.client.client import Client
from rehome.s3.errors import CREDENTIAL_CODES, S3Error, S3StopError
from rehome.s3.transport.endpoint import Credentials, Endpoint

from tests.unit.s3.wire import Handler, client_of, endpoint, error, on_uvloop, reply, script, served

OLD, NEW = Credentials("OLDID", "one", "old-token"), Credentials("NEWID", "two", "new-token")


def answering(say: Callable[[bytes], bytes]) -> Handler:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(say(request))

    return handle


def header(request: bytes, name: str) -> str:
    found = re.search(rf"\r\n{name}: ([^\r]*)".encode(), request)
    return found[1].decode() if found else ""


class Chain:
    """Credentials that can be renewed."""

    def __init__(self, *fresh: Credentials, first: Credentials = OLD) -> None:
        self.now = first
        self.fresh = list(fresh)
        self.threads: list[threading.Thread] = []

    def current(self) -> Credentials:
        return self.now

    def renew(self) -> Credentials:
        self.threads.append(threading.current_thread())
        time.sleep(0.05)
        self.now = self.fresh.pop(0) if self.fresh else self.now
        return self.now

    @property
    def changes(self) -> dict[str, Any]:
        return {"credentials": self.current, "renew": self.renew}


def unless_new(code: str) -> Callable[[bytes], bytes]:
    return lambda request: reply(200) if b"Credential=NEWID" in request else error(400, code)


@pytest.mark.parametrize("code", sorted(CREDENTIAL_CODES))
def test_expired_credentials_are_renewed_once_for_all_requests_under_way(code: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        chain = Chain(NEW)
        async with client_of(answering(unless_new(code)), changes=chain.changes) as (client, wire, naps):
            replies = await asyncio.gather(*[client.request("GET", f"k{n}") for n in range(20)])
        assert {one.status for one in replies} == {200}
        assert len(chain.threads) == 1
        assert chain.threads[0] is not threading.main_thread()
        assert naps.taken == []
        assert header(wire.requests[-1], "x-amz-security-token") == "new-token"

    scenario()


@on_uvloop
async def test_requests_go_on_while_credentials_are_renewed() -> None:
    chain = Chain(NEW)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async with client_of(answering(unless_new("ExpiredToken")), changes=chain.changes) as (client, _, _):
        ticking = asyncio.create_task(tick())
        await client.request("GET", "k")
        ticking.cancel()
    assert ticks >= 2


@on_uvloop
async def test_credentials_that_another_had_refreshed_are_just_used() -> None:
    chain = Chain()

    def say(request: bytes) -> bytes:
        chain.now = NEW
        return unless_new("ExpiredToken")(request)

    async with client_of(answering(say), changes=chain.changes) as (client, wire, _):
        await client.request("GET", "k")
    assert (len(wire.requests), chain.threads) == (2, [])


@on_uvloop
async def test_credentials_that_stay_the_same_stop_the_run() -> None:
    chain = Chain()
    async with client_of(answering(unless_new("ExpiredToken")), changes=chain.changes) as (client, wire, _):
        with pytest.raises(S3StopError, match=r"ExpiredToken.*has no newer credentials") as caught:
            await client.request("GET", "k")
    assert len(wire.requests) == 1
    assert "old-token" not in str(caught.value)


@on_uvloop
async def test_credentials_that_are_set_by_hand_stop_the_run() -> None:
    async with client_of(answering(unless_new("ExpiredToken"))) as (client, wire, _):
        with pytest.raises(S3StopError, match=r"ExpiredToken.*cannot be renewed"):
            await client.request("GET", "k")
    assert len(wire.requests) == 1


@on_uvloop
async def test_ever_newer_credentials_that_are_never_good_end_too() -> None:
    chain = Chain(*[Credentials(f"ID{n}", "s", "t") for n in range(100)])
    async with client_of(answering(unless_new("InvalidToken")), changes=chain.changes) as (client, wire, _):
        with pytest.raises(S3StopError, match="InvalidToken"):
            await client.request("GET", "k")
    assert len(wire.requests) <= 5


@on_uvloop
async def test_a_bare_400_to_head_may_be_an_expired_token() -> None:
    chain = Chain(NEW)
    bare = answering(lambda request: reply(200 if b"Credential=NEWID" in request else 400))
    async with client_of(bare, changes=chain.changes) as (client, wire, _):
        assert (await client.request("HEAD", "k")).status == 200
    assert len(wire.requests) == 2


@on_uvloop
async def test_many_a_bare_400_to_head_asks_for_credentials_only_once() -> None:
    chain = Chain()
    async with client_of(answering(lambda request: reply(400)), changes=chain.changes) as (client, _, _):
        for n in range(5):
            with pytest.raises(S3Error, match="Status400") as caught:
                await client.request("HEAD", f"k{n}")
            assert not isinstance(caught.value, S3StopError)
    assert len(chain.threads) == 1


def told_the_time(ahead: float) -> Callable[[bytes], bytes]:
    """Run a server whose clock is wrong and that checks it."""

    def say(request: bytes) -> bytes:
        server_time = time.time() + ahead
        stamp = header(request, "x-amz-date")
        if abs(time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone - server_time) > 900:
            body = b"" if request.startswith(b"HEAD") else b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
            return reply(403, body, date=formatdate(server_time, usegmt=True))
        return reply(200)

    return say


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("ahead", [-86400 * 400, -3600, 3600, 86400 * 400])
def test_a_wrong_clock_is_set_by_the_servers_for_all_further_requests(ahead: float, method: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(answering(told_the_time(ahead))) as (client, wire, naps):
            await client.request(method, "first")
            await client.request(method, "second")
            assert (len(wire.requests), naps.taken) == (3, [])

    scenario()


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (None, "had the time of the server's Date"),
        ("", "has no Date"),
        ("yesterday", "has no Date"),
    ],
)
def test_a_skew_that_cannot_be_corrected_stops_the_run(date: str | None, words: str) -> None:
    date = formatdate(usegmt=True) if date is None else date
    refusal = reply(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", date=date)

    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([refusal] * 3)) as (client, wire, _):
            with pytest.raises(S3StopError, match=f"RequestTimeTooSkewed.*{words}"):
                await client.request("GET", "k")
            assert len(wire.requests) == 1

    scenario()


def redirect(status: int, code: str, inside: str = "", **headers: str) -> bytes:
    return reply(status, f"<Error><Code>{code}</Code>{inside}</Error>".encode(), **headers)


REDIRECTS = [
    redirect(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
    redirect(301, "PermanentRedirect", "<Endpoint>bucket.s3-eu-west-1.amazonaws.com</Endpoint>"),
    redirect(301, "PermanentRedirect", "<Endpoint>bucket.s3.dualstack.eu-west-1.amazonaws.com</Endpoint>"),
    redirect(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
    redirect(307, "TemporaryRedirect", x_amz_bucket_region="eu-west-1", location="http://evil.example.com/"),
    redirect(307, "TemporaryRedirect", "<Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint>"),
]


def unless_in(region: str, refusal: bytes) -> Handler:
    return answering(lambda request: reply(200) if f"/{region}/s3/".encode() in request else refusal)


@pytest.mark.parametrize("refusal", REDIRECTS)
def test_the_region_that_a_refusal_names_is_used_from_then_on(refusal: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(unless_in("eu-west-1", refusal)) as (client, wire, naps):
            await asyncio.gather(*[client.request("PUT", f"k{n}", body=b"content") for n in range(4)])
            before = len(wire.requests)
            await client.request("GET", "k")
            assert (len(wire.requests) - before, naps.taken) == (1, [])
            assert client.endpoint.region == "eu-west-1"
            assert client.endpoint.host == "127.0.0.1"

    scenario()


@on_uvloop
async def test_a_bare_redirect_of_head_is_followed_by_its_header() -> None:
    async with client_of(unless_in("eu-west-1", reply(400, x_amz_bucket_region="eu-west-1"))) as (client, _, _):
        assert (await client.request("HEAD", "k")).status == 200


@pytest.mark.parametrize(
    "refusal",
    [
        redirect(301, "PermanentRedirect"),
        redirect(301, "PermanentRedirect", "<Endpoint>evil.example.com</Endpoint>", location="http://evil.example.com"),
        redirect(307, "TemporaryRedirect", x_amz_bucket_region="evil.example.com/"),
        redirect(307, "TemporaryRedirect", x_amz_bucket_region="us-east-1"),
        reply(302, location="http://evil.example.com/"),
    ],
)
def test_a_redirect_that_names_no_other_region_stops_the_run(refusal: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([refusal] * 5)) as (client, wire, _):
            with pytest.raises(S3StopError):
                await client.request("GET", "k")
            assert len(wire.requests) == 1

    scenario()


@on_uvloop
async def test_regions_that_point_to_each_other_stop_the_run() -> None:
    def say(request: bytes) -> bytes:
        region = "us-east-1" if b"/eu-west-1/s3/" in request else "eu-west-1"
        return redirect(301, "PermanentRedirect", x_amz_bucket_region=region)

    async with client_of(answering(say)) as (client, wire, _):
        with pytest.raises(S3StopError, match="was tried before"):
            await client.request("GET", "k")
    assert len(wire.requests) == 2


async def _follow(moved: Endpoint | Exception, here: Endpoint, then: Callable[[Any], Awaitable[None]]) -> None:
    def relocate(region: str) -> Endpoint:
        if isinstance(moved, Exception):
            raise moved
        return replace(moved, region=region)

    async with Client(replace(here, relocate=relocate), resolver=_loopback) as client:
        await then(client)


async def _loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@on_uvloop
async def test_on_amazons_hosts_the_request_goes_to_the_regions_own_host() -> None:
    async with served(script([REDIRECTS[0]])) as first, served(script([reply(200)] * 2)) as second:
        here = endpoint(first.port, host="bucket.s3.amazonaws.com", base_path="")
        moved = endpoint(second.port, host="bucket.s3.eu-west-1.amazonaws.com", base_path="")

        async def then(client: Any) -> None:
            await client.request("GET", "k")
            await client.request("GET", "k")

        await _follow(moved, here, then)
    assert (len(first.requests), len(second.requests)) == (1, 2)
    assert header(second.requests[0], "host") == f"bucket.s3.eu-west-1.amazonaws.com:{second.port}"
    assert b"/eu-west-1/s3/" in second.requests[0]


@pytest.mark.parametrize("moved", ["stranger", RefusedError([Finding("region", None, "no", "such", Code.REGION)])])
def test_credentials_never_follow_to_a_host_that_is_not_amazons(moved: str | Exception) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with served(script([REDIRECTS[0], reply(200)])) as first, served(script([])) as second:
            here = endpoint(first.port, host="bucket.s3.amazonaws.com")
            stranger = endpoint(second.port, host="s3.example.com") if isinstance(moved, str) else moved

            async def then(client: Any) -> None:
                assert (await client.request("GET", "k")).status == 200

            await _follow(stranger, here, then)
        assert (len(first.requests), second.connections) == (2, 0)

    scenario()


@on_uvloop
async def test_a_token_a_clock_and_a_region_may_all_be_wrong_at_once() -> None:
    chain = Chain(NEW)

    def say(request: bytes) -> bytes:
        if b"/eu-west-1/s3/" not in request:
            return REDIRECTS[3]
        skewed = told_the_time(7200)(request)
        return unless_new("ExpiredToken")(request) if skewed.startswith(b"HTTP/1.1 200") else skewed

    async with client_of(answering(say), changes=chain.changes) as (client, wire, _):
        response = await client.request("GET", "k")
        assert (response.attempts, response.repeated, len(wire.requests)) == (4, False, 4)
