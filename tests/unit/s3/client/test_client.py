"""Requests and replies, byte for byte, against a scripted server."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import Retry
from rehome.s3.errors import S3Error, S3StopError

from tests.unit.s3.wire import Naps, Wire, client_of, endpoint, error, on_uvloop, reply, script


@on_uvloop
async def test_a_request_says_what_it_should_and_nothing_else() -> None:
    async with client_of(script([reply(200)])) as (client, wire, _):
        await client.request("PUT", "a b/ü+.png", query=[("tagging", "")], headers={"x-amz-meta-a": "b"}, body=b"12")
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"PUT /bucket/a%20b/%C3%BC%2B.png?tagging= HTTP/1.1"
    names = [line.partition(b":")[0] for line in lines[1:]]
    assert names == [
        b"host",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-meta-a",
        b"authorization",
        b"content-length",
        b"accept-encoding",
        b"user-agent",
    ]
    assert b"accept-encoding: identity" in lines
    assert body == b"12"


@on_uvloop
async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with client_of(script([reply(200, b"one"), reply(200, b"two")])) as (client, wire, _):
        assert (await client.request("GET", "k")).body == b"one"
        assert (await client.request("GET", "k")).body == b"two"
        assert wire.connections == 1


@on_uvloop
async def test_a_server_that_says_close_gets_a_new_connection() -> None:
    replies = [reply(200, b"one", connection="close"), reply(200, b"two")]
    async with client_of(script(replies)) as (client, wire, naps):
        await client.request("GET", "k")
        assert (await client.request("GET", "k")).body == b"two"
        assert (wire.connections, naps.taken) == (2, [])


@on_uvloop
async def test_a_kept_connection_that_closes_on_the_next_request_is_replaced_silently() -> None:
    async with client_of(script([reply(200), None, reply(200, b"two")])) as (client, wire, naps):
        await client.request("GET", "k")
        response = await client.request("GET", "k")
        assert (response.body, response.attempts, response.repeated) == (b"two", 1, True)
        assert (wire.connections, naps.taken) == (2, [])


@on_uvloop
async def test_half_a_reply_is_no_reply() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"

    async def cut(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(half)
        writer.close()

    async with client_of(cut, attempts=3) as (client, wire, naps):
        with pytest.raises(S3Error, match="ConnectionBroken") as caught:
            await client.request("GET", "k")
        assert not isinstance(caught.value, S3StopError)
        assert (len(wire.requests), caught.value.attempts, caught.value.repeated) == (3, 3, True)
        assert naps.taken == [0.1, 0.2]


@on_uvloop
async def test_a_reply_that_drips_in_byte_by_byte_is_read() -> None:
    async def drip(request: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in reply(200, b"<x>body</x>", etag='"e"'):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with client_of(drip) as (client, _, _):
        response = await client.request("GET", "k")
        assert (response.body, response.headers[b"etag"]) == (b"<x>body</x>", b'"e"')


@on_uvloop
async def test_a_server_that_stays_silent_is_a_timeout_that_slows_the_pace_down() -> None:
    async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with client_of(silent, attempts=20, read_timeout=0.02) as (client, wire, _):
        before = client.limiter.limit
        with pytest.raises(S3Error, match="ReadTimeout"):
            await asyncio.gather(*[client.request("GET", f"k{n}") for n in range(4)])
        assert client.limiter.limit < before
        assert wire.connections > 2


@on_uvloop
async def test_a_reply_to_head_has_no_body_whatever_it_announces() -> None:
    head = b'HTTP/1.1 200 OK\r\ncontent-length: 600\r\netag: "e"\r\n\r\n'
    async with client_of(script([head, reply(200, b"next")])) as (client, wire, _):
        assert (await client.request("HEAD", "k")).headers[b"content-length"] == b"600"
        assert (await client.request("GET", "k")).body == b"next"
        assert wire.connections == 1


@on_uvloop
async def test_an_interim_reply_is_skipped() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    async with client_of(script([interim + reply(200, b"real")])) as (client, _, _):
        response = await client.request("GET", "k")
        assert (response.status, response.body, b"link" in response.headers) == (200, b"real", False)


@on_uvloop
async def test_what_comes_after_a_reply_is_never_taken_for_the_next_one() -> None:
    async with client_of(script([reply(200, b"one") + reply(200, b"evil"), reply(200, b"two")])) as (client, wire, _):
        await client.request("GET", "k")
        assert (await client.request("GET", "k")).body == b"two"
        assert wire.connections == 2


@on_uvloop
async def test_a_reply_that_is_not_http_is_an_error_for_the_operator() -> None:
    async with client_of(script([b"SSH-2.0-OpenSSH_9\r\n"] * 2), attempts=2) as (client, _, _):
        with pytest.raises(S3Error, match="InvalidReply"):
            await client.request("GET", "k")


@on_uvloop
async def test_an_endless_reply_does_not_fill_the_memory() -> None:
    async def endless(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 1_000_000)
            await writer.drain()

    async with client_of(endless, attempts=1) as (client, _, _):
        with pytest.raises(S3Error, match="InvalidReply"):
            await client.request("GET", "k")


@on_uvloop
async def test_a_sink_gets_the_body_of_success_only() -> None:
    got = bytearray()
    async with client_of(script([error(404, "NoSuchKey"), reply(200, b"content")])) as (client, _, _):
        missing = await client.request("GET", "k", sink=got.extend)
        assert (missing.status, b"NoSuchKey" in missing.body, bytes(got)) == (404, True, b"")
        found = await client.request("GET", "k", sink=got.extend)
        assert (found.body, bytes(got)) == (b"", b"content")


@on_uvloop
async def test_a_sink_never_gets_the_beginning_twice() -> None:
    got = bytearray()

    async def cut(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with client_of(cut) as (client, wire, _):
        with pytest.raises(S3Error, match="ConnectionBroken"):
            await client.request("GET", "k", sink=got.extend)
        assert (bytes(got), len(wire.requests)) == (b"half", 1)


@on_uvloop
async def test_a_storm_of_503_passes() -> None:
    storm = [error(503, "SlowDown")] * 3
    async with client_of(script([*storm, reply(200, b"fine")])) as (client, _, naps):
        response = await client.request("GET", "k")
        assert (response.body, response.attempts, response.repeated) == (b"fine", 4, False)
        assert naps.taken == [0.05, 0.1, 0.2]


@on_uvloop
async def test_a_storm_that_does_not_pass_fails_the_object_and_says_so() -> None:
    storm = [error(503, "SlowDown", "Reduce your request rate")] * 100
    async with client_of(script(storm)) as (client, _, naps):
        with pytest.raises(S3Error) as caught:
            await client.request("GET", "k")
    assert not isinstance(caught.value, S3StopError)
    assert 300 <= sum(naps.taken) <= 320
    assert str(caught.value) == "GET 'k': SlowDown (503): Reduce your request rate"


@on_uvloop
async def test_a_200_with_an_error_in_it_is_an_error_that_is_tried_again() -> None:
    embedded = reply(200, b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code><Message>m</Message></Error>')
    async with client_of(script([embedded, reply(200, b"<CopyObjectResult></CopyObjectResult>")])) as (client, _, _):
        response = await client.request("PUT", "k", headers={"x-amz-copy-source": "a/b"})
        assert (response.attempts, response.repeated) == (2, True)


@on_uvloop
async def test_a_200_with_an_error_that_is_final_is_raised() -> None:
    embedded = reply(200, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    async with client_of(script([embedded])) as (client, _, _):
        with pytest.raises(S3Error, match="AccessDenied"):
            await client.request("PUT", "k", headers={"x-amz-copy-source": "a/b"})


@on_uvloop
async def test_a_200_to_a_copy_without_its_result_is_tried_again() -> None:
    cut = reply(200, b"<CopyObjectResult><ETag>")
    async with client_of(script([cut] * 2), attempts=2) as (client, _, _):
        with pytest.raises(S3Error, match="cut short"):
            await client.request("PUT", "k", headers={"x-amz-copy-source": "a/b"})


@on_uvloop
async def test_an_object_whose_content_is_an_error_document_is_just_an_object() -> None:
    content = b"<Error><Code>InternalError</Code></Error>"
    async with client_of(script([reply(200, content)])) as (client, _, _):
        assert (await client.request("GET", "k")).body == content


@pytest.mark.parametrize("status", [304, 404, 412])
def test_what_the_caller_decides_is_returned(status: int) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([reply(status)])) as (client, _, _):
            assert (await client.request("HEAD", "k")).status == status

    scenario()


@pytest.mark.parametrize(
    ("status", "code", "stops"),
    [
        (403, "InvalidAccessKeyId", True),
        (403, "SignatureDoesNotMatch", True),
        (400, "ExpiredToken", True),
        (404, "NoSuchBucket", True),
        (403, "AccountProblem", True),
        (403, "RequestTimeTooSkewed", True),
        (301, "PermanentRedirect", True),
        (403, "AccessDenied", False),
        (400, "KeyTooLongError", False),
    ],
)
def test_a_refusal_stops_the_run_or_fails_one_object(status: int, code: str, stops: bool) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([error(status, code)])) as (client, wire, _):
            with pytest.raises(S3Error) as caught:
                await client.request("PUT", "k")
            assert isinstance(caught.value, S3StopError) is stops
            assert (caught.value.code, caught.value.status, len(wire.requests)) == (code, status, 1)

    scenario()


@on_uvloop
async def test_one_wrong_signature_after_good_ones_is_that_objects_failure() -> None:
    async with client_of(script([reply(200), error(403, "SignatureDoesNotMatch")])) as (client, _, _):
        await client.request("GET", "plain")
        with pytest.raises(S3Error) as caught:
            await client.request("GET", "odd//key")
        assert not isinstance(caught.value, S3StopError)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(400, b"<html>no</html>", "Status400"), (403, b"", "AccessDenied"), (418, b"\xff<<", "Status418")],
)
def test_an_error_without_xml_still_has_a_code(status: int, body: bytes, code: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([reply(status, body)])) as (client, _, _):
            with pytest.raises(S3Error) as caught:
                await client.request("GET", "k")
            assert caught.value.code == code

    scenario()


@on_uvloop
async def test_an_endpoint_that_refuses_connections_stops_the_run_after_the_attempts() -> None:
    naps = Naps()
    async with client_of(script([])) as (_, wire, _):
        port = wire.port
    async with Client(endpoint(port), retry=Retry(attempts=3, sleep=naps, random=lambda: 1.0)) as client:
        with pytest.raises(S3StopError, match="EndpointUnreachable") as caught:
            await client.request("GET", "k")
    assert (caught.value.attempts, caught.value.repeated, naps.taken) == (3, False, [0.1, 0.2])
    assert "SECRET" not in str(caught.value)


@on_uvloop
async def test_a_cancelled_request_leaves_nothing_for_the_next_one() -> None:
    async def slow(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"slow" in request:
            await asyncio.sleep(0.2)
        writer.write(reply(200, request.split()[1]))

    async with client_of(slow) as (client, _, _):
        task = asyncio.create_task(client.request("GET", "slow"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.request("GET", "quick")).body == b"/bucket/quick"
        assert client.limiter.in_flight == 0


@on_uvloop
async def test_a_header_cannot_smuggle_a_second_request() -> None:
    async with client_of(script([])) as (client, wire, _):
        with pytest.raises(ValueError, match="line break"):
            await client.request("GET", "k", headers={"if-match": '"e"\r\nx-evil: 1'})
        assert wire.requests == []


@on_uvloop
async def test_requests_go_over_tls_to_a_server_that_is_trusted_and_stop_at_another(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    wire, naps = Wire(script([reply(200, b"one"), reply(200, b"two")])), Naps()
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with Client(endpoint(port, ssl.create_default_context(cafile=certificate))) as client:
        assert [(await client.request("GET", "k")).body for _ in range(2)] == [b"one", b"two"]
    retry = Retry(sleep=naps)
    async with Client(endpoint(port, ssl.create_default_context()), retry=retry) as client:
        with pytest.raises(S3StopError, match=r"CertificateNotTrusted.*self-signed"):
            await client.request("GET", "k")
    server.close()
    assert (wire.connections, naps.taken) == (1, [])
