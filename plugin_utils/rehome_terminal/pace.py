"""How fast a stage is at present, and how long it takes still. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

WINDOW_S: Final = 30.0
LEAST_S: Final = 2.0
"""A rate that was measured over less says little."""


class _Sample(NamedTuple):
    at: float
    done: int
    bytes_done: int | None


class Pace:
    """The rates of one stage over its last half minute, from its snapshots."""

    def __init__(self) -> None:
        self._stage: tuple[object, object] | None = None
        self._samples: deque[_Sample] = deque()

    def add(self, snapshot: Mapping[str, Any], now: float) -> None:
        """Take in a snapshot. One of another stage begins anew; while something holds the stage, time stands still."""
        stage = (snapshot.get("stage"), snapshot.get("began"))
        if stage != self._stage:
            self._stage = stage
            self._samples.clear()
        working = now - _paused(snapshot, now)
        self._samples.append(_Sample(working, _count(snapshot, "done") or 0, _count(snapshot, "bytes_done")))
        while self._samples[-1].at - self._samples[0].at > WINDOW_S:
            self._samples.popleft()

    @property
    def steps(self) -> float | None:
        """Steps per second; None: unknown."""
        first, last = self._ends()
        return None if first is None or last is None else max(last.done - first.done, 0) / (last.at - first.at)

    @property
    def bytes(self) -> float | None:
        """Bytes per second; None: unknown."""
        first, last = self._ends()
        if first is None or last is None or first.bytes_done is None or last.bytes_done is None:
            return None
        return max(last.bytes_done - first.bytes_done, 0) / (last.at - first.at)

    def _ends(self) -> tuple[_Sample | None, _Sample | None]:
        if not self._samples or self._samples[-1].at - self._samples[0].at < LEAST_S:
            return None, None
        return self._samples[0], self._samples[-1]


def _count(snapshot: Mapping[str, Any], name: str) -> int | None:
    value = snapshot.get(name)
    return int(value) if isinstance(value, (int, float)) else None


def _paused(snapshot: Mapping[str, Any], now: float) -> float:
    waiting = snapshot.get("waiting")
    since = waiting.get("since") if isinstance(waiting, Mapping) else None
    held = max(now - since, 0.0) if isinstance(since, (int, float)) else 0.0
    before = snapshot.get("paused_s")
    return held + (before if isinstance(before, (int, float)) else 0.0)
