"""What a worker makes of a shard of ranges: the rows that this machine would write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from rehome.catalog.catalog import Catalog
from rehome.fleet.listing import Ask, Given, list_shard
from rehome.fleet.ranges import Ranges, packed, unpacked
from rehome.mapping.key_shapes import KeyShape
from rehome.s3.listing.listing import WHOLE

from tests.unit.s3.fake_bucket import FakeBucket

PREFIX = "image/"
NAMES = [f"avatar-{number:04}.png" for number in range(300)]


@dataclass
class Side:
    prefix: str


class Place:
    """Both buckets of a worker; the target has the same names under another prefix."""

    def __init__(self, names: list[str]) -> None:
        self.sides = Side(PREFIX), Side("avatar/")
        self.clients = [FakeBucket([side.prefix + name for name in names]) for side in self.sides]


def asked(side: int, left: Any = WHOLE, **more: Any) -> tuple[Any, ...]:
    plain = {
        "side": side,
        "left": packed(left),
        "globs": (("*",), ()),
        "refused_keys": (),
        "page_size": 7,
        "most_keys": 10**9,
        "most_characters": 10**9,
    }
    return tuple(Ask(**(plain | more)))


def given_by(place: Place, ask: tuple[Any, ...]) -> Given:
    reading: Any = list_shard
    return Given(*uvloop.run(reading(place, ask)))


def rows_in(file: bytes, folder: Path, table: str = "source_objects") -> list[tuple[Any, ...]]:
    path = folder / "rows"
    path.write_bytes(file)
    with Catalog.in_memory(table) as catalog:
        catalog.load(table, path)
        return sorted(catalog.query(f"SELECT * FROM {table}"), key=str)


def test_the_rows_are_those_of_this_machine(tmp_path: Path) -> None:
    found = given_by(Place(NAMES), asked(0))
    assert rows_in(found.file, tmp_path) == [
        (name, len(PREFIX + name), "e", "now", "STANDARD", "", "", None) for name in NAMES
    ]
    assert (found.listed, found.foreign, found.samples) == (300, 0, [])
    assert unpacked(found.left).remainders == ()
    found = given_by(Place(NAMES), asked(1))
    assert rows_in(found.file, tmp_path, "target_objects") == [(name, len("avatar/" + name), "e") for name in NAMES]


def test_what_is_not_under_the_map_is_counted_and_what_has_no_target_key_says_why(tmp_path: Path) -> None:
    names = ["avatar-1.png", "avatar-2\\.png", "other-1.png", "other-2.png", "z.txt"]
    ask = asked(0, globs=(("*.png",), ("other-*",)), refused_keys=(KeyShape.BACKSLASH.value,))
    found = given_by(Place(names), ask)
    rows = rows_in(found.file, tmp_path)
    assert [row[0] for row in rows] == ["avatar-1.png", "avatar-2\\.png"]
    assert rows[0][-1] is None
    assert "backslash" in rows[1][-1]
    assert (found.listed, found.foreign, found.samples) == (5, 3, ["other-1.png", "other-2.png", "z.txt"])


@pytest.mark.parametrize("bound", [{"most_keys": 50}, {"most_characters": 50 * len(PREFIX + NAMES[0])}])
def test_a_shard_ends_soon_after_so_many_keys(bound: dict[str, int]) -> None:
    found = given_by(Place(NAMES), asked(0, **bound))
    assert 50 <= found.listed < 250
    assert unpacked(found.left).remainders


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


def in_shards(place: Place, most: int, movers: int, folder: Path) -> tuple[list[str], int]:
    """Return the suffixes of all shards, and how many ranges the largest shard had."""
    ranges, found, widest = Ranges(WHOLE._replace(orders=("code_point", "utf_16"))), list[str](), 0
    while len(ranges):
        left = ranges.take(movers)
        widest = max(widest, len(left.remainders))
        given = given_by(place, asked(0, left, most_keys=most))
        rows = rows_in(given.file, folder)
        assert len(rows) == given.listed
        assert given.foreign == 0
        found += [row[0] for row in rows]
        ranges.add(unpacked(given.left))
    return found, widest


def test_a_shard_of_several_ranges_lists_them_all(tmp_path: Path) -> None:
    found, widest = in_shards(Place(NAMES), 20, 1, tmp_path)
    assert sorted(found) == NAMES
    assert widest > 3


@settings(max_examples=30, deadline=None)
@given(names=st.sets(TEXTS, max_size=80), most=st.integers(1, 60), movers=st.integers(1, 4))
def test_shards_together_give_every_object_once_whatever_its_key(
    names: set[str], most: int, movers: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found, _ = in_shards(Place(list(names)), most, movers, tmp_path_factory.mktemp("rows"))
    assert sorted(found) == sorted(names)
