"""The made-up listing says what a real one would, wherever a page begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.canned_listing import Shelf, answer
from bench.null_replies import COPIED, ETAG

SHELF = Shelf("image/", 2_500)
KEYS = [f"image/avatar-{number:07d}.png" for number in range(SHELF.count)]


def _keys(page: bytes) -> list[str]:
    return [part.partition(b"</Key>")[0].decode() for part in page.split(b"<Key>")[1:]]


@given(begin=st.integers(0, 2_500), length=st.integers(0, 2_500))
def test_entries_are_cut_anywhere(begin: int, length: int) -> None:
    end = min(begin + length, SHELF.count)
    assert _keys(SHELF.entries(begin, end)) == KEYS[begin:end]


@given(after=st.sampled_from([*KEYS[::97], "", "image/", "image/avatar-00010", "zzz"]), limit=st.integers(1, 1_000))
def test_a_page_goes_on_after_a_key(after: str, limit: int) -> None:
    page = SHELF.page("image/", after, limit)
    expected = [key for key in KEYS if key > after]
    assert _keys(page) == expected[:limit]
    assert (b"<IsTruncated>true" in page) == (len(expected) > limit)
    assert (b"<NextContinuationToken>" in page) == (len(expected) > limit)


@pytest.mark.parametrize(
    ("prefix", "count"), [("image/", 2_500), ("", 2_500), ("image/avatar-00011", 100), ("avatar/", 0), ("zzz", 0)]
)
def test_only_what_is_under_the_prefix(prefix: str, count: int) -> None:
    begin, end = SHELF.under(prefix)
    assert end - begin == count == sum(key.startswith(prefix) for key in KEYS)


def test_it_answers_listings_of_its_buckets_and_nothing_else() -> None:
    shelves = {"legacy": SHELF}
    listing = answer(shelves, b"GET /legacy?list-type=2&prefix=image%2F&max-keys=2&start-after=x HTTP/1.1")
    assert listing.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer(shelves, b"GET /legacy?prefix=image%2F HTTP/1.1").startswith(b"HTTP/1.1 501")
    assert answer(shelves, b"GET /other?list-type=2 HTTP/1.1").startswith(b"HTTP/1.1 501")


@pytest.mark.parametrize("count", [2_500, 100_000_000])
def test_every_etag_is_another(count: int) -> None:
    page = Shelf("image/", count).entries(count - 2_500, count)
    etags = {part.partition(b"&quot;")[0] for part in page.split(b"<ETag>&quot;")[1:]}
    assert len(etags) == 2_500
    assert {len(etag) for etag in etags} == {32}


def test_a_hundred_million_keys_are_in_their_order() -> None:
    shelf = Shelf("image/", 100_000_000)
    assert shelf.key(0) == "image/avatar-00000000.png"
    page = shelf.page("image/", shelf.key(12_345_678), 2)
    assert _keys(page) == [shelf.key(12_345_679), shelf.key(12_345_680)]


def test_the_null_servers_reply_names_the_etag_that_the_jobs_expect() -> None:
    assert f"<ETag>&quot;{ETAG}&quot;</ETag>".encode() in COPIED
    assert len(ETAG) == 32
