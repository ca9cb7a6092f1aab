"""Find out in which order a server lists its keys, from its pages. Pure text.

S3 sorts by UTF-8 bytes ("Listing object keys programmatically", S3 user guide). SeaweedFS 4.48 lists by folder, so that
`a/1` comes before `a-1`; other servers are written in languages whose strings are UTF-16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import lt
from typing import Literal, get_args

from .split_points import common_length

OrderName = Literal["code_point", "utf_16", "folder"]

Order = Callable[[str], str | bytes]
"""Returns what a key is sorted by."""


def by_code_point(key: str) -> str:
    """The order of code points, which is that of UTF-8 bytes, too."""
    return key


def by_utf_16(key: str) -> bytes:
    """The order of UTF-16 code units."""
    return key.encode("utf-16-be")


def by_folder(key: str) -> str:
    """The order of a tree of folders: `/` precedes every other character."""
    return key.replace("/", "\0")


_NAMED: Mapping[OrderName, Order] = dict(zip(get_args(OrderName), (by_code_point, by_utf_16, by_folder), strict=True))


class KeyOrder:
    """The orders that are consistent with the keys observed so far."""

    def __init__(self, *possible: Order) -> None:
        self._possible = possible

    @classmethod
    def named(cls, names: Iterable[OrderName]) -> KeyOrder:
        """Return the order of keys that are in one of the orders with these names."""
        return cls(*(_NAMED[name] for name in names))

    @property
    def names(self) -> tuple[OrderName, ...]:
        """The names of the orders that are left."""
        return tuple(name for name, order in _NAMED.items() if order in self._possible)

    @property
    def is_known(self) -> bool:
        """Whether an order is left."""
        return bool(self._possible)

    def observe(self, before: str | None, keys: Sequence[str]) -> None:
        """Record that a server listed `keys` in this order, directly after the key `before`, if any."""
        chain: Sequence[str] = keys if before is None else (before, *keys)
        plain = all(map(lt, chain, islice(chain, 1, None)))
        if len(self._possible) == 1 and self._possible[0] is by_code_point:
            self._possible = self._possible if plain else ()
            return
        text = "".join(chain)
        same: dict[Order, bool] = {
            by_code_point: True,
            by_utf_16: text.isascii(),
            by_folder: "/" not in text or (plain and _in_one_folder(chain, text)),
        }
        self._possible = tuple(
            order
            for order in self._possible
            if (plain if same[order] else _is_ascending([order(key) for key in chain]))
        )

    def surely_below(self, one: str, other: str) -> bool:
        """Return whether `one` comes before `other` in every possible order."""
        return all(order(one) < order(other) for order in self._possible)  # type: ignore[operator]

    def never_below(self, one: str, other: str) -> bool:
        """Return whether `one` comes before `other` in no possible order."""
        return not any(order(one) < order(other) for order in self._possible)  # type: ignore[operator]


def _in_one_folder(chain: Sequence[str], text: str) -> bool:
    """Return whether ascending keys, whose text together is given, have all their slashes in what they begin with."""
    start = chain[0][: common_length(chain[0], chain[-1])]
    return text.count("/") == start.count("/") * len(chain)


def _is_ascending(values: Sequence[str | bytes]) -> bool:
    return all(map(lt, values, islice(values, 1, None)))
