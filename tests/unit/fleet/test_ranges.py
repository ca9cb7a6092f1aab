"""Ranges of keys that are handed out, and come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.fleet.ranges import MOST_RANGES, Ranges, packed, unpacked
from rehome.s3.errors import S3RequestError
from rehome.s3.listing.listing import DISORDERED, Left, Remainder

ORDERS = ("code_point", "folder")


def left(*tokens: str, orders: tuple[str, ...] = ORDERS) -> Left:
    return Left(tuple(Remainder(token) for token in tokens), orders)  # type: ignore[arg-type]


@given(
    first=st.integers(0, 40),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60),
)
def test_every_range_is_handed_out_once_at_a_time(first: int, steps: list[tuple[int, int]]) -> None:
    names = [str(number) for number in range(first)]
    ranges, out, made = Ranges(left(*names)), list[Left](), first
    everything = set(names)
    for shards, parts in steps:
        if not parts or not out:
            before = len(ranges)
            taken = ranges.take(shards)
            assert len(taken.remainders) == min(MOST_RANGES, -(-before // max(1, shards)))
            out += [taken] * bool(taken.remainders)
        else:
            back = out.pop(0)
            everything -= {str(one.token) for one in back.remainders}
            new = [str(made + number) for number in range(parts - 1)]
            made += len(new)
            everything |= set(new)
            ranges.add(left(*new))
        waiting = [str(one.token) for one in _all(ranges)]
        held = [str(one.token) for shard in out for one in shard.remainders]
        assert sorted(waiting + held) == sorted(everything)


def _all(ranges: Ranges) -> list[Remainder]:
    """Take everything that waits, and put it back."""
    found = list[Remainder]()
    while len(ranges):
        found += ranges.take(1).remainders
    ranges.add(Left(tuple(found), ORDERS))  # type: ignore[arg-type]
    return found


def test_what_workers_have_found_of_the_order_of_keys_is_told_to_the_next() -> None:
    ranges = Ranges(left("a", "b", orders=("code_point", "utf_16", "folder")))
    ranges.add(left(orders=("code_point", "folder")))
    assert ranges.take(2).orders == ("code_point", "folder")
    ranges.add(left(orders=("utf_16", "folder")))
    assert ranges.take(1).orders == ("folder",)


def test_orders_that_contradict_each_other_are_an_error() -> None:
    ranges = Ranges(left("a"))
    ranges.add(left(orders=("code_point",)))
    with pytest.raises(S3RequestError, match="contradict") as caught:
        ranges.add(left(orders=("folder",)))
    assert caught.value.code == DISORDERED


def test_what_is_sent_is_plain_and_comes_back_as_it_was() -> None:
    one = Left((Remainder("t", "end", "cursor", None, "\udbff\udfff"), Remainder()), ("code_point",))
    sent = packed(one)
    assert unpacked(sent) == one
    assert {type(part) for remainder in sent[0] for part in remainder} <= {str, type(None)}  # type: ignore[attr-defined]
    assert {type(remainder) for remainder in sent[0]} == {tuple}  # type: ignore[attr-defined]
