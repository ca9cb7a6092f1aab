from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.mapping.row_key import key_from_json, key_to_json, keys_from_json, keys_to_json

parts = st.one_of(st.integers(-(2**63), 2**64), st.text(st.characters(exclude_categories=["Cs"])))
keys = st.lists(st.lists(parts, min_size=1, max_size=3).map(tuple), max_size=20)
integers = st.lists(st.integers(-(2**63), 2**64).map(lambda number: (number,)), max_size=20)


@given(st.one_of(keys, integers))
def test_keys_come_back_and_their_text_is_the_same_one_by_one(rows: list[tuple[int | str, ...]]) -> None:
    texts = keys_to_json(rows)
    assert texts == [key_to_json(key) for key in rows]
    assert list(keys_from_json(texts)) == rows
    assert [key_from_json(text) for text in texts] == rows


@pytest.mark.parametrize(
    ("key", "text"), [((17,), "[17]"), (("de", 4), '["de", 4]'), (("Zoë",), '["Zoë"]'), (("7",), '["7"]')]
)
def test_a_key_is_a_json_list_of_its_columns(key: tuple[int | str, ...], text: str) -> None:
    assert keys_to_json([key]) == [text]
