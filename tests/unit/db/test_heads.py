from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.db.dialect import Change, common_heads

MARKS = "\x01\x02\x1e\x1f"
TEXTS = st.text(st.sampled_from("ab/" + MARKS), max_size=6)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_heads_are_returned_only_if_they_turn_every_old_value_into_its_new_one(values: list[tuple[str, str]]) -> None:
    heads = common_heads([Change((number,), old, new) for number, (old, new) in enumerate(values)])
    if heads is not None:
        old_head, new_head = heads
        assert all(old.startswith(old_head) for old, _ in values)
        assert [new_head + old[len(old_head) :] for old, _ in values] == [new for _, new in values]


@given(TEXTS, TEXTS, st.lists(TEXTS, min_size=2, max_size=4))
def test_values_that_differ_by_a_head_have_one_whatever_they_contain(old: str, new: str, suffixes: list[str]) -> None:
    heads = common_heads([Change((number,), old + text, new + text) for number, text in enumerate(suffixes)])
    assert heads is not None
    assert heads[0].startswith(old)
    assert heads[1].startswith(new)
