"""Pause the work between two chunks for as long as a signal says so, within `max_wait_s`.

Reads are never throttled: it would not help a replica catch up ("do not throttle reads on lag", block/spirit#1093).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from ...codes import Code
from ...control.controls import Controls
from ...errors import RehomeError
from ...progress import Progress
from ..server_load import UnreadableError
from .signals import DeadTuples, Signal

CHECK_EVERY_S = 0.1
"""How often a paused thread checks the signals, and whether it should stop."""
KEEP_ALIVE_S = 10.0
MIN_REPORTED_S = 1.0
"""Shorter pauses are counted but not reported."""


class PausedTooLongError(RehomeError):
    """A signal has paused the work for longer than `max_wait_s`."""

    trouble = Code.PAUSED_TOO_LONG


class CriticalLimitError(RehomeError):
    """A figure is so far off that the operator wants the run to end."""

    trouble = Code.CRITICAL


class _Reason(NamedTuple):
    """Why the work is paused, and by what name its seconds are counted."""

    name: str
    why: str


class _IdleConnection:
    """A connection that waits. It is used from time to time, so that the server does not close it."""

    def __init__(self, keep_alive: Callable[[], None], clock: Callable[[], float]) -> None:
        self._keep_alive = keep_alive
        self._clock = clock
        self._used_at = clock()

    def use_if_due(self) -> None:
        if self._clock() - self._used_at >= KEEP_ALIVE_S:
            self._keep_alive()
            self._used_at = self._clock()

    def end(self) -> None:
        if self._clock() - self._used_at >= MIN_REPORTED_S:
            self._keep_alive()


class Throttle:
    """Pauses the work between its chunks. Thread-safe: all workers share one.

    controls: what operators ask while it works: a pause is one of the signals, the limits of the others are asked here
    critical: signals that end the run
    critical_s: for how many seconds each of them must last
    nice: seconds to pause per second of work
    max_wait_s: the longest pause that is not deliberate; None: unlimited
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        progress: Progress,
        *,
        controls: Controls | None = None,
        critical: Sequence[Signal] = (),
        critical_s: float = 0.0,
        nice: float = 0.0,
        max_wait_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.paused_s: dict[str, float] = {}
        """Seconds for which each signal has paused the work so far, by its name; `nice` is one of them, and
        `reading_<name>` one whose figure could not be read."""
        self._signals = signals
        self._controls = controls or Controls()
        self._limits = {signal: signal.threshold for signal in signals if signal.limit}
        self._critical = critical
        self._critical_s = critical_s
        self._critical_since: dict[Signal, float] = {}
        self._progress = progress
        self._nice = nice
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._sleep = sleep
        self._finished: SimpleQueue[tuple[float, str | None, int]] = SimpleQueue()
        self._gate = threading.Lock()

    def awaits_autovacuum(self, table: str, rows: int) -> bool:
        """Return whether rewriting `rows` rows of `table` may have to wait for autovacuum."""
        return any(
            isinstance(signal, DeadTuples) and signal.table == table and signal.awaits_autovacuum(rows)
            for signal in self._signals
        )

    def record(self, busy_s: float, table: str | None = None, rows: int = 0) -> None:
        """Record that a chunk took `busy_s` and rewrote `rows` of `table`; the next `wait` applies `nice` to it."""
        self._finished.put((busy_s, table, rows))

    def wait(
        self,
        stopping: Callable[[], bool] = lambda: False,
        table: str | None = None,
        keep_alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when no signal pauses the work on `table`, or when `stopping` returns True.

        Call it outside any transaction.

        keep_alive: called during and after a pause, so that the server does not close the connection as idle
        Raises PausedTooLongError after `max_wait_s` of a pause that is not deliberate, and CriticalLimitError.
        """
        idle = _IdleConnection(keep_alive, self._clock)
        while not self._gate.acquire(timeout=CHECK_EVERY_S):
            if stopping():
                return
            idle.use_if_due()
        try:
            self._pause_for_nice(stopping, idle)
            self._pause_for_signals(stopping, table, idle)
        finally:
            self._gate.release()
        idle.end()

    def _pause_for_nice(self, stopping: Callable[[], bool], idle: _IdleConnection) -> None:
        due_s = self._controls.limit("nice", self._nice) * self._pass_on_records()
        if not due_s:
            return
        began = self._clock()
        until = began + due_s
        while not stopping() and (left := until - self._clock()) > 0:
            self._sleep(min(left, CHECK_EVERY_S))
            idle.use_if_due()
        self.paused_s["nice"] = self.paused_s.get("nice", 0.0) + self._clock() - began

    def _pass_on_records(self) -> float:
        """Tell the signals what was written since the last call. Returns the seconds that it took."""
        busy_s = 0.0
        while not self._finished.empty():
            took_s, table, rows = self._finished.get()
            busy_s += took_s
            for signal in self._signals:
                if rows and isinstance(signal, DeadTuples) and signal.table == table:
                    signal.record(rows)
        return busy_s

    def _pause_for_signals(self, stopping: Callable[[], bool], table: str | None, idle: _IdleConnection) -> None:
        since: dict[str, float] = {}
        began = self._clock()
        while not stopping() and (reasons := self._reasons(table)):
            now = self._clock()
            since = {signal.name: since.get(signal.name, now) for signal in reasons}
            self._report(reasons, since, now)
            self._check_max_wait(reasons, since, now)
            idle.use_if_due()
            self._sleep(CHECK_EVERY_S)
            first = next(iter(reasons.values())).name
            self.paused_s[first] = self.paused_s.get(first, 0.0) + self._clock() - now
        if since:
            self._progress.resume(self._clock() - began)

    def _reasons(self, table: str | None) -> dict[Signal, _Reason]:
        self._check_critical(table)
        for signal, base in self._limits.items():
            signal.threshold = self._controls.limit(signal.limit, base)
        found: dict[Signal, _Reason] = {}
        for signal in self._signals:
            if signal.table is not None and signal.table != table:
                continue
            try:
                why = signal.pause_reason()
            except UnreadableError as error:
                # what is waited for is the reading: the figure may be as it should
                found[signal] = _Reason(f"reading_{signal.name}", str(error))
            else:
                if why is not None:
                    found[signal] = _Reason(signal.name, why)
        return found

    def _check_critical(self, table: str | None) -> None:
        for signal in self._critical:
            if signal.table is not None and signal.table != table:
                continue
            try:
                why = signal.pause_reason()
            except UnreadableError:
                continue  # what is unknown is not critical
            if why is None:
                self._critical_since.pop(signal, None)
                continue
            lasts = self._clock() - self._critical_since.setdefault(signal, self._clock())
            if lasts >= self._critical_s:
                raise CriticalLimitError(
                    f"rehome_critical.{signal.limit} ({signal.threshold:g}): the run has ended by itself: {why}. What "
                    "was done is recorded; see what burdens the server, then run the same command again to go on.",
                    code=Code.CRITICAL,
                )

    def _report(self, reasons: Mapping[Signal, _Reason], since: Mapping[str, float], now: float) -> None:
        longest = now - min(since.values())
        if longest >= MIN_REPORTED_S:
            self._progress.pause("; ".join(reason.why for reason in reasons.values()), longest)

    def _check_max_wait(self, reasons: Mapping[Signal, _Reason], since: Mapping[str, float], now: float) -> None:
        if self._max_wait_s is None:
            return
        for signal, reason in reasons.items():
            waited = now - since[signal.name]
            if not signal.deliberate and waited > self._max_wait_s:
                raise PausedTooLongError(
                    f"rehome_throttle.max_wait_s ({self._max_wait_s:g}): the rewrite was paused for {waited:.0f} s: "
                    f"{reason.why}. What was rewritten is committed and journalled; run it again to continue."
                )
