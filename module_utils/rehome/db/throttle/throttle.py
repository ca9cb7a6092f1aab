"""Work rests while the servers, the clock or the operator say so: what is looked at, and how long it is waited for.

Reading is never throttled: it cannot make a replica catch up ("do not throttle reads on lag", block/spirit#1093).
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import ClassVar, NamedTuple, Protocol

from ...config.throttle import Window
from ...errors import RehomeError
from ...progress import Progress

LOOK_AGAIN_S = 0.1
"""Between two looks while work rests; a request to stop is heard in between."""
KEEP_ALIVE_S = 10.0
UNTOLD_S = 1.0
"""Shorter waits are counted, but nobody reads of them."""

LEAST_RUNNING = 25
"""What a server may have under way by default, at least; the default of gh-ost's and pt-online-schema-change's kind."""
GROWTH_OF_RUNNING = 1.2

LEAST_DEAD = 50_000
"""Dead tuples in smaller numbers are not worth waiting for, however small the table is."""
STATISTICS_DELAY_S = 1.1
"""PostgreSQL's sessions report what they have written at most once a second (PGSTAT_MIN_INTERVAL, pgstat.c)."""
VACUUM_AGAIN_S = 60.0
"""After a VACUUM that was of no use."""


class UnreadableError(RehomeError):
    """A signal cannot be read, so that work rests; the text says which and why."""


class HeldTooLongError(RehomeError):
    """Something has kept the work waiting for longer than `max_wait_s`."""


class Signal(ABC):
    """One thing that may hold the work.

    name: the word for it in summaries
    deliberate: the operator wants it so; `max_wait_s` does not count it then
    table: the one table whose rewriting it holds, or None
    """

    name: ClassVar[str]
    deliberate: ClassVar[bool] = False
    table: str | None = None

    @abstractmethod
    def holds(self) -> str | None:
        """Why work must rest now, or None. Raises UnreadableError."""


@dataclass(eq=False)
class PauseFile(Signal):
    """Holds while the file is there."""

    name = "pause_file"
    deliberate = True

    path: Path

    def holds(self) -> str | None:
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnreadableError(f"the pause file {self.path} cannot be looked for: {error.strerror}") from error
        return f"the pause file {self.path} exists"


@dataclass(eq=False)
class OpenWindow(Signal):
    """Holds outside of the hours."""

    name = "window"
    deliberate = True

    window: Window
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def holds(self) -> str | None:
        closed = self.window.opens_in(self.now())
        if closed is None:
            return None
        opens = timedelta(minutes=math.ceil(closed / timedelta(minutes=1)))
        return f"the window {self.window.text} is closed; it opens in {str(opens)[:-3]} h"


@dataclass(eq=False)
class ReplicaLag(Signal):
    """Holds while a replica is too far behind.

    seconds: the lag of each replica, by its name
    """

    name = "replica_lag"

    seconds: Callable[[], Mapping[str, float]]
    limit: float

    def holds(self) -> str | None:
        behind = {name: lag for name, lag in self.seconds().items() if lag > self.limit}
        if not behind:
            return None
        told = " and ".join(f"replica {name} is {lag:.1f} s behind" for name, lag in sorted(behind.items()))
        return f"{told}; max_lag_s is {self.limit:g}"


@dataclass(eq=False)
class Running(Signal):
    """Holds while other sessions have too many statements under way.

    limit: None means LEAST_RUNNING, or a fifth more than at the first look where that is more
    """

    name = "running"

    count: Callable[[], int]
    limit: int | None

    def holds(self) -> str | None:
        running = self.count()
        if self.limit is None:
            self.limit = max(LEAST_RUNNING, math.ceil(running * GROWTH_OF_RUNNING))
        if running <= self.limit:
            return None
        return f"the server has {running} statements of others under way; max_running is {self.limit}"


@dataclass(eq=False)
class RedoLog(Signal):
    """Holds while InnoDB's redo log is so full that soon every session would have to wait for it.

    filled: as a part of what InnoDB lets it be
    """

    name = "redo_log"

    filled: Callable[[], float]
    limit: float

    def holds(self) -> str | None:
        filled = self.filled()
        if filled <= self.limit:
            return None
        return f"the redo log is {filled:.0%} full; max_redo_ratio is {self.limit:g}"


@dataclass(eq=False)
class OwnQuery(Signal):
    """Holds while the operator's own query answers with more than its limit."""

    name = "query"

    answer: Callable[[], float]
    limit: float

    def holds(self) -> str | None:
        answer = self.answer()
        if answer <= self.limit:
            return None
        return f"the query answers {answer:g}; query_limit is {self.limit:g}"


class Heap(NamedTuple):
    """What PostgreSQL's statistics say about a table.

    autovacuum_at: from how many dead tuples on autovacuum comes; None where it is off
    vacuumed: a VACUUM works on it now
    asked_at: by the clock of the signal
    """

    live: int
    dead: int
    autovacuum_at: int | None
    vacuumed: bool
    asked_at: float


class Vacuum(Protocol):
    """VACUUM of one table, in the background. Times are by the clock of the signal."""

    @property
    def running(self) -> bool:
        """Whether it is under way."""

    @property
    def ended_at(self) -> float:
        """When the last one ended; minus infinity before the first."""

    @property
    def failure(self) -> str | None:
        """What the last one failed by."""

    def start(self) -> None:
        """Begin one."""


class DeadTuples(Signal):
    """Holds while a table has too many dead tuples, and while a VACUUM works on it.

    Every UPDATE leaves a dead tuple, and the table grows by those that no VACUUM has made room of. Where Rehome may,
    it begins a VACUUM itself at the limit; elsewhere autovacuum must come, and the limit is where it comes, if that
    is more.
    """

    name = "dead_tuples"

    def __init__(
        self,
        table: str,
        heap: Callable[[], Heap],
        ratio: float,
        vacuum: Vacuum | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = table
        self._heap = heap
        self._ratio = ratio
        self._vacuum = vacuum
        self._clock = clock
        self._written: deque[tuple[float, int]] = deque()
        self._base: Heap | None = None
        self._since_base = 0

    def awaits_autovacuum(self, rows: int) -> bool:
        """Whether so many rewritten rows may be too many dead tuples, and nobody else makes room."""
        return self._vacuum is None and rows >= LEAST_DEAD

    def wrote(self, rows: int) -> None:
        """So many rows of the table have just been rewritten."""
        self._since_base += rows
        self._written.append((self._clock(), rows))

    def holds(self) -> str | None:
        return self._wait_for_autovacuum() if self._vacuum is None else self._see_to_it(self._vacuum)

    def _see_to_it(self, vacuum: Vacuum) -> str | None:
        if vacuum.running:
            return f"VACUUM makes room in {self.table}"
        heap = self._heap()
        if heap.asked_at < vacuum.ended_at:
            return f"VACUUM has made room in {self.table}; the statistics are awaited"
        if heap.vacuumed:
            self._base = None
            return f"a VACUUM that is not Rehome's works on {self.table}"
        if self._base is None or self._base.asked_at < vacuum.ended_at:
            self._base, self._since_base = heap, 0
        # what Rehome has written is known at once, what the application has only after a while
        dead = max(heap.dead, self._base.dead + self._since_base)
        if dead < self._limit(heap):
            return None
        if self._since_base == 0 and self._clock() < vacuum.ended_at + VACUUM_AGAIN_S:
            why = vacuum.failure or "an old transaction or a replication slot may need them still"
            return f"{self._told(dead, heap)}, and VACUUM could not remove them: {why}"
        vacuum.start()
        return f"VACUUM makes room in {self.table}"

    def _wait_for_autovacuum(self) -> str | None:
        heap = self._heap()
        if heap.vacuumed:
            return f"a VACUUM works on {self.table}"
        while self._written and self._written[0][0] <= heap.asked_at - STATISTICS_DELAY_S:
            self._written.popleft()
        dead = heap.dead + sum(rows for _, rows in self._written)
        if dead < max(self._limit(heap), (heap.autovacuum_at or 0) + 1):
            return None
        if heap.autovacuum_at is None:
            return f"{self._told(dead, heap)}; autovacuum is off for it, and this user may not VACUUM it: do so by hand"
        return f"{self._told(dead, heap)}; autovacuum is awaited"

    def _limit(self, heap: Heap) -> float:
        return max(LEAST_DEAD, self._ratio * heap.live)

    def _told(self, dead: int, heap: Heap) -> str:
        return f"{self.table} has {dead:,} dead tuples beside {heap.live:,} live ones"


class Trail:
    """Where a stream was when, so that a follower's position becomes seconds.

    It needs no clock but ours, and no more rights than to read the position.
    """

    LONGEST = 10_000

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=self.LONGEST)

    def note(self, position: int, at: float) -> None:
        """The stream is at `position` now."""
        if not self._samples or position > self._samples[-1][0]:
            self._samples.append((position, at))

    def seconds_behind(self, position: int, at: float) -> float:
        """Since when the stream has been beyond `position`, as far as it was watched."""
        return next((max(at - passed, 0.0) for beyond, passed in self._samples if beyond > position), 0.0)


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
