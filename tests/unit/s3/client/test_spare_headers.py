"""Headers that a request can do without are left out where a service rejects them, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest
from rehome.s3.errors import S3RequestError

from tests.unit.s3.wire import client_of, error, on_uvloop, reply

READ = {"x-amz-checksum-mode": "ENABLED", "if-match": '"e"'}


def rejecting(*names: str, answer: bytes = error(400, "InvalidArgument", "Unsupported header")) -> object:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        rejected = any(f"\r\n{name}: ".encode() in request for name in names)
        writer.write(answer if rejected else reply(200, etag='"e"'))

    return handle


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("rejected", [("x-amz-checksum-mode",), ("if-match",), ("x-amz-checksum-mode", "if-match")])
def test_it_is_found_out_once_which_header_is_rejected(method: str, rejected: tuple[str, ...]) -> None:
    @on_uvloop
    async def scenario() -> None:
        answer = reply(400) if method == "HEAD" else error(400, "InvalidArgument", "Unsupported header")
        async with client_of(rejecting(*rejected, answer=answer)) as (client, wire, _):  # type: ignore[arg-type]
            assert (await client.request(method, "k", headers=READ)).status == 200
            found = len(wire.requests)
            assert found <= 4
            assert (await client.request(method, "k", headers=READ)).status == 200
            assert len(wire.requests) == found + 1
            kept = {name for name in READ if f"\r\n{name}: ".encode() in wire.requests[-1]}
            assert kept == set(READ) - set(rejected)

    scenario()


@on_uvloop
async def test_a_condition_on_a_write_is_never_left_out() -> None:
    handler = rejecting("if-none-match", "if-match", answer=error(501, "NotImplemented"))
    async with client_of(handler) as (client, wire, _):  # type: ignore[arg-type]
        for headers in ({"if-none-match": "*"}, {"if-match": '"e"'}):
            with pytest.raises(S3RequestError, match="NotImplemented"):
                await client.request("PUT", "k", headers=headers)
        assert len(wire.requests) == 2


@on_uvloop
async def test_an_object_that_cannot_be_read_costs_no_more_requests_for_ever() -> None:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(400))

    async with client_of(handle) as (client, wire, _):
        for _ in range(40):
            with pytest.raises(S3RequestError):
                await client.request("HEAD", "k", headers=READ)
        assert len(wire.requests) <= 40 + 20


@on_uvloop
async def test_the_reply_names_the_header_that_is_not_implemented() -> None:
    body = b"<Error><Code>NotImplemented</Code><Message>No.</Message><Header>If-Match</Header></Error>"

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(501, body))

    async with client_of(handle) as (client, _, _):
        with pytest.raises(S3RequestError, match=r"No \(If-Match\)"):
            await client.request("PUT", "k")
