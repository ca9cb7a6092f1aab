"""A value is told to name an object in the very form that a reference would read it with, or inside a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rehome.config.settings import Side
from rehome.discover.recognise import BARE, MEDIA_TYPE, Recogniser
from rehome.discover.spoken import texts_for
from rehome.mapping.forms import NAMES, read_form
from rehome.mapping.keymap import KeyMap
from rehome.mapping.percent import encode
from rehome.mapping.value_map import ValueMap

SOURCE = Side("source", "legacy-s3", "image/", endpoint_url="https://s3.example.com", region="eu-1")
MAP = KeyMap("image/", "image/", ("avatar-*.png",))
recognise = Recogniser(SOURCE, "image/", ("avatar-*.png",), ())
recognise_all = Recogniser(SOURCE, "image/", ("*",), ())

suffixes = st.text("aZ0é -_.+%'&=~()", min_size=1, max_size=12).map(lambda text: f"avatar-{text}.png")
heads = st.sampled_from(["media/", "/media/", "gs://other/", "file:", "a/b/c/"])
urls = st.sampled_from(["https://cdn.example.com/", "//cdn.example.com/", "http://x:8080/legacy-s3/"])


def form_of(written: str | None) -> ValueMap:
    """Return what a reference with this form reads values with."""
    assert written is not None
    given: Any = yaml.safe_load(written) if written.startswith("{") else written
    return ValueMap(MAP, read_form("", given, SOURCE, SOURCE))


@given(name=st.sampled_from(NAMES), suffix=suffixes)
def test_each_named_form_is_recognised_in_what_it_renders(name: str, suffix: str) -> None:
    form = read_form("", name, SOURCE, SOURCE)
    value = form.before_source_key + (encode(f"image/{suffix}") if form.encoded else f"image/{suffix}")
    found = recognise(value)
    assert found is not None
    assert found.form == name
    assert form_of(found.form).suffix_if_old(value) == suffix
    assert suffix in found.suffixes


@given(head=urls, suffix=suffixes, query=st.sampled_from(["", "?v=1", "#top"]))
def test_a_url_has_a_form_that_reads_it(head: str, suffix: str, query: str) -> None:
    value = f"{head}{encode(f'image/{suffix}')}{query}"
    found = recognise(value)
    assert found is not None
    assert form_of(found.form).suffix_if_old(value) == suffix


@given(head=heads, suffix=st.from_regex(r"avatar-[a-zA-Z0-9_.+~-]{1,12}\.png", fullmatch=True))
def test_any_text_before_the_key_is_a_form(head: str, suffix: str) -> None:
    found = recognise(f"{head}image/{suffix}")
    assert found is not None
    assert form_of(found.form).suffix_if_old(f"{head}image/{suffix}") == suffix


@given(suffix=st.from_regex(r"avatar-[a-z0-9]{1,6}\.png", fullmatch=True))
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<p><img src="/image/{}"></p>', "in HTML"),
        ("See ![me](https://cdn.example.com/image/{}) there", "in Markdown"),
        ('{{"a": ["/image/{}"]}}', "in JSON"),
        ('a:1:{{s:1:"a";s:20:"image/{}";}}', "in serialised PHP"),
        ("a line\nimage/{}\n", "inside a text"),
        ("image/{0}, image/{0}", "inside a text"),
    ],
)
def test_a_name_inside_a_text_is_found_and_is_no_form(text: str, words: str, suffix: str) -> None:
    found = recognise(text.format(suffix))
    assert found is not None
    assert (found.form, found.words) == (None, words)
    assert suffix in found.suffixes


def test_escaped_slashes_and_encoded_texts_are_looked_through() -> None:
    escaped = json.dumps({"a": "/image/avatar-1.png"}).replace("/", "\\/")
    assert recognise(escaped) == (None, "in JSON, with its slashes escaped", ("avatar-1.png",))
    assert recognise("see=a&u=%252Fimage%252Favatar-1.png") == (None, "percent-encoded twice", ("avatar-1.png",))
    assert recognise("C:\\image\\avatar-1.png") == (None, "with backslashes for slashes", ("avatar-1.png",))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "image",
        "image/",
        "image/other-1.png",
        "Image/avatar-1.png",
        "my-image/avatar-1.png",
        "an image / avatar-1.png",
        "avatar-1.gif",
    ],
)
def test_what_names_nothing_under_the_source_is_left_alone(value: str) -> None:
    assert recognise(value) is None


def test_a_bare_file_name_is_told_only_if_globs_select_it() -> None:
    assert recognise("avatar-1.png") == (None, BARE, ())
    assert recognise_all("avatar-1.png") is None


@pytest.mark.parametrize("value", ["image/png", "image/svg+xml", "image/jpg", "data:image/png;base64,AAAA"])
def test_media_types_are_no_names_of_objects(value: str) -> None:
    found = recognise_all(value)
    assert found is not None
    assert found.words == MEDIA_TYPE


def test_a_name_beside_a_media_type_is_found() -> None:
    found = recognise_all('<img src="data:image/png;base64,AA"> <img src="image/a.png">')
    assert found is not None
    assert "a.png" in found.suffixes
    assert found.words == "in HTML"


@given(
    value=st.text('imageIMAGE/\\%2Ff avtr-1.png"<>', max_size=40)
    | suffixes.map(lambda suffix: f"image/{suffix}")
    | suffixes.map(lambda suffix: f"https://x/image%2F{encode(suffix)}"),
    prefix=st.sampled_from(["image/", "a b/image/", "ä/", "image", "im_age%/"]),
)
def test_the_server_is_asked_for_all_that_would_be_recognised(value: str, prefix: str) -> None:
    """The server sends only what contains the hint and one of the spellings."""
    keymap = KeyMap(prefix, prefix, ("*",))
    named = Recogniser(SOURCE, prefix, ("*",), ())(value)
    if named is not None:
        texts = texts_for(keymap)
        assert texts.hint in value
        assert not texts.spelled or any(text in value for text in texts.spelled)


@pytest.mark.parametrize("prefix", ["image/", "a b/image/", "media/image/", "ä/"])
@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text,
        lambda text: text.replace("/", "\\/"),
        lambda text: text.replace("/", "\\"),
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        lambda text: quote(quote(text, safe="")),
    ],
    ids=["plain", "escaped", "backslashes", "encoded", "in lower case", "twice"],
)
def test_each_spelling_in_a_text_is_recognised_and_asked_for(prefix: str, spell: Callable[[str], str]) -> None:
    value = f'x="{spell(f"/{prefix}a.png")}" y'
    named = Recogniser(SOURCE, prefix, ("*",), ())(value)
    assert named is not None
    assert "a.png" in named.suffixes
    texts = texts_for(KeyMap(prefix, prefix, ("*",)))
    assert texts.hint in value
    assert not texts.spelled or any(text in value for text in texts.spelled)
