"""The replies on a connection, however they are cut into packets."""

from __future__ import annotations

import asyncio
import weakref
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rehome.s3.transport.connection import Connection, Fault, Response, TlsConnection, TransportError

TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("connection", "upgrade")
)
VALUES = st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), min_size=1))
HEADERS = st.dictionaries(TOKENS, VALUES.map(" ".join), max_size=5)
SPACES = st.sampled_from(["", " ", "  ", "\t"])
CUTS = st.lists(st.integers(0, 200), max_size=4)


async def reply_to_one_request(*packets: bytes, head_only: bool = False) -> Response:
    connection = Connection()
    connection.connection_made(mock.Mock(spec=asyncio.Transport))
    reply = asyncio.ensure_future(connection.exchange(b"", head_only=head_only, read_timeout=9))
    await asyncio.sleep(0)
    for packet in packets:
        connection.data_received(packet)
    try:
        return await reply
    finally:
        connection.close()


def encoded(headers: dict[str, str], before: str = " ", after: str = "") -> bytes:
    return "".join([f"{name}:{before}{value}{after}\r\n" for name, value in headers.items()]).encode("latin-1")


@given(HEADERS, SPACES, SPACES, st.binary(max_size=50), CUTS, st.sampled_from([b"", b"\r\n"]), st.booleans())
@example({"X-Amz-Request-Id": "7"}, " ", "", b"<Error/>", [1, 17, 20], b"\r\n", True)
@example({"X-Amz-Request-Id": "7"}, " ", "", b"long" * 2000, [], b"", True)
def test_a_reply_is_the_same_however_it_is_cut(
    headers: dict[str, str], before: str, after: str, body: bytes, cuts: list[int], blank: bytes, interim: bool
) -> None:
    sent = b"HTTP/1.1 100 Continue\r\nx-of: another\r\n\r\n" if interim else b""
    sent += blank + b"HTTP/1.1 200 OK\r\n" + encoded(headers, before, after)
    sent += b"Content-Length: %d\r\n\r\n" % len(body) + body
    places = [0, *sorted(cuts), len(sent)]
    packets = [sent[start:end] for start, end in pairwise(places) if sent[start:end]]
    reply = asyncio.run(reply_to_one_request(*packets))
    lowered = {name.lower().encode(): value.encode("latin-1") for name, value in headers.items()}
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers == lowered | {b"content-length": b"%d" % len(body)}


class Rest:
    """A body of which the end has not come yet, or all of whose ten bytes are in the transport."""

    length = 10

    def __init__(self, sent: int) -> None:
        self.sent = sent

    def begin(self, connection: Connection) -> None:
        connection.send(b"x" * self.sent)

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def end(self) -> None: ...


async def early_reply(body: Rest, status: int, *, writing_paused: bool = False) -> bool:
    """Return whether the connection can take another request after a reply to one whose body is on its way."""
    connection = Connection()
    connection.connection_made(mock.Mock(spec=asyncio.Transport))
    exchange = asyncio.ensure_future(connection.exchange(b"", head_only=False, read_timeout=9, body=body))
    await asyncio.sleep(0)
    if writing_paused:
        connection.pause_writing()
    connection.data_received(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)
    try:
        assert (await exchange).status == status
        return connection.reusable
    finally:
        connection.close()


def test_a_refusal_before_the_body_was_received_ends_the_connection() -> None:
    """A body that waits in the transport is no better: the next one would be added to it without a pause."""
    assert asyncio.run(early_reply(Rest(10), 412))
    assert not asyncio.run(early_reply(Rest(9), 412))
    assert not asyncio.run(early_reply(Rest(10), 412, writing_paused=True))


def test_success_before_the_whole_body_was_sent_is_not_believed() -> None:
    assert asyncio.run(early_reply(Rest(10), 200))
    with pytest.raises(TransportError) as raised:
        asyncio.run(early_reply(Rest(9), 200))
    assert raised.value.fault is Fault.INVALID


def test_the_reply_to_a_head_has_its_headers_and_no_body() -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "e1"\r\nContent-Length: 7\r\n\r\n'
    reply = asyncio.run(reply_to_one_request(head, head_only=True))
    assert (reply.body, reply.headers[b"etag"], reply.headers.get(b"content-length")) == (b"", b'"e1"', b"7")
    assert b"x-amz-version-id" not in reply.headers


def test_an_idle_connection_does_not_keep_what_its_last_reply_was_read_into() -> None:
    """Its memory is another object's by then."""

    class Content:
        def __call__(self, chunk: bytes) -> None: ...

    async def kept() -> bool:
        connection, content = Connection(), Content()
        connection.connection_made(mock.Mock(spec=asyncio.Transport))
        reply = asyncio.ensure_future(connection.exchange(b"", head_only=False, read_timeout=9, sink=content))
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
        await reply
        kept = weakref.ref(content)
        del content, reply
        try:
            assert connection.reusable
            return kept() is not None
        finally:
            connection.close()

    assert not asyncio.run(kept())


def test_long_headers_are_all_there() -> None:
    headers = {f"x-amz-meta-{number}": "v" * 1000 for number in range(9)}
    reply = asyncio.run(
        reply_to_one_request(b"HTTP/1.1 200 OK\r\n" + encoded(headers) + b"Content-Length: 2\r\n\r\n", b"{}")
    )
    assert {name: reply.headers[name.encode()] for name in headers} == {
        name: value.encode() for name, value in headers.items()
    }
    assert (reply.body, len(reply.headers)) == (b"{}", 10)


@pytest.mark.parametrize(
    "line", [b"a: b\n", b"a : b\r\n", b": b\r\n", b"a\r\n", b"a: b\r\n c\r\n", b"a: \0\r\n", b"a: b\rc\r\n"]
)
def test_what_is_no_header_is_no_reply(line: bytes) -> None:
    with pytest.raises(TransportError) as raised:
        asyncio.run(reply_to_one_request(b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 0\r\n\r\n"))
    assert raised.value.fault is Fault.INVALID


def test_connections_that_share_a_buffer_do_not_share_what_they_read() -> None:
    async def read() -> list[Response]:
        buffer = memoryview(bytearray(256))
        connections = [TlsConnection(buffer) for _ in range(2)]
        replies = []
        for connection in connections:
            connection.connection_made(mock.Mock(spec=asyncio.Transport))
            replies.append(asyncio.ensure_future(connection.exchange(b"", head_only=False, read_timeout=9)))
        await asyncio.sleep(0)
        packets = [b"HTTP/1.1 200 OK\r\nx-of: %d\r\nContent-Length: 2\r\n\r\n%d", b"%d"]
        for packet in packets:
            for number, connection in enumerate(connections):
                data = packet % ((number,) * packet.count(b"%"))
                connection.get_buffer(-1)[: len(data)] = data
                connection.buffer_updated(len(data))
        try:
            return await asyncio.gather(*replies)
        finally:
            for connection in connections:
                connection.close()

    replies = asyncio.run(read())
    assert [reply.body for reply in replies] == [b"00", b"11"]
    assert [reply.headers[b"x-of"] for reply in replies] == [b"0", b"1"]
