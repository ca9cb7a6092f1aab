"""What an operator asks of a run by one door, as a document of a few keys, and what several doors ask together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from ..codes import Code
from ..errors import RehomeError

OFF: Final = math.inf
"""The value of a limit that is switched off."""
LONGEST_NAME: Final = 100
"""Characters that are kept of who asks."""


class Range(NamedTuple):
    """The values that a limit may have.

    whole: whether it is a whole number
    off: what stands for "no limit" (0, or None); `...` if it cannot be switched off
    more_is_stricter: of two values the larger one holds the work back more
    """

    least: float
    most: float
    whole: bool = False
    off: object = ...
    more_is_stricter: bool = False

    @property
    def words(self) -> str:
        """The range, as messages name it."""
        kind = "a whole number" if self.whole else "a number"
        most = f" to {self.most:g}" if self.most < math.inf else ""
        span = f"{kind} of {self.least:g}{most}" if most else f"{kind} of at least {self.least:g}"
        return span if self.off is ... else f"{span}, or {'none' if self.off is None else self.off} for no limit"


def ranges(max_requests: int, connections: int, chunk_ms: tuple[int, int]) -> dict[str, Range]:
    """Return the limits that can be set during a run, by the names of their settings without `rehome_`.

    max_requests, connections: as many as the run has opened: it may use fewer, and never more
    chunk_ms: the shortest and the longest target of a transaction
    """
    return {
        "requests": Range(1, max_requests, whole=True),
        "objects_per_second": Range(0.01, math.inf, off=None),
        "chunk_ms": Range(*chunk_ms, whole=True),
        "connections": Range(1, connections, whole=True),
        "max_lag_s": Range(0.1, math.inf, off=0),
        "max_running": Range(1, math.inf, whole=True, off=0),
        "max_redo_ratio": Range(0.01, 1, off=0),
        "max_dead_ratio": Range(0.001, math.inf, off=0),
        "nice": Range(0, 1000, more_is_stricter=True),
    }


class OrderError(RehomeError):
    """What a door says cannot be followed, and changes nothing. The text says why, without a full stop at its end."""

    trouble = Code.ORDER_UNUSABLE


@dataclass(frozen=True, slots=True)
class Order:
    """What one door says.

    limits: name → value, as in `ranges`; OFF: no limit
    by: who asks, as they say themselves
    since: when, in ISO 8601; empty if the door does not say
    """

    paused: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    since: str = ""


NOTHING: Final = Order()
"""The order of a door that says nothing."""
_KEYS: Final = ("paused", "set", "by", "since")


def read_order(document: Any, allowed: Mapping[str, Range]) -> Order:
    """Return what a door's document says.

    document: a mapping with `paused` (true or false), `set` (limit → value), `by` and `since`; none of them need be
        there
    Raises OrderError if anything in it is not understood: then nothing of it counts.
    """
    if not isinstance(document, Mapping):
        raise OrderError(f"it holds {_kind(document)}, not an object with {', '.join(_KEYS)}")
    if unknown := sorted(str(key) for key in document if key not in _KEYS):
        raise OrderError(f"{_listed(unknown)} is unknown; the keys are {', '.join(_KEYS)}")
    paused = document.get("paused", False)
    if not isinstance(paused, bool):
        raise OrderError(f"paused ({paused!r}) is neither true nor false")
    given = document.get("set")
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise OrderError(f"set holds {_kind(given)}, not an object of limits")
    limits = {str(name): read_limit(str(name), value, allowed) for name, value in given.items()}
    return Order(paused, limits, plain(document.get("by")), plain(document.get("since")))


def read_limit(name: str, value: Any, allowed: Mapping[str, Range]) -> float:
    """Return the value of one limit. Raises OrderError if there is no such limit, or the value is out of its range."""
    if name not in allowed:
        raise OrderError(f"{plain(name)} is no limit that can be set; the limits are {', '.join(allowed)}")
    within = allowed[name]
    if within.off is not ... and value == within.off and not isinstance(value, bool):
        return OFF
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not within.least <= value <= within.most or (within.whole and value != int(value)):
        raise OrderError(f"{name} ({plain(value)}) is not {within.words}")
    return int(value) if within.whole else float(value)


def with_limits(order: Order, given: Mapping[str, str], allowed: Mapping[str, Range]) -> Order:
    """Return the order with limits as people write them: a number, `none`, or `default` for the setting's own.

    Raises OrderError if one of them is not understood.
    """
    limits = dict(order.limits)
    for name, text in given.items():
        word = text.strip().lower()
        if word == "default":
            limits.pop(name, None)
        else:
            limits[name] = read_limit(name, _number(word), allowed)
    return replace(order, limits=limits)


def _number(word: str) -> float | str | None:
    if word in ("none", "null"):
        return None
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def document_of(order: Order) -> dict[str, object]:
    """Return the inverse of `read_order`."""
    limits = {name: _written(name, value) for name, value in order.limits.items()}
    said = {"paused": order.paused, "set": limits, "by": order.by, "since": order.since}
    return {key: value for key, value in said.items() if value or key == "paused"}


def merged_limits(orders: Iterable[Order]) -> dict[str, float]:
    """Return the limits that several doors set together: of two values for one limit, the stricter one counts."""
    limits: dict[str, float] = {}
    for order in orders:
        for name, value in order.limits.items():
            stricter = max if name in _MORE_IS_STRICTER else min
            limits[name] = stricter(limits.get(name, value), value)
    return limits


def limits_as_written(limits: Mapping[str, float]) -> dict[str, float | None]:
    """Return the limits as people write them: a limit that is switched off has the value that says so."""
    return {name: _written(name, value) for name, value in limits.items()}


def difference(before: Order, after: Order) -> str:
    """Return in words what `after` asks that `before` did not; empty if it asks the same."""
    words = []
    if after.paused != before.paused:
        words.append("pause" if after.paused else "resume")
    words += [
        f"{name}={'none' if value == OFF else format(value, 'g')}"
        for name, value in after.limits.items()
        if before.limits.get(name) != value
    ]
    words += [f"{name}=default" for name in before.limits if name not in after.limits]
    return " ".join(words)


def plain(value: object) -> str:
    """Return a value of the operator's as one short line of printable text."""
    text = " ".join(str("" if value is None else value).split())
    return "".join(one if one.isprintable() else "?" for one in text)[:LONGEST_NAME]


_ANY: Final = ranges(1, 1, (1, 1))
LIMIT_NAMES: Final = tuple(_ANY)
"""The limits that can be set."""
_MORE_IS_STRICTER: Final = frozenset(name for name, within in _ANY.items() if within.more_is_stricter)


def _written(name: str, value: float) -> float | None:
    if value != OFF:
        return value
    return None if name not in _ANY or _ANY[name].off is None else 0


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}.get(
        type(value), "a number"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(plain(name) for name in names)
