"""Listings: what a page says, and how pages follow one another."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from rehome.s3.errors import S3Error, S3StopError
from rehome.s3.listing import Listed, list_objects, parse_page

from tests.unit.s3.wire import client_of, error, on_uvloop, reply, script

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def entry(key: str, size: int = 1, etag: str = "&quot;e&quot;") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>{etag}</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def page(*entries: str, token: str | None = None, encoding: str = "url", namespace: str = NAMESPACE) -> bytes:
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {namespace}><Name>b</Name><Prefix/>'
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}"
        f"{f'<EncodingType>{encoding}</EncodingType>' if encoding else ''}{''.join(entries)}</ListBucketResult>"
    ).encode()


def keys(body: bytes) -> list[str]:
    return [listed.key for listed in parse_page(body).objects]


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_an_entry_has_all_its_parts(namespace: str) -> None:
    assert parse_page(page(entry("a", 7, "&#34;abc-2&#34;"), namespace=namespace)).objects == [
        Listed("a", 7, "abc-2", "2026-01-02T03:04:05.000Z", "STANDARD")
    ]


def test_encoded_keys_are_decoded_as_s3_means_them() -> None:
    body = page(*map(entry, ("a+b", "a%2Bb", "a%20b", "a%2520b", "%C3%A9%F0%9F%98%80", "a%01b", "%2F%2F")))
    assert keys(body) == ["a b", "a+b", "a b", "a%20b", "é😀", "a\x01b", "//"]


def test_keys_of_a_server_that_does_not_encode_are_taken_as_they_are() -> None:
    assert keys(page(entry("a+b%20c &amp; d"), encoding="")) == ["a+b%20c & d"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"<ListBucketResult><Contents>",
        page(entry("a"))[:-30],
        page("<Contents><Key>a</Key></Contents>"),
        page(entry("%FF")),
        page(entry("a")).replace(b"<IsTruncated>false", b"<IsTruncated>true"),
    ],
)
def test_what_is_no_whole_listing_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_page(body)


@on_uvloop
async def test_pages_follow_one_another_by_their_tokens() -> None:
    bodies = [page(entry("a"), token="t/+1"), page(entry("b"), token="t2"), page(entry("c"))]
    async with client_of(script([reply(200, body) for body in bodies])) as (client, wire, _):
        seen = [[listed.key for listed in batch] async for batch in list_objects(client, "p+ /")]
    assert seen == [["a"], ["b"], ["c"]]
    assert [request.split(b" ")[1] for request in wire.requests] == [
        b"/bucket?encoding-type=url&list-type=2&max-keys=1000&prefix=p%2B%20%2F",
        b"/bucket?continuation-token=t%2F%2B1&encoding-type=url&list-type=2&max-keys=1000&prefix=p%2B%20%2F",
        b"/bucket?continuation-token=t2&encoding-type=url&list-type=2&max-keys=1000&prefix=p%2B%20%2F",
    ]


@on_uvloop
async def test_the_next_page_is_asked_for_while_one_is_used() -> None:
    second_asked = asyncio.Event()

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"continuation-token" in request:
            second_asked.set()
        else:
            writer.write(reply(200, page(entry("a"), token="t1")))

    async with client_of(handle) as (client, _, _):
        async with contextlib.aclosing(list_objects(client, "")) as listing:
            await anext(listing)
            await second_asked.wait()
        assert client.pace.in_flight == 0


@on_uvloop
async def test_an_empty_prefix_lists_nothing() -> None:
    async with client_of(script([reply(200, page())])) as (client, _, _):
        assert [batch async for batch in list_objects(client, "none/")] == []


@on_uvloop
async def test_a_token_that_does_not_move_is_an_error_and_not_an_endless_listing() -> None:
    async with client_of(script([reply(200, page(entry("a"), token="t"))] * 2)) as (client, _, _):
        with pytest.raises(S3Error, match="ListingStuck"):
            _ = [batch async for batch in list_objects(client, "")]


@on_uvloop
async def test_a_page_that_is_cut_short_is_asked_for_again() -> None:
    whole = page(entry("a"), entry("b"))
    async with client_of(script([reply(200, whole[:-40]), reply(200, whole)])) as (client, _, _):
        assert [len(batch) async for batch in list_objects(client, "")] == [2]


@on_uvloop
async def test_garbage_that_stays_garbage_fails_the_listing() -> None:
    async with client_of(script([reply(200, b"<html>")] * 3)) as (client, _, _):
        with pytest.raises(S3Error, match="InvalidListing"):
            _ = [batch async for batch in list_objects(client, "")]


@on_uvloop
async def test_a_listing_that_fails_on_a_later_page_says_so() -> None:
    replies = [reply(200, page(entry("a"), token="t")), error(404, "NoSuchBucket")]
    async with client_of(script(replies)) as (client, _, _):
        seen = []
        with pytest.raises(S3StopError, match="NoSuchBucket"):
            async for batch in list_objects(client, ""):
                seen += batch
        assert len(seen) == 1
