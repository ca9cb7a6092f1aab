from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.keymap import KeyMap, ValueMap
from rehome.s3.capabilities import KeyShape, shapes_of

AVATARS = KeyMap("image/", "avatar/", ("avatar-*.png",))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_a_key_under_the_map_changes_its_prefix_and_nothing_else() -> None:
    assert AVATARS.to_target("image/avatar-1.png") == "avatar/avatar-1.png"


@pytest.mark.parametrize(
    "key", ["image/readme.txt", "images/avatar-1.png", "Image/avatar-1.png", "image/Avatar-1.png", ""]
)
def test_a_key_that_is_not_under_the_map_has_no_target(key: str) -> None:
    assert AVATARS.to_target(key) is None


def test_only_the_first_prefix_is_swapped() -> None:
    keymap = KeyMap("image/", "avatar/")
    assert keymap.to_target("image/x/image/y") == "avatar/x/image/y"


def test_an_exclude_glob_wins_over_an_include_glob() -> None:
    keymap = KeyMap("image/", "avatar/", ("*",), ("*.tmp", "cache/*"))
    assert keymap.to_target("image/a.png") == "avatar/a.png"
    assert keymap.to_target("image/a.tmp") is None
    assert keymap.to_target("image/cache/deep/a.png") is None


@given(source=texts, target=texts, rest=texts)
def test_the_inverse_gives_every_key_back(source: str, target: str, rest: str) -> None:
    keymap = KeyMap(source, target)
    mapped = keymap.to_target(source + rest)
    assert mapped == target + rest
    assert keymap.to_source(mapped) == source + rest


@given(rest=texts, glob=st.text("ab*?[]!-.", max_size=8))
def test_globs_mean_what_fnmatch_means(rest: str, glob: str) -> None:
    assert (KeyMap("p/", "q/", (glob,)).to_target("p/" + rest) is not None) == fnmatch.fnmatchcase(rest, glob)


@given(rest=st.text("é😀a", min_size=330, max_size=400))
def test_a_target_key_of_more_than_1024_bytes_is_unroutable(rest: str) -> None:
    keymap = KeyMap("", "avatar/")
    too_long = len(("avatar/" + rest).encode()) > 1024
    assert (keymap.unroutable(rest) is not None) == too_long


def test_the_empty_target_key_is_unroutable() -> None:
    assert KeyMap("image/", "").unroutable("image/") is not None


@given(rest=texts | st.text("a./\\\0\n\t", max_size=12), refused=st.frozensets(st.sampled_from(KeyShape)))
def test_a_target_key_is_unroutable_exactly_if_it_has_a_shape_that_the_target_refuses(
    rest: str, refused: frozenset[KeyShape]
) -> None:
    keymap = KeyMap("image/", "avatar/")
    reason = keymap.unroutable("image/" + rest, refused)
    found = shapes_of("avatar/" + rest) & refused
    assert (reason is not None) == bool(found)
    assert all(shape.words in str(reason) for shape in found)


def test_the_shape_that_counts_is_the_target_keys() -> None:
    refused = frozenset({KeyShape.EMPTY_SEGMENT})
    assert KeyMap("a//b/", "c/").unroutable("a//b/x", refused) is None
    assert KeyMap("a", "c/").unroutable("a/x", refused) == (
        "the target key has an empty segment (`//`, or a leading `/`), which this service does not take as it is"
    )
    assert KeyMap("a/", "c/").unroutable("a/..", frozenset({KeyShape.DOT_SEGMENT})) == (
        "the target key has a segment that is `.` or `..`, which this service does not take as it is"
    )


def test_a_value_is_the_key_behind_the_text_of_its_form() -> None:
    values = ValueMap(AVATARS, "https://old.example/", "https://new.example/")
    assert values.to_target("https://old.example/image/avatar-1.png") == "https://new.example/avatar/avatar-1.png"
    assert values.to_target("image/avatar-1.png") is None
    assert values.rest_if_new("https://new.example/avatar/avatar-1.png") == "avatar-1.png"


@pytest.mark.parametrize(
    ("source", "target", "include", "feeds"),
    [
        ("image/", "avatar/", "*", False),
        ("image/", "image/", "*", False),
        ("image/", "image/new/", "*", True),
        ("image/", "image/new/", "avatar-*.png", False),
        ("image/", "image/avatar-", "avatar-*", True),
        ("image/old/", "image/", "*", True),
        ("image/old/", "image/", "avatar-*", False),
        ("", "avatar/", "*", True),
        ("", "avatar/", "[b-z]*", True),
        ("", "avatar/", "image?*", False),
    ],
)
def test_a_map_whose_results_may_be_mapped_again_is_known(source: str, target: str, include: str, feeds: bool) -> None:
    assert ValueMap(KeyMap(source, target, (include,))).feeds_itself is feeds


@given(
    source=st.text("ab/", max_size=4),
    target=st.text("ab/", max_size=4),
    rest=st.text("ab/", max_size=4),
    include=st.text("ab/*?", min_size=1, max_size=4),
)
def test_a_map_that_is_not_known_to_feed_itself_never_does(source: str, target: str, rest: str, include: str) -> None:
    values = ValueMap(KeyMap(source, target, (include,)))
    new = values.to_target(source + rest)
    if new is not None and new != source + rest and not values.feeds_itself:
        assert values.to_target(new) is None
