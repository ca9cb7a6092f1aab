"""The order of keys, found from pages."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.s3.listing.key_order import KeyOrder, Order, by_code_point, by_folder, by_utf_16

ALL = (by_code_point, by_utf_16, by_folder)


@given(
    keys=st.lists(st.text("a/-1\uffff😀", min_size=1, max_size=4), unique=True, max_size=12), order=st.sampled_from(ALL)
)
def test_the_order_that_keys_are_in_is_always_a_possible_one(keys: list[str], order: Order) -> None:
    keys.sort(key=order)
    known = KeyOrder(*ALL)
    known.observe(None, keys[:5])
    known.observe(keys[4] if len(keys) > 4 else None, keys[5:])
    assert known.is_known
    for one, other in pairwise(keys):
        assert not known.surely_below(other, one)
        assert not known.never_below(one, other)


@pytest.mark.parametrize(
    ("keys", "order"),
    [(["a-1", "a/1"], by_code_point), (["a/1", "a-1"], by_folder), (["a😀", "a\uffff"], by_utf_16)],
)
def test_keys_that_tell_the_orders_apart_leave_one(keys: list[str], order: Order) -> None:
    known = KeyOrder(*ALL)
    assert not known.surely_below(*keys)
    known.observe(None, keys)
    assert known.surely_below(*keys)
    assert KeyOrder(order).surely_below(*keys)


def test_keys_in_no_order_leave_none() -> None:
    for keys in (["b", "a"], ["a", "a"]):
        known = KeyOrder(*ALL)
        known.observe(None, keys)
        assert not known.is_known
    known = KeyOrder(by_code_point)
    known.observe("b", ["a", "c"])
    assert not known.is_known


def test_a_page_without_keys_tells_nothing() -> None:
    known = KeyOrder(*ALL)
    known.observe(None, [])
    assert not known.surely_below("a/1", "a-1")
    assert known.is_known
