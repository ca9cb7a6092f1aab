"""Work rests while the servers, the clock or the operator say so: what is looked at, and how long it is waited for.

Reading is never throttled: it cannot make a replica catch up ("do not throttle reads on lag", block/spirit#1093).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

from ...errors import RehomeError
from ...progress import Progress
from ..server_load import UnreadableError
from .signals import DeadTuples, Signal

LOOK_AGAIN_S = 0.1
"""Between two looks while work rests; a request to stop is heard in between."""
KEEP_ALIVE_S = 10.0
UNTOLD_S = 1.0
"""Shorter waits are counted, but nobody reads of them."""


class HeldTooLongError(RehomeError):
    """Something has kept the work waiting for longer than `max_wait_s`."""


class _Idle:
    """A connection that waits: it is used from time to time, so that no server ends it."""

    def __init__(self, keep_alive: Callable[[], None], clock: Callable[[], float]) -> None:
        self._keep_alive = keep_alive
        self._clock = clock
        self._used_at = clock()

    def look(self) -> None:
        if self._clock() - self._used_at >= KEEP_ALIVE_S:
            self._keep_alive()
            self._used_at = self._clock()

    def end(self) -> None:
        if self._clock() - self._used_at >= UNTOLD_S:
            self._keep_alive()


class Throttle:
    """Stands between the chunks of the work, however many threads do it.

    held_s: for how long each signal has held the work so far; the rest that `nice` asks for is under that name
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        progress: Progress,
        *,
        nice: float = 0.0,
        max_wait_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.held_s: dict[str, float] = {}
        self._signals = signals
        self._progress = progress
        self._nice = nice
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._sleep = sleep
        self._finished: SimpleQueue[tuple[float, str | None, int]] = SimpleQueue()
        self._gate = threading.Lock()

    def awaits_autovacuum(self, table: str, rows: int) -> bool:
        """Whether work on so many rows of `table` may be held until autovacuum comes."""
        return any(
            isinstance(signal, DeadTuples) and signal.table == table and signal.awaits_autovacuum(rows)
            for signal in self._signals
        )

    def rest(self, busy_s: float, table: str | None = None, rows: int = 0) -> None:
        """A chunk took so long and rewrote so many rows of `table`. The next `wait` includes the rest due for it."""
        self._finished.put((busy_s, table, rows))

    def wait(
        self,
        stopping: Callable[[], bool] = lambda: False,
        table: str | None = None,
        keep_alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when nothing holds the work on `table`, or `stopping` says so. To be called outside any transaction.

        keep_alive: called while it waits, and after a wait, so that no server takes the connection for idle
        Raises HeldTooLongError after `max_wait_s` of a wait that is not deliberate.
        """
        idle = _Idle(keep_alive, self._clock)
        while not self._gate.acquire(timeout=LOOK_AGAIN_S):
            if stopping():
                return
            idle.look()
        try:
            self._take_rest(stopping, idle)
            self._wait_while_held(stopping, table, idle)
        finally:
            self._gate.release()
        idle.end()

    def _take_rest(self, stopping: Callable[[], bool], idle: _Idle) -> None:
        owed_s = self._nice * self._take_note()
        if not owed_s:
            return
        began = self._clock()
        until = began + owed_s
        while not stopping() and (left := until - self._clock()) > 0:
            self._sleep(min(left, LOOK_AGAIN_S))
            idle.look()
        self.held_s["nice"] = self.held_s.get("nice", 0.0) + self._clock() - began

    def _take_note(self) -> float:
        """Let the signals know what was written since the last call; answers how long that took."""
        busy_s = 0.0
        while not self._finished.empty():
            took_s, table, rows = self._finished.get()
            busy_s += took_s
            for signal in self._signals:
                if rows and isinstance(signal, DeadTuples) and signal.table == table:
                    signal.wrote(rows)
        return busy_s

    def _wait_while_held(self, stopping: Callable[[], bool], table: str | None, idle: _Idle) -> None:
        since: dict[str, float] = {}
        began = self._clock()
        while not stopping() and (reasons := self._reasons(table)):
            now = self._clock()
            since = {signal.name: since.get(signal.name, now) for signal in reasons}
            self._tell(reasons, since, now)
            self._give_up(reasons, since, now)
            idle.look()
            self._sleep(LOOK_AGAIN_S)
            first = next(iter(reasons)).name
            self.held_s[first] = self.held_s.get(first, 0.0) + self._clock() - now
        if since:
            self._progress.go_on(self._clock() - began)

    def _reasons(self, table: str | None) -> dict[Signal, str]:
        found: dict[Signal, str] = {}
        for signal in self._signals:
            if signal.table is not None and signal.table != table:
                continue
            try:
                why = signal.holds()
            except UnreadableError as error:
                why = str(error)
            if why is not None:
                found[signal] = why
        return found

    def _tell(self, reasons: Mapping[Signal, str], since: Mapping[str, float], now: float) -> None:
        longest = now - min(since.values())
        if longest >= UNTOLD_S:
            self._progress.hold("; ".join(reasons.values()), longest)

    def _give_up(self, reasons: Mapping[Signal, str], since: Mapping[str, float], now: float) -> None:
        if self._max_wait_s is None:
            return
        for signal, why in reasons.items():
            waited = now - since[signal.name]
            if not signal.deliberate and waited > self._max_wait_s:
                raise HeldTooLongError(
                    f"rehome_throttle.max_wait_s ({self._max_wait_s:g}): the work was kept waiting for "
                    f"{waited:.0f} s: {why}. What was rewritten is committed and recorded; run it again to go on."
                )
