"""How a value spells a key of the map, if in none of the forms that settings have."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.mapping.keymap import KeyMap
from rehome.mapping.spellings import spelling_detector

MAP = KeyMap("image/", "avatar/", ("avatar-*.png",))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("see image/avatar-1.png there", "within a longer text or URL"),
        ('{"small": "image/avatar-1.png"}', "within a longer text or URL"),
        ("https://cdn.example/deep/er/image/avatar-1.png", "within a longer text or URL"),
        ("a.png,image/avatar-1.png;b.png", "within a longer text or URL"),
        ("  image/avatar-1.png", "within a longer text or URL"),
        ("../image/avatar-1.png", "within a longer text or URL"),
        ("image%2Favatar-1.png", "percent-encoded"),
        ("%69mage/avatar%2D1.png", "percent-encoded"),
        ("image%252Favatar-1.png", "percent-encoded twice"),
        ("image\\avatar-1.png", "with backslashes"),
        ('{"path": "image\\/avatar-1.png"}', "with backslashes"),
        ("image//avatar-1.png", "with empty segments"),
        ("image/./avatar-1.png", "with empty segments"),
        ("Image/Avatar-1.PNG", "in upper or lower case"),
        ("IMAGE%2FAVATAR-1.png", "in upper or lower case"),
        ("avatar-1.png", "without the prefix"),
    ],
)
def test_a_key_is_found_however_it_is_spelt(value: str, words: str) -> None:
    assert spelling_detector(MAP)(value) == words


@pytest.mark.parametrize(
    "value",
    [
        "my-image/avatar-1.png",
        "subimage/avatar-1.png",
        "image/readme.txt",
        "image/",
        "avatar/avatar-1.png",
        "/avatar/avatar-1.png",
        "other/avatar-1.png",
        "photo",
        "100%",
        "",
    ],
)
def test_other_values_name_no_key(value: str) -> None:
    assert spelling_detector(MAP)(value) is None


def test_a_key_that_has_moved_is_none_of_the_map_though_its_prefix_ends_with_the_old_one() -> None:
    detect = spelling_detector(KeyMap("image/", "media/image/"))
    assert detect("/media/image/1.png") is None
    assert detect("/other/image/1.png") is not None
    assert spelling_detector(KeyMap("image/", "image/"))("/image/1.png") is None


def test_letters_with_accents_may_be_composed_or_not() -> None:
    composed, decomposed = normalize("NFC", "fotós/é.png"), normalize("NFD", "fotós/é.png")
    for prefix, value in ((composed, decomposed), (decomposed, composed)):
        detect = spelling_detector(KeyMap(prefix.partition("/")[0] + "/", "x/"))
        assert detect(value) == "in another Unicode form"


def test_a_whole_bucket_or_every_name_tells_nothing_apart() -> None:
    assert spelling_detector(KeyMap("", "x/"))("some/text") is None
    assert spelling_detector(KeyMap("image/", "x/"))("logo.png") is None


@given(
    before=st.sampled_from(["", "/", "a b ", '"', "src=", "x/y/", "("]),
    after=st.sampled_from(["", "?v=1", '"', " y"]),
)
def test_no_text_around_a_key_hides_it(before: str, after: str) -> None:
    assert spelling_detector(MAP)(f"{before}image/avatar-7.png{after}") is not None
