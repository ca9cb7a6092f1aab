"""What a value names: a doubt counts as yes, and a new value names no old object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import ValueMap
from rehome.scan.named_keys import named_suffixes

MAP = ValueMap(KeyMap("image/", "avatar/", ("avatar-*.png",)))


@pytest.mark.parametrize(
    "value",
    [
        "image/avatar-1.png",
        "/image/avatar-1.png",
        "s3://legacy-s3/image/avatar-1.png",
        "https://old.example/image/avatar-1.png?width=20#top",
        "https://old.example/image%2Favatar-1.png",
        '{"small": "image/avatar-1.png", "big": "image/avatar-2.png"}',
        '{"path": "image\\/avatar-1.png"}',
        '<img src="/image/avatar-1.png">',
        "a.png,image/avatar-1.png;b.png",
        "see image/avatar-1.png there",
    ],
)
def test_a_value_names_the_key_in_whatever_form_and_text(value: str) -> None:
    assert "avatar-1.png" in named_suffixes(value, MAP)


@pytest.mark.parametrize("value", ["avatar/avatar-1.png", "image/other.png", "images/avatar-1.png", "", "avatar-1.png"])
def test_other_values_name_none(value: str) -> None:
    assert named_suffixes(value, MAP) == set()


def test_a_new_value_names_none_though_the_old_prefix_is_a_part_of_the_new_one() -> None:
    values = ValueMap(KeyMap("image/", "new-image/", ("*",)))
    assert named_suffixes("new-image/1.png", values) == set()
    assert named_suffixes("other-image/1.png", values) == {"1.png"}


def test_behind_a_new_value_an_old_one_may_stand() -> None:
    assert named_suffixes("avatar/avatar-1.png;image/avatar-2.png", MAP) == {"avatar-2.png"}
    open_map = ValueMap(KeyMap("image/", "avatar/"))
    assert "2.png" in named_suffixes("avatar/1.png?next=/image/2.png", open_map)


def test_where_only_the_bucket_changes_a_key_is_the_new_one_and_a_whole_bucket_has_keys_behind_each_slash() -> None:
    assert named_suffixes("image/1.png", ValueMap(KeyMap("image/", "image/"))) == set()
    whole = ValueMap(KeyMap("", "avatar/"))
    assert {"a/1.png", "1.png"} <= named_suffixes("a/1.png", whole)
    assert named_suffixes("avatar/1.png", ValueMap(KeyMap("", "avatar/", ("*.png",)))) >= {"avatar/1.png"}


@given(
    before=st.text(max_size=20), suffix=st.text(min_size=1, max_size=20), after=st.sampled_from(["", '"', "?x=1", " y"])
)
def test_no_text_around_a_key_hides_it(before: str, suffix: str, after: str) -> None:
    values = ValueMap(KeyMap("image/", "§never§/"))
    assert suffix in named_suffixes(f"{before}image/{suffix}{after}", values)
