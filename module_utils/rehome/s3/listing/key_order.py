"""In what order a server lists its keys, as far as its pages tell. Pure text.

S3 sorts by UTF-8 bytes ("Listing object keys programmatically", S3 user guide). SeaweedFS 4.48 walks its folders, so
that `a/1` comes before `a-1`; others were written in languages whose strings are UTF-16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from operator import lt

Order = Callable[[str], str | bytes]
"""What a key is sorted by."""


def by_code_point(key: str) -> str:
    """The order of UTF-8 bytes as well."""
    return key


def by_utf_16(key: str) -> bytes:
    return key.encode("utf-16-be")


def by_folder(key: str) -> str:
    return key.replace("/", "\0")


class KeyOrder:
    """The orders that the keys seen so far may be in."""

    def __init__(self, *possible: Order) -> None:
        self._possible = possible

    @property
    def is_known(self) -> bool:
        """Whether there is an order that explains what was seen."""
        return bool(self._possible)

    def observe(self, before: str | None, keys: Sequence[str]) -> None:
        """Note that a server listed `keys` one after the other, and before them the key `before`."""
        chain: Sequence[str] = keys if before is None else (before, *keys)
        plain = all(map(lt, chain, islice(chain, 1, None)))
        if len(self._possible) == 1 and self._possible[0] is by_code_point:
            self._possible = self._possible if plain else ()
            return
        text = "".join(chain)
        same: dict[Order, bool] = {
            by_code_point: True,
            by_utf_16: text.isascii(),
            by_folder: "/" not in text,
        }
        self._possible = tuple(
            order for order in self._possible if (plain if same[order] else _ascend([order(key) for key in chain]))
        )

    def surely_below(self, one: str, other: str) -> bool:
        """Whether `one` comes before `other` in every order that is possible."""
        return all(order(one) < order(other) for order in self._possible)  # type: ignore[operator]

    def never_below(self, one: str, other: str) -> bool:
        """Whether `one` comes before `other` in no order that is possible."""
        return not any(order(one) < order(other) for order in self._possible)  # type: ignore[operator]


def _ascend(places: Sequence[str | bytes]) -> bool:
    return all(map(lt, places, islice(places, 1, None)))
