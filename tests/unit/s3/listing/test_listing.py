"""Listings: how pages follow one another, and how a listing is divided among several at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehome.s3.errors import S3Error, S3StopError
from rehome.s3.listing.listing import WHOLE, Left, Listing, Remainder, list_objects
from rehome.s3.listing.page import Listed

from tests.unit.s3.fake_bucket import FakeBucket, Order, by_folders, by_utf8, by_utf16
from tests.unit.s3.list_pages import entry, page
from tests.unit.s3.wire import client_of, error, on_uvloop, reply, script


async def listed(bucket: FakeBucket, prefix: str = "", page_size: int = 10, parallel: int = 16) -> list[str]:
    return [key async for batch in list_objects(bucket, prefix, page_size, parallel=parallel) for key in batch.keys]


def check(keys: set[str], page_size: int, prefix: str = "", parallel: int = 16, **server: Any) -> FakeBucket:
    """List, and check that each key is listed exactly once."""
    bucket = FakeBucket(keys, **server)
    found = uvloop.run(listed(bucket, prefix, page_size, parallel))
    assert sorted(found) == sorted(key for key in keys if key.startswith(prefix))
    assert bucket.in_flight == 0
    return bucket


@on_uvloop
async def test_pages_follow_one_another_by_their_tokens() -> None:
    bodies = [page(entry("a"), token="t/+1"), page(entry("b"), token="t2"), page(entry("c"))]
    async with client_of(script([reply(200, body) for body in bodies])) as (client, wire, _):
        seen = [list(batch.keys) async for batch in list_objects(client, "p+ /", parallel=1)]
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
        assert client.limiter.in_flight == 0


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
        seen: list[Listed] = []
        with pytest.raises(S3StopError, match="NoSuchBucket"):
            async for batch in list_objects(client, ""):
                seen += batch
        assert len(seen) == 1


@on_uvloop
async def test_restore_status_is_asked_for_at_aws_only() -> None:
    for is_aws in (True, False):
        bucket = FakeBucket(["a"], is_aws=is_aws)
        await listed(bucket)
        assert ("x-amz-optional-object-attributes" in bucket.headers[0]) is is_aws


CODE_POINTS = st.characters(exclude_categories=["Cs"])
ALPHABETS = [
    "0123456789",
    "0123456789abcdef",
    "ab",
    "a/",
    "a-/0Zz",
    "\x01\x1f \x7f",
    "aé中\ud7ff\ue000\uffff😀\U0010ffff",
]
KEYS = st.one_of(
    *(st.sets(st.text(alphabet, min_size=1, max_size=6), max_size=120) for alphabet in ALPHABETS),
    st.sets(st.text(CODE_POINTS, min_size=1, max_size=4), max_size=60),
    st.builds(
        lambda start, ends: {start + end for end in ends} - {""},
        st.text(CODE_POINTS, max_size=40),
        st.sets(st.text("0123456789", max_size=4), max_size=120),
    ),
    st.builds(
        lambda count, form: {form.format(n) for n in range(count)},
        st.integers(0, 300),
        st.sampled_from(["{}", "a/{:09}"]),
    ),
)
"""Keys of many alphabets, keys that are prefixes of others, keys with long common prefixes."""


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(keys=KEYS, page_size=st.integers(1, 7), parallel=st.integers(1, 20), most=st.integers(1, 7))
def test_every_key_is_listed_once_in_a_bounded_number_of_requests(
    keys: set[str], page_size: int, parallel: int, most: int
) -> None:
    bucket = check(keys, page_size, parallel=parallel, most=most)
    pages = -(-len(keys) // min(page_size, most))
    assert len(bucket.requests) <= 2 * pages + 60
    assert bucket.peak <= parallel


@settings(max_examples=40, deadline=None)
@given(keys=KEYS, page_size=st.integers(1, 5), at=st.integers(0, 4), length=st.integers(0, 6))
def test_a_prefix_is_listed_whole_and_nothing_else(keys: set[str], page_size: int, at: int, length: int) -> None:
    prefix = (sorted(keys)[at] if len(keys) > at else "x")[:length]
    check(keys, page_size, prefix)


@settings(max_examples=40, deadline=None)
@given(keys=KEYS, page_size=st.integers(1, 5), times=st.integers(0, 3))
def test_a_server_that_does_not_know_start_after_is_listed_all_the_same(
    keys: set[str], page_size: int, times: int
) -> None:
    """Also one that forgets it after some `times`."""
    check(keys, page_size, honours=lambda time: time <= times)


@settings(max_examples=40, deadline=None)
@given(keys=KEYS, page_size=st.integers(1, 5))
def test_a_server_that_sorts_by_utf_16_is_listed_all_the_same(keys: set[str], page_size: int) -> None:
    check(keys, page_size, order=by_utf16)


@settings(max_examples=80, deadline=None)
@given(
    keys=st.sets(st.text("ab/-1", min_size=1, max_size=7), max_size=120) | KEYS,
    page_size=st.integers(1, 5),
    skips_folders=st.booleans(),
)
def test_a_server_that_walks_folders_is_listed_all_the_same(
    keys: set[str], page_size: int, skips_folders: bool
) -> None:
    """Also one that takes a folder of the name it is to start after for listed, as SeaweedFS 4.48 does."""
    check({key for key in keys if "\0" not in key}, page_size, order=by_folders, skips_folders=skips_folders)


def test_a_folder_that_start_after_passes_over_is_listed() -> None:
    keys = {f"2026/{month:02}/{number:03}" for month in range(1, 13) for number in range(80)}
    assert check(keys, 10, order=by_folders, skips_folders=True).splits > 1


class Losing(FakeBucket):
    """Loses some of its objects before it answers a request, by their numbers and by that of the request."""

    def __init__(self, names: Sequence[str], gone: set[int], at: int) -> None:
        super().__init__(names)
        self._gone = {names[number] for number in gone}
        self._at = at

    def _page(self, given: dict[str, str]) -> bytes:
        if len(self.requests) == self._at:
            self.remove(self._gone)
        return super()._page(given)


@settings(max_examples=40, deadline=None)
@given(gone=st.sets(st.integers(0, 399), max_size=200), at=st.integers(1, 40))
def test_objects_that_go_meanwhile_leave_neither_gap_nor_double(gone: set[int], at: int) -> None:
    """Also where the first key of a range is among them, at which another one was to end."""
    names = [f"{number:04}" for number in range(400)]

    found = uvloop.run(listed(Losing(names, gone, at)))
    assert len(found) == len(set(found))
    assert set(found) >= {name for number, name in enumerate(names) if number not in gone}


def hashed(key: str) -> int:
    return random.Random(key).getrandbits(64)


@settings(max_examples=40, deadline=None)
@given(keys=st.sets(st.text("ab01", min_size=1, max_size=6), max_size=120))
def test_keys_in_no_order_are_listed_all_the_same(keys: set[str]) -> None:
    check(keys, 7, order=hashed)


def test_disorder_that_shows_too_late_is_an_error_and_not_a_gap() -> None:
    keys = {f"{n:04}" for n in range(900)}

    def late(key: str) -> str:
        return key if key < "0700" else key[:2] + key[:1:-1]

    with pytest.raises(S3Error, match="ListingDisordered"):
        check(keys, 10, order=late)
    check(keys, 10, order=late, parallel=1)


def test_a_server_that_does_not_know_start_after_is_asked_once() -> None:
    assert check({str(n) for n in range(300)}, 10, honours=lambda time: False).splits == 1


def test_a_server_that_refuses_start_after_is_listed_all_the_same() -> None:
    assert check({str(n) for n in range(300)}, 10, refuses=True).splits == 1


def test_a_directory_bucket_is_never_split() -> None:
    assert check({str(n) for n in range(300)}, 10, name="fast--use1-az4--x-s3").splits == 0


NAMES = {
    "numbers": {f"image/avatar-{n:09}.png" for n in range(3000)},
    "plain numbers": {f"image/avatar-{n}.png" for n in range(3000)},
    "hashes": {str(uuid.UUID(int=random.Random(n).getrandbits(128))) for n in range(3000)},
    "days": {f"2026/{n % 12 + 1:02}/{n % 28 + 1:02}/{n}.jpg" for n in range(3000)},
    "ideographs": {
        "".join(chr(0x4E00 + random.Random(n + i).randrange(20000)) for i in (0, 9999)) for n in range(3000)
    },
    "long beginnings": {"x" * 300 + f"/{n:06}" for n in range(3000)},
}


@pytest.mark.parametrize("name", NAMES)
def test_usual_keys_are_divided_among_many_with_few_requests_too_many(name: str) -> None:
    keys = NAMES[name]
    bucket = check(keys, 20)
    assert bucket.peak >= 12
    assert len(bucket.requests) <= 1.4 * len(keys) / 20


def test_a_listing_of_two_pages_is_not_split() -> None:
    assert check({str(n) for n in range(20)}, 10).splits == 0


@on_uvloop
async def test_pages_wait_in_a_bounded_number_where_nobody_uses_them() -> None:
    bucket = FakeBucket([f"{n:05}" for n in range(5000)])
    async with contextlib.aclosing(list_objects(bucket, "", 10)) as listing:
        await anext(listing)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert len(bucket.requests) < 40
    assert bucket.in_flight == 0


@on_uvloop
async def test_an_error_in_one_range_ends_the_listing() -> None:
    class Broken(FakeBucket):
        async def request(self, *args: Any, **kwargs: Any) -> Any:
            if len(self.requests) == 40:
                raise S3StopError(403, "ExpiredToken", "expired", None, verb="GET")
            return await super().request(*args, **kwargs)

    bucket = Broken([f"{n:05}" for n in range(5000)])
    with pytest.raises(S3StopError, match="ExpiredToken"):
        await listed(bucket)
    assert bucket.in_flight == 0
    count = len(bucket.requests)
    await asyncio.sleep(0.01)
    assert len(bucket.requests) == count


async def listed_and_left(listing: Listing, most_pages: int) -> tuple[list[str], Left]:
    """List about so many pages."""
    found, pages = list[str](), 0
    if not most_pages:
        listing.leave()
    async for batch in listing.pages():
        found += batch.keys
        pages += 1
        if pages == most_pages:
            listing.leave()
    return found, listing.left


def in_shards(bucket: FakeBucket, draw: random.Random, most_pages: int = 3, first_pages: int = 3) -> list[str]:
    """List as many do: one begins, the others each take some of what is left, one of them twice, in any order."""

    async def some(begun: Left, most_pages: int = most_pages) -> tuple[list[str], Left]:
        return await listed_and_left(Listing(bucket, "", 5, parallel=6, begun=begun), most_pages)

    async def run() -> list[str]:
        found, left = await some(WHOLE, first_pages)
        waiting, possible = list(left.remainders), set(left.orders)
        while waiting:
            draw.shuffle(waiting)
            count = draw.randint(1, min(6, len(waiting)))
            begun = Left(tuple(waiting[:count]), left.orders)
            if not draw.randrange(4):
                await some(begun)  # by one whose report is lost
            more, after = await some(begun)
            found += more
            waiting[:count] = after.remainders
            possible &= set(after.orders)
        assert not found or possible
        return found

    return uvloop.run(run())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=KEYS | st.sets(st.text("ab/-1", min_size=1, max_size=7), max_size=120),
    draw=st.randoms(use_true_random=False),
    order=st.sampled_from([by_utf8, by_utf16, by_folders]),
    most_pages=st.integers(0, 12),
)
def test_what_one_has_left_others_list_exactly_once(
    keys: set[str], draw: random.Random, order: Order, most_pages: int
) -> None:
    keys = {key for key in keys if "\0" not in key}
    bucket = FakeBucket(keys, order=order, skips_folders=order is by_folders)
    found = in_shards(bucket, draw, most_pages=most_pages)
    assert sorted(found) == sorted(keys)
    assert bucket.in_flight == 0


@settings(max_examples=40, deadline=None)
@given(keys=KEYS, draw=st.randoms(use_true_random=False), times=st.integers(0, 3))
def test_what_is_left_is_listed_once_where_start_after_is_forgotten(
    keys: set[str], draw: random.Random, times: int
) -> None:
    assert sorted(in_shards(FakeBucket(keys, honours=lambda time: time <= times), draw)) == sorted(keys)


@settings(max_examples=40, deadline=None)
@given(gone=st.sets(st.integers(0, 399), max_size=200), at=st.integers(1, 60), draw=st.randoms(use_true_random=False))
def test_objects_that_go_while_others_list_leave_neither_gap_nor_double(
    gone: set[int], at: int, draw: random.Random
) -> None:
    names = [f"{number:04}" for number in range(400)]

    found = in_shards(Losing(names, gone, at), draw)
    assert len(found) == len(set(found))
    assert set(found) >= {name for number, name in enumerate(names) if number not in gone}


def test_a_listing_is_left_in_ranges_that_can_be_sent() -> None:
    bucket = FakeBucket([f"{number:04}" for number in range(2000)])

    found, left = uvloop.run(listed_and_left(Listing(bucket, "", 10), 60))
    assert 600 <= len(found) < 900
    assert len(left.remainders) > 8
    assert left.orders == ("code_point", "utf_16", "folder")
    sent: Any = json.loads(json.dumps(left))
    assert Left(tuple(Remainder(*one) for one in sent[0]), tuple(sent[1])) == left


def test_a_listing_that_cannot_be_divided_is_not_left() -> None:
    keys = {f"{number:04}" for number in range(900)}
    for server in ({"honours": lambda time: False}, {"refuses": True}, {"name": "fast--use1-az4--x-s3"}):
        bucket = FakeBucket(keys, **server)  # type: ignore[arg-type]
        found, left = uvloop.run(listed_and_left(Listing(bucket, "", 10), 20))
        assert (sorted(found), left.remainders) == (sorted(keys), ())


def test_disorder_that_one_of_many_finds_is_an_error_and_not_a_gap() -> None:
    keys = {f"{n:04}" for n in range(900)}

    def late(key: str) -> str:
        return key if key < "0700" else key[:2] + key[:1:-1]

    with pytest.raises(S3Error, match="ListingDisordered"):
        in_shards(FakeBucket(keys, order=late), random.Random(1), most_pages=20)


def test_disorder_between_two_pages_shows_also_if_each_is_listed_by_another() -> None:
    keys = {f"{n:04}" for n in range(900)}

    def by_page(key: str) -> tuple[int, str]:
        return (0, key) if key < "0700" else (900 - int(key) // 5 * 5, key)

    with pytest.raises(S3Error, match="ListingDisordered"):
        in_shards(FakeBucket(keys, order=by_page), random.Random(1), most_pages=0, first_pages=20)
