"""What a door says, and what several of them say together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.control.orders import (
    NOTHING,
    OFF,
    Order,
    OrderError,
    difference,
    document_of,
    merged_limits,
    ranges,
    read_limit,
    read_order,
)

ALLOWED = ranges(256, 4, (5, 10_000))
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "requests": st.integers(1, 256),
        "objects_per_second": st.one_of(st.just(OFF), st.floats(0.01, 1e6)),
        "chunk_ms": st.integers(5, 10_000),
        "connections": st.integers(1, 4),
        "max_lag_s": st.one_of(st.just(OFF), st.floats(0.1, 1e6)),
        "max_running": st.one_of(st.just(OFF), st.integers(1, 10_000)),
        "max_dead_ratio": st.one_of(st.just(OFF), st.floats(0.001, 100)),
        "nice": st.floats(0, 1000),
    },
)
ORDERS = st.builds(Order, paused=st.booleans(), limits=LIMITS, by=st.sampled_from(["", "anna@ops"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(ORDERS)
def test_an_order_survives_the_way_through_a_file(order: Order) -> None:
    assert read_order(json.loads(json.dumps(document_of(order))), ALLOWED) == order


@given(JSON | st.dictionaries(st.sampled_from(["paused", "set", "by", "since"]), JSON, max_size=4))
def test_a_document_of_any_kind_is_an_order_or_refused_in_a_line(document: Any) -> None:
    try:
        order = read_order(document, ALLOWED)
    except OrderError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 500
    else:
        assert order.limits.keys() <= ALLOWED.keys()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "it holds a list, not an object"),
        (None, "it holds nothing"),
        ({"pause": True}, "pause is unknown; the keys are paused, set, by, since"),
        ({"paused": "yes"}, "paused ('yes') is neither true nor false"),
        ({"paused": 1}, "paused (1) is neither true nor false"),
        ({"set": ["requests"]}, "set holds a list"),
        ({"set": {"workers": 3}}, "workers is no limit that can be set; the limits are requests,"),
        ({"set": {"requests": 257}}, "requests (257) is not a whole number of 1 to 256"),
        ({"set": {"requests": 2.5}}, "requests (2.5) is not a whole number"),
        ({"set": {"requests": True}}, "requests (True) is not"),
        ({"set": {"requests": None}}, "requests () is not"),
        ({"set": {"objects_per_second": 0}}, "objects_per_second (0) is not a number of at least 0.01, or none for no"),
        ({"set": {"max_lag_s": -1}}, "max_lag_s (-1) is not a number of at least 0.1, or 0 for no limit"),
        ({"set": {"chunk_ms": 4}}, "chunk_ms (4) is not a whole number of 5 to 10000"),
        ({"set": {"nice": "2"}}, "nice (2) is not a number of 0 to 1000"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_would_be(document: Any, says: str) -> None:
    with pytest.raises(OrderError) as refused:
        read_order(document, ALLOWED)
    assert says in str(refused.value)


def test_one_bad_value_makes_nothing_of_the_document_count() -> None:
    with pytest.raises(OrderError):
        read_order({"paused": True, "set": {"requests": 3, "nice": -1}}, ALLOWED)


def test_a_limit_is_switched_off_by_the_word_of_its_setting() -> None:
    assert read_limit("objects_per_second", None, ALLOWED) == OFF
    assert read_limit("max_running", 0, ALLOWED) == OFF


@given(st.lists(ORDERS, max_size=3))
def test_the_stricter_of_two_limits_counts_whatever_the_order_of_the_doors(orders: list[Order]) -> None:
    together = merged_limits(orders)
    assert together == merged_limits(reversed(orders))
    for name, value in together.items():
        said = [order.limits[name] for order in orders if name in order.limits]
        assert value == (max(said) if name == "nice" else min(said))


def test_what_is_asked_is_said_in_the_words_of_the_command_line() -> None:
    before = Order(limits={"requests": 8, "nice": 1.0})
    after = Order(paused=True, limits={"requests": 4, "objects_per_second": OFF})
    assert difference(NOTHING, NOTHING) == ""
    assert difference(before, after) == "pause requests=4 objects_per_second=none nice=default"
    assert difference(after, before) == "resume requests=8 nice=1 objects_per_second=default"
