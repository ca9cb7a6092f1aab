from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.mapping.key_shapes import KeyShape, shapes_of
from rehome.mapping.keymap import KeyMap
from rehome.mapping.percent import decode
from rehome.mapping.value_map import Form, ValueMap

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


@given(source=texts, target=texts, suffix=texts)
def test_the_inverse_gives_every_key_back(source: str, target: str, suffix: str) -> None:
    keymap = KeyMap(source, target)
    mapped = keymap.to_target(source + suffix)
    assert mapped == target + suffix
    assert KeyMap(target, source).to_target(mapped) == source + suffix


@given(suffix=texts, glob=st.text("ab*?[]!-.", max_size=8))
def test_globs_mean_what_fnmatch_means(suffix: str, glob: str) -> None:
    assert (KeyMap("p/", "q/", (glob,)).to_target("p/" + suffix) is not None) == fnmatch.fnmatchcase(suffix, glob)


@given(suffix=st.text("é😀a", min_size=330, max_size=400))
def test_a_target_key_of_more_than_1024_bytes_is_unroutable(suffix: str) -> None:
    keymap = KeyMap("", "avatar/")
    too_long = len(("avatar/" + suffix).encode()) > 1024
    assert (keymap.unroutable(suffix) is not None) == too_long


def test_the_empty_target_key_is_unroutable() -> None:
    assert KeyMap("image/", "").unroutable("image/") is not None


@given(suffix=texts | st.text("a./\\\0\n\t", max_size=12), refused=st.frozensets(st.sampled_from(KeyShape)))
def test_a_target_key_is_unroutable_exactly_if_it_has_a_shape_that_the_target_refuses(
    suffix: str, refused: frozenset[KeyShape]
) -> None:
    keymap = KeyMap("image/", "avatar/")
    reason = keymap.unroutable("image/" + suffix, refused)
    found = shapes_of("avatar/" + suffix) & refused
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
    values = ValueMap(AVATARS, Form("https://old.example/", "https://new.example/"))
    assert values.to_target("https://old.example/image/avatar-1.png") == "https://new.example/avatar/avatar-1.png"
    assert values.to_target("image/avatar-1.png") is None
    assert values.suffix_if_new("https://new.example/avatar/avatar-1.png") == "avatar-1.png"
    back = ValueMap(KeyMap("avatar/", "image/", AVATARS.include), values.form.inverse)
    assert back.to_target("https://new.example/avatar/avatar-1.png") == "https://old.example/image/avatar-1.png"


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
    suffix=st.text("ab/", max_size=4),
    include=st.text("ab/*?", min_size=1, max_size=4),
)
def test_a_map_that_is_not_known_to_feed_itself_never_does(source: str, target: str, suffix: str, include: str) -> None:
    values = ValueMap(KeyMap(source, target, (include,)))
    new = values.to_target(source + suffix)
    if new is not None and new != source + suffix and not values.feeds_itself:
        assert values.to_target(new) is None


VIRTUAL_HOST = Form("https://old.example/", "https://new.example/", encoded=True, query=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("image/a.png", "avatar/a.png"),
        ("image/a%20b%2Bc.png", "avatar/a%20b%2Bc.png"),
        ("image/ä%C3%A4%c3%a4.png", "avatar/ä%C3%A4%c3%a4.png"),
        ("%69mage/a.png", "avatar/a.png"),
        ("image/a.png?v=1&w=image/#top", "avatar/a.png?v=1&w=image/#top"),
        ("image/a.png#top?v=1", "avatar/a.png#top?v=1"),
        ("image/a%3Fb%23.png?", "avatar/a%3Fb%23.png?"),
        ("image/a+b.png", "avatar/a+b.png"),
        ("image/deep%2Fa.png", "avatar/deep%2Fa.png"),
        ("image%2Fdeep%2Fa.png", "avatar%2Fdeep%2Fa.png"),
        ("image%2fa.png?next=/x", "avatar%2fa.png?next=/x"),
        ("image%2Fdeep/a.png", "avatar/deep/a.png"),
    ],
)
def test_a_url_keeps_all_but_its_head_byte_for_byte(old: str, new: str) -> None:
    values = ValueMap(KeyMap("image/", "avatar/"), VIRTUAL_HOST)
    assert values.to_target(f"https://old.example/{old}") == f"https://new.example/{new}"


@pytest.mark.parametrize(
    "value",
    [
        "image/100%.png",
        "image/100%zz.png",
        "image/%C3.png",
        "image/%FF.png",
        "image%252Fa.png",
        "image?/a.png",
        "IMAGE/a.png",
        "elsewhere/a.png",
    ],
)
def test_a_url_that_spells_no_key_under_the_prefix_is_not_under_the_map(value: str) -> None:
    values = ValueMap(KeyMap("image/", "avatar/"), VIRTUAL_HOST)
    assert values.suffix_if_old(f"https://old.example/{value}") is None
    assert values.to_target(f"https://old.example/{value}") is None


def test_globs_are_held_against_the_decoded_key_without_its_query_string() -> None:
    values = ValueMap(KeyMap("image/", "avatar/", ("avatar-*.png",), ("avatar-ä.png",)), VIRTUAL_HOST)
    assert values.suffix_if_old("https://old.example/image/avatar%2D1.png?v=1") == "avatar-1.png"
    assert values.suffix_if_old("https://old.example/image/avatar-%C3%A4.png") is None
    assert values.suffix_if_old("https://old.example/image/readme.txt?avatar-1.png") is None


def test_in_a_literal_form_nothing_is_decoded_and_a_question_mark_is_part_of_the_key() -> None:
    values = ValueMap(KeyMap("image/", "avatar/"))
    assert values.suffix_if_old("image/a%20b?c#d.png") == "a%20b?c#d.png"
    kept = ValueMap(KeyMap("image/", "avatar/"), Form(query=True))
    assert kept.suffix_if_old("image/a%20b?c#d.png") == "a%20b"
    assert kept.to_target("image/a%20b?c#d.png") == "avatar/a%20b?c#d.png"


def test_the_target_prefix_is_encoded_where_keys_are() -> None:
    values = ValueMap(KeyMap("image/", "neue bilder?/"), Form(encoded=True, query=True))
    assert values.to_target("image/a.png") == "neue%20bilder%3F/a.png"
    assert values.suffix_if_new("neue%20bilder%3f/a.png") == "a.png"
    assert values.suffix_if_new("neue bilder?/a.png") is None


def spelt(key: str, form: Form, choose: st.DataObject) -> str:
    """One of the spellings of a key."""
    if not form.encoded:
        return key
    parts = []
    for character in key:
        must = character == "%" or character in form.reserved
        encoded = "".join(f"%{byte:02x}" for byte in character.encode())
        parts.append(choose.draw(st.sampled_from([encoded, encoded.upper(), *([] if must else [character])])))
    return "".join(parts)


prefixes = st.text("aé/ %+?", max_size=4)
some_texts = st.sampled_from(["", "/", "h/", "h/a/", "s3://b/"])
forms = st.builds(Form, some_texts, some_texts, st.booleans(), st.booleans())


@given(choose=st.data(), source=prefixes, target=prefixes, suffix=st.text("aé/%+ ?#", max_size=6), form=forms)
def test_a_new_value_holds_the_target_key_in_whatever_spelling_the_old_one_held_the_source_key(
    choose: st.DataObject, source: str, target: str, suffix: str, form: Form
) -> None:
    if form.query and not form.encoded:
        suffix, source, target = (re.sub("[?#]", "", text) for text in (suffix, source, target))
    keymap = KeyMap(source, target)
    values = ValueMap(keymap, form)
    query = choose.draw(st.sampled_from(["", "?v=%", "#a?b", "?"])) if form.query else ""
    old = form.before_source_key + spelt(source + suffix, form, choose) + query
    assert values.suffix_if_old(old) == suffix
    new = values.to_target(old)
    assert new is not None
    assert new.startswith(form.before_target_key)
    path = new.removeprefix(form.before_target_key).removesuffix(query)
    assert (decode(path) if form.encoded else path) == keymap.to_target(source + suffix)
    assert new.endswith(query)
    assert values.suffix_if_new(new) == suffix
    assert len(new) - len(old) <= values.growth
    assert values.new_values([old, old]) == [new, new]


@given(
    form=forms,
    source=st.text("aé/", max_size=3),
    target=st.text("aé/", max_size=3),
    include=st.text("aé/*?", min_size=1, max_size=4),
    value=st.lists(st.sampled_from(["h/", "/", "s3://b/", "a", "é", "%61", "%C3%A9", "%2f", "?", "#"])).map("".join),
)
def test_where_a_map_does_not_feed_itself_no_value_is_an_old_one_and_a_new_one(
    form: Form, source: str, target: str, include: str, value: str
) -> None:
    values = ValueMap(KeyMap(source, target, (include,)), form)
    if values.moves and not values.feeds_itself:
        assert values.suffix_if_old(value) is None or values.suffix_if_new(value) is None


@given(value=st.text(max_size=30) | st.text("%aF2é?#/", max_size=12), form=forms)
def test_any_text_is_parsed_without_an_error(value: str, form: Form) -> None:
    values = ValueMap(KeyMap("a/", "b/"), form)
    assert (values.to_target(value) is None) == (values.suffix_if_old(value) is None)


@pytest.mark.parametrize(
    ("form", "source", "target", "feeds"),
    [
        (VIRTUAL_HOST, "image/", "image/new/", False),
        (Form(encoded=True), "image/", "image/new/", True),
        (Form("h/", "h/b/", encoded=True), "image/", "avatar/", False),
        (Form("h/", "h/%69mage/", encoded=True), "image/", "avatar/", True),
        (Form("h/b/", "h/", encoded=True), "image/", "b/image/x", True),
        (Form("h/", "h/?k=", encoded=True, query=True), "", "avatar/", True),
    ],
)
def test_a_map_of_urls_whose_results_may_be_mapped_again_is_known(
    form: Form, source: str, target: str, feeds: bool
) -> None:
    assert ValueMap(KeyMap(source, target), form).feeds_itself is feeds


SUFFIXES = st.lists(
    st.sampled_from(["avatar-1.png", "x.png", "avatar-2.gif", "", "é" * 500, "a//b", "a/../b"]), max_size=5
)


@given(
    suffixes=SUFFIXES,
    include=st.sampled_from([("*",), ("avatar-*",)]),
    exclude=st.sampled_from([(), ("*.gif",)]),
    only=st.sampled_from([None, frozenset({"avatar-1.png", "x.png"})]),
    target=st.sampled_from(["", "avatar/", "t" * 500]),
    refused=st.sampled_from([frozenset(), frozenset({KeyShape.DOT_SEGMENT})]),
)
def test_of_a_whole_page_the_map_says_what_it_says_of_each_key(
    suffixes: list[str],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    only: frozenset[str] | None,
    target: str,
    refused: frozenset[KeyShape],
) -> None:
    keymap = KeyMap("image/", target, include, exclude, only)
    keys = ["image/" + suffix for suffix in suffixes]
    assert keymap.covers_each(suffixes) == [keymap.covers(suffix) for suffix in suffixes]
    assert list(keymap.unroutable_each(keys, refused)) == [keymap.unroutable(key, refused) for key in keys]


@given(
    values=st.lists(
        st.sampled_from([None, "image/avatar-1.png", "image/x.png", "avatar/avatar-1.png", "image%2Favatar-1.png", ""]),
        max_size=4,
    ),
    form=st.sampled_from([Form(), Form(encoded=True), Form(query=True)]),
)
def test_of_many_values_the_map_says_what_it_says_of_each(values: list[str | None], form: Form) -> None:
    value_map = ValueMap(KeyMap("image/", "avatar/", ("avatar-*",)), form)
    old, new = value_map.suffix_if_old, value_map.suffix_if_new
    assert list(value_map.suffixes_if_old(values)) == [None if value is None else old(value) for value in values]
    assert list(value_map.suffixes_if_new(values)) == [None if value is None else new(value) for value in values]
