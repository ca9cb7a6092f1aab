"""Split points: always between the bounds, and soon among the keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rehome.mapping.key_shapes import MAX_KEY_BYTES
from rehome.s3.listing.split_points import after_all_with, common_length, split_point

TEXTS = st.one_of(
    st.text("01289az/~", max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.text("a\U0010ffff\ud7ff", max_size=4),
    st.builds(lambda start, end: start + end, st.just("中" * 341), st.text("0a", max_size=1)),
)


@settings(max_examples=200, deadline=None)
@given(bounds=st.tuples(TEXTS, TEXTS, TEXTS), is_bounded=st.booleans())
def test_a_split_point_is_between_the_bounds_and_can_be_sent(bounds: tuple[str, str, str], is_bounded: bool) -> None:
    seen, cursor, last = sorted(bounds)
    high = last if is_bounded and last > cursor else None
    point = split_point(seen, cursor, high)
    if point is not None:
        assert cursor < point
        assert high is None or point < high
        assert len(point.encode()) <= MAX_KEY_BYTES


@settings(max_examples=200, deadline=None)
@given(point_of=st.tuples(TEXTS, TEXTS), key=TEXTS)
def test_keys_are_on_the_same_side_by_code_points_by_bytes_and_by_utf_16(point_of: tuple[str, str], key: str) -> None:
    seen, cursor = sorted(point_of)
    point = split_point(seen, cursor, None)
    if point is not None:
        assert (key < point) == (key.encode() < point.encode()) == (key.encode("utf-16-be") < point.encode("utf-16-be"))


@settings(max_examples=150, deadline=None)
@given(start=TEXTS, end=TEXTS)
def test_what_begins_with_a_text_is_below_what_comes_after_all_such(start: str, end: str) -> None:
    after = after_all_with(start)
    assert after is None or start + end < after


@pytest.mark.parametrize(
    ("start", "after"),
    [("a", "b"), ("a/", "a0"), ("a\ud7ff", "b"), ("\ud7ff", None), ("", None), ("a\U0010ffff", "b"), ("é", "ê")],
)
def test_the_least_text_after_all_that_begin_with_another(start: str, after: str | None) -> None:
    assert after_all_with(start) == after


@given(one=TEXTS, other=TEXTS)
def test_what_two_texts_share_is_their_longest_common_beginning(one: str, other: str) -> None:
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert length in (len(one), len(other)) or one[length] != other[length]


@pytest.mark.parametrize(
    ("seen", "cursor", "high", "point"),
    [
        # all the beginning that the keys had in common is in doubt: halve it
        ("image/0001", "image/0099", "image0", "image/1"),
        # the keys differ here, so others ahead do as well: the middle of the digits
        ("image/1", "image/2", "image0", "image/6"),
        ("0", "1", "6", "3"),
        # no digit is left: whatever comes next
        ("8", "9x", None, ":"),
        # nothing is left between two neighbours: go one deeper
        ("40", "41", "5", "45"),
        ("4", "4", "4:", "40"),
        ("中", "丮", None, "紗"),
        ("a", "😀", None, None),
        ("😀1", "😀3", "😀9", None),
        ("a", "a" * 1024, "a" * 1024 + "b", None),
    ],
)
def test_where_a_range_is_split(seen: str, cursor: str, high: str | None, point: str | None) -> None:
    assert split_point(seen, cursor, high) == point


@settings(max_examples=200, deadline=None)
@given(cursor=st.text("0123456789abcdefghijklmnopqrstuvwxyz/-._", min_size=1, max_size=60))
def test_a_range_with_nothing_in_its_upper_parts_is_soon_narrowed(cursor: str) -> None:
    """Each point has nothing above it, as where one single key is left."""
    high, steps = None, 0
    while (high := split_point(cursor, cursor, high)) is not None:
        steps += 1
        assert steps <= 12 * len(cursor) + 12
