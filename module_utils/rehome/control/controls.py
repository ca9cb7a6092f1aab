"""What is asked of the run that is at work: its parts look here before each piece of work, as they do whether to stop.

Nothing is read from a file or a database here: a thread beside the work hears the doors, and the work only looks at
what it has heard.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict, TypeVar

from .orders import NOTHING, Order, difference, limits_as_written, merged_limits

REASON = "control"
"""By what name the seconds of a pause are counted, beside those of the throttle's signals."""
REFUSED = "refused"
MOST_ASKED = 100
"""How many entries of what was asked are kept: a script may change limits all night."""

LONGEST = 500
"""Characters that are kept of what was asked."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is in force.

    door: in words, where it was asked for
    since: when, in seconds since the epoch
    """

    door: str
    by: str
    since: float
    way_out: str

    @property
    def why(self) -> str:
        """Who has paused the run, when, and how it goes on."""
        who = f" by {self.by}" if self.by else ""
        at = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        return f"paused{who} in {self.door}, since {at}; {self.way_out}"


class Asked(TypedDict):
    """One thing that was asked of a run.

    at: when the run heard of it, in ISO 8601, UTC
    asked: `pause`, `resume`, limits such as `requests=8`; or what was refused, and why
    """

    at: str
    door: str
    by: str
    asked: str


@dataclass(frozen=True, slots=True)
class Door:
    """Where orders come from.

    name: in words, such as the path of a file
    resume: how a pause of this door is taken back, as an imperative clause
    """

    name: str
    resume: str


class Controls:
    """What the doors say, as the parts of a run ask for it. Thread-safe.

    The run is paused while any door says so. Limits: see `merged_limits`.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._orders: dict[Door, Order] = {}
        self._limits: Mapping[str, float] = {}
        self._pauses: dict[Door, Pause] = {}
        self._notes: dict[str, str] = {}
        self._asked: list[Asked] = []
        self._bases: dict[str, float | None] = {}
        self._paused_s = 0.0
        self.version = 0
        """Grows with each change."""

    @property
    def pause(self) -> Pause | None:
        """The pause that is in force; None if the run may work."""
        return next(iter(tuple(self._pauses.values())), None)

    @property
    def paused(self) -> bool:
        """Whether the run is to wait."""
        return bool(self._pauses)

    def limit(self, name: str, base: T) -> float | T:
        """Return the value of a limit now: what was asked for, else `base`, the setting's."""
        self._bases[name] = base  # type: ignore[assignment]  # a limit's value, or None for none
        return self._limits.get(name, base)

    def add_paused(self, seconds: float) -> None:
        """Count seconds that the work has waited in a pause."""
        with self._lock:
            self._paused_s += seconds

    def take_paused(self) -> float:
        """Return the seconds that were counted since the last call."""
        with self._lock:
            seconds, self._paused_s = self._paused_s, 0.0
        return seconds

    def hear(self, door: Door, order: Order) -> None:
        """Take what a door says now, in place of what it said before."""
        with self._lock:
            before = self._orders.get(door, NOTHING)
            self._orders[door] = order
            self._notes.pop(door.name, None)
            if asked := difference(before, order):
                self._note(door, order.by, asked)
            if not order.paused:
                self._pauses.pop(door, None)
            elif door not in self._pauses:
                self._pauses[door] = Pause(door.name, order.by, self._begin(order), door.resume)
            self._limits = merged_limits(self._orders.values())
            self.version += 1

    def refuse(self, door: Door, why: str) -> None:
        """Note, once, that what a door says is not followed; what it said before stays in force."""
        with self._lock:
            if self._notes.get(door.name) != why:
                self._notes[door.name] = why
                self._note(door, "", f"{REFUSED}: {why}; nothing has changed")
                self.version += 1

    def shut(self, door: Door, why: str) -> None:
        """Note, once, that a door cannot be heard. That is no failure."""
        with self._lock:
            if self._notes.get(door.name) != why:
                self._notes[door.name] = why
                self.version += 1

    @property
    def asked(self) -> list[Asked]:
        """What was asked of the run so far, oldest first."""
        with self._lock:
            return list(self._asked)

    def snapshot(self) -> dict[str, object]:
        """Return what `progress.json` says of the controls."""
        with self._lock:
            pause = self.pause
            now = {name: self._limits.get(name, base) for name, base in self._bases.items()}
            limits = limits_as_written({name: value for name, value in now.items() if value is not None})
            said: dict[str, object] = {
                "paused": pause is not None,
                "set": limits_as_written(self._limits),
                "limits": limits,
            }
            if pause is not None:
                said |= {"by": pause.by or pause.door, "since": pause.since}
            if self._notes:
                said["notes"] = [f"{door}: {why}" for door, why in self._notes.items()]
            return said

    def _begin(self, order: Order) -> float:
        now = self._clock()
        try:
            return min(now, datetime.fromisoformat(order.since).timestamp())
        except ValueError:
            return now

    def _note(self, door: Door, by: str, asked: str) -> None:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        self._asked.append(Asked(at=at, door=door.name, by=by, asked=asked[:LONGEST]))
        del self._asked[:-MOST_ASKED]


def add_asked(earlier: Sequence[Asked], now: Sequence[Asked]) -> list[Asked]:
    """Return what was asked in earlier stages of a run and in this one.

    A stage that begins while something is in force hears of it again; that is left out.
    """
    standing: dict[str, dict[str, str]] = {}
    for one in earlier:
        standing.setdefault(one["door"], {}).update(_words(one["asked"]))
    new = []
    for one in now:
        said, known = _words(one["asked"]), standing.setdefault(one["door"], {})
        if not said.items() <= known.items():
            new.append(one)
        known.update(said)
    return [*earlier, *new][-MOST_ASKED:]


def _words(asked: str) -> dict[str, str]:
    """Return what was asked, by the thing that it is about."""
    if asked.startswith(REFUSED):
        return {REFUSED: asked}
    about = {"pause": "pause", "resume": "pause"}
    return {about.get(word, word.partition("=")[0]): word for word in asked.split()}
