"""Faulty servers, byte for byte: nothing is lost, nothing counts twice, and each request has a clear end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from rehome.s3.errors import (
    ARCHIVED_CODES,
    OBJECT_CODES,
    RETRY_CODES,
    STOP_CODES,
    THROTTLE_CODES,
    Meaning,
    S3Error,
    meaning_of,
)

from tests.unit.s3.wire import Handler, client_of, copied, error, on_uvloop, reply, script

COPY = {"x-amz-copy-source": "a/b"}


def in_pieces(*pieces: bytes | float | None, then: Sequence[bytes] = ()) -> Handler:
    """First request: bytes are sent, numbers are seconds of silence, None closes. Later ones: `then`."""
    later = iter(then)
    first = True

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if not first:
            writer.write(next(later))
            return
        first = False
        for piece in pieces:
            if piece is None:
                writer.close()
            elif isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)

    return handle


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (None,),
        (b"HTTP/1.1 20", None),
        (b"HTTP/1.1 200 OK\r\ncontent-", None),
        (HEAD, None),
        (HEAD + b"half", None),
        (CHUNKED, None),
        (CHUNKED + b"5\r\nhal", None),
        (CHUNKED + b"4\r\nhalf\r\n", None),
        (CHUNKED + b"4\r\nhalf\r\n0\r\n", None),
        (CHUNKED + b"xyz\r\nhalf\r\n",),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",),
        (b"HTTP/2 200\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntoo long",),
        (b"HTTP/1.1 200 OK\r\nname \x00: value\r\n\r\n",),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", None),
        (b"\x00" * 100_000,),
    ],
    ids=lambda pieces: repr(pieces)[:60],
)
def test_half_a_reply_or_garbage_is_asked_for_again(pieces: tuple[bytes | None, ...]) -> None:
    @on_uvloop
    async def scenario() -> None:
        good = reply(200, b"0123456789")
        async with client_of(in_pieces(*pieces, then=[good, good])) as (client, wire, naps):
            response = await client.request("GET", "k", read_timeout=1)
            assert (response.body, response.attempts, response.repeated) == (b"0123456789", 2, True)
            assert (await client.request("GET", "k2")).body == b"0123456789"
            assert (len(wire.requests), wire.connections, len(naps.taken)) == (3, 2, 1)

    scenario()


@on_uvloop
async def test_a_reply_that_is_shorter_than_it_says_is_waited_for_and_then_asked_for_again() -> None:
    async with client_of(in_pieces(HEAD + b"half", 3600.0, then=[reply(200)])) as (client, wire, _):
        response = await client.request("GET", "k", read_timeout=0.05)
        assert (response.attempts, wire.connections) == (2, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6;ext=1\r\nonetwo\r\n0\r\ntrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:6\r\nX-Odd:\r\n\r\nonetwo",
        b"HTTP/1.1 200\r\ncontent-length: 6\r\n\r\nonetwo",
    ],
)
def test_odd_but_whole_replies_are_read_in_whatever_pieces_they_come(body: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        cut = random.Random(1).randrange(1, len(body))
        async with client_of(in_pieces(body[:cut], 0.01, body[cut:], then=[reply(200)])) as (client, wire, _):
            assert (await client.request("GET", "k")).body == b"onetwo"
            await client.request("GET", "k")
            assert wire.connections == 1

    scenario()


@on_uvloop
async def test_a_reply_whose_only_end_is_the_connections_cannot_be_told_from_half_a_reply() -> None:
    async with client_of(in_pieces(b"HTTP/1.1 200 OK\r\n\r\none", None, then=[reply(200, b"all")])) as (client, _, _):
        response = await client.request("GET", "k")
        assert (response.body, response.attempts) == (b"all", 2)


@on_uvloop
async def test_a_reply_that_drips_is_waited_for_as_long_as_it_drips() -> None:
    drips = [piece for byte in copied("e") for piece in (bytes([byte]), 0.008)]
    async with client_of(in_pieces(*drips)) as (client, wire, _):
        response = await client.request("PUT", "k", headers=COPY, read_timeout=0.4)
        assert (response.status, response.attempts, len(wire.requests)) == (200, 1, 1)


@pytest.fixture
def no_longer_than_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehome.s3.transport.connection._TOTAL_TIMEOUTS", 1)


@pytest.mark.usefixtures("no_longer_than_a_silence")
@on_uvloop
async def test_a_reply_that_drips_for_ever_ends_all_the_same() -> None:
    async def drip(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with client_of(drip, attempts=1) as (client, _, _):
        with pytest.raises(S3Error, match=r"ReadTimeout.*no complete reply within"):
            await client.request("PUT", "k", headers=COPY, read_timeout=0.4)


@pytest.mark.usefixtures("no_longer_than_a_silence")
@on_uvloop
async def test_a_body_that_keeps_coming_into_a_sink_may_take_any_time() -> None:
    pieces = [piece for _ in range(40) for piece in (b"x" * 10, 0.02)]
    got = bytearray()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n"
    async with client_of(in_pieces(head, *pieces)) as (client, _, _):
        await client.request("GET", "k", sink=got.extend, read_timeout=0.4)
    assert len(got) == 400


@on_uvloop
async def test_every_kept_connection_may_have_been_closed_meanwhile() -> None:
    served = 0

    async def once(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        await asyncio.sleep(0.005)
        writer.write(reply(200, request.split()[1]))
        await writer.drain()
        writer.close()  # without having said so

    async with client_of(once, max_connections=8) as (client, _, naps):
        for _ in range(5):
            replies = await asyncio.gather(*[client.request("GET", f"k{n}") for n in range(8)])
            assert [one.body for one in replies] == [f"/bucket/k{n}".encode() for n in range(8)]
    assert served >= 40
    assert naps.taken == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<Error><Code>SlowDown</Code></Error>", "SlowDown"),
        (b"<Error><Code>NeverHeardOf</Code></Error>", "NeverHeardOf"),
        (b"  \n  <?xml version='1.0'?>\n<Error><Code>InternalError</Code></Error>", "InternalError"),
        (b"<Error><Code>Inter", "Status200"),
        (b"", "InternalError"),
        (b"<CopyObjectResult><ETag>e</ETag>", "InternalError"),
        (b"<html>login please</html>", "InternalError"),
    ],
)
def test_a_200_that_is_no_success_is_tried_again_and_never_taken_for_one(body: bytes, code: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([reply(200, body), copied("e")])) as (client, _, _):
            assert (await client.request("PUT", "k", headers=COPY)).attempts == 2
        async with client_of(script([reply(200, body)] * 200), attempts=3) as (client, _, _):
            with pytest.raises(S3Error) as caught:
                await client.request("PUT", "k", headers=COPY)
            assert caught.value.code == code

    scenario()


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe<Error>",
        b"<Error>" * 10_000,
        b"<a/>",
        b"not xml",
        b"\x00",
        b"<?xml version='1.0' encoding='unheard-of'?><Error/>",
    ],
)
def test_garbage_in_place_of_an_explanation_is_no_obstacle(body: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        async with client_of(script([reply(500, body), reply(400, body)])) as (client, _, _):
            with pytest.raises(S3Error) as caught:
                await client.request("GET", "k")
            assert (caught.value.code, caught.value.attempts) == ("Status400", 2)

    scenario()


@on_uvloop
async def test_throttled_replies_do_not_use_up_the_attempts() -> None:
    throttled = [error(503, "SlowDown"), error(429, "TooManyRequests"), error(400, "KMS.ThrottlingException")] * 4
    async with client_of(script([*throttled, error(500, "InternalError"), reply(200)]), attempts=2) as (client, _, _):
        assert (await client.request("GET", "k")).attempts == 14


@on_uvloop
async def test_through_faults_of_all_kinds_every_request_gets_its_own_reply_once() -> None:
    chance = random.Random(42)
    served: list[bytes] = []

    async def faulty(request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.split()[1]
        good = reply(200, path)
        bad = chance.choice([None, good[:20], good[:-1], error(503, "SlowDown"), error(500, "InternalError"), b"ill"])
        if chance.random() < 0.3:
            if bad is not None:
                writer.write(bad)
                await writer.drain()
            if bad is None or not bad.endswith(b"</Error>"):
                writer.close()
            return
        served.append(path)
        writer.write(good)
        if chance.random() < 0.1:
            await writer.drain()
            writer.close()

    async with client_of(faulty, attempts=30, max_connections=16) as (client, _, _):
        replies = await asyncio.gather(*[client.request("GET", f"{n}") for n in range(400)])
    assert [one.body for one in replies] == [f"/bucket/{n}".encode() for n in range(400)]
    assert client.limiter.in_flight == 0


def test_every_code_has_one_meaning() -> None:
    groups = [OBJECT_CODES, RETRY_CODES, THROTTLE_CODES, STOP_CODES]
    assert sum(map(len, groups)) == len(frozenset[str]().union(*groups))
    assert ARCHIVED_CODES < OBJECT_CODES


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (403, "InvalidObjectState", Meaning.SKIP),
        (403, "ObjectNotInActiveTierError", Meaning.SKIP),
        (400, "EntityTooLarge", Meaning.SKIP),
        (400, "KeyTooLongError", Meaning.SKIP),
        (400, "MetadataTooLarge", Meaning.SKIP),
        (403, "AccessDenied", Meaning.SKIP),
        (400, "KMS.DisabledException", Meaning.SKIP),
        (400, "KMS.ThrottlingException", Meaning.WAIT),
        (400, "KMS.KMSInternalException", Meaning.RETRY),
        (400, "KMS.Unheard", Meaning.SKIP),
        (409, "ConditionalRequestConflict", Meaning.RETRY),
        (404, "NoSuchBucket", Meaning.STOP),
        (400, "Unheard", Meaning.SKIP),
        (302, "Status302", Meaning.STOP),
        (407, "ProxyAuthenticationRequired", Meaning.STOP),
        (408, "Unheard", Meaning.RETRY),
        (429, "Unheard", Meaning.WAIT),
        (500, "Unheard", Meaning.RETRY),
        (501, "NotImplemented", Meaning.SKIP),
        (502, "Status502", Meaning.RETRY),
        (503, "Unheard", Meaning.WAIT),
        (504, "Status504", Meaning.RETRY),
        (507, "Status507", Meaning.STOP),
        (522, "Status522", Meaning.RETRY),
    ],
)
def test_a_refusal_means_what_its_code_says_or_else_its_status(status: int, code: str, meaning: Meaning) -> None:
    assert meaning_of(status, code) is meaning


@on_uvloop
async def test_every_request_says_who_pays_and_who_must_own_the_bucket() -> None:
    changes = {"requester_pays": True, "expected_owner": "111122223333"}
    async with client_of(script([reply(200), copied("e"), reply(200)]), changes=changes) as (client, wire, _):
        await client.request("GET", None)
        await client.request("PUT", "k", headers=COPY | {"if-none-match": "*"}, body=b"")
        await client.put_object("k", b"content")
    for request in wire.requests:
        assert b"\r\nx-amz-request-payer: requester\r\n" in request
        assert b"\r\nx-amz-expected-bucket-owner: 111122223333\r\n" in request
        assert b"x-amz-expected-bucket-owner;x-amz-request-payer" in request.partition(b"SignedHeaders=")[2]
