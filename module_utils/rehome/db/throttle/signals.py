"""The signals of the throttle: each compares one figure with its threshold and returns the reason to pause, if any."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from ...config.throttle import Window
from ...control.controls import REASON, Controls
from ..server_load import Heap, UnreadableError, Vacuum

MIN_RUNNING = 25
"""The lowest default of `max_running`; pt-online-schema-change has the same (--max-load Threads_running=25)."""
RUNNING_GROWTH = 1.2
MIN_DEAD = 50_000
"""Fewer dead tuples are not worth a pause, however small the table is."""
STATISTICS_DELAY_S = 1.1
"""PostgreSQL's sessions report what they have written at most once a second (PGSTAT_MIN_INTERVAL, pgstat.c)."""
VACUUM_AGAIN_S = 60.0
"""The pause before another VACUUM, if the last one removed nothing."""


class Signal(ABC):
    """One reason to pause the work.

    name: its name in summaries
    limit: the setting that has its threshold, which operators may set anew while it works; empty: it has none
    deliberate: whether the operator wants the pause; `max_wait_s` does not apply then
    table: the only table whose rewrite it pauses; None: all
    threshold: of a signal with a `limit`; it may be set between two readings
    """

    name: ClassVar[str]
    limit: ClassVar[str] = ""
    deliberate: ClassVar[bool] = False
    table: str | None = None
    threshold: float | None

    @abstractmethod
    def pause_reason(self) -> str | None:
        """Return why the work must pause now, or None. Raises UnreadableError if the figure cannot be read."""


@dataclass(eq=False)
class OperatorPause(Signal):
    """Pauses while an operator says so, in the control file or the control row."""

    name = REASON
    deliberate = True

    controls: Controls

    def pause_reason(self) -> str | None:
        """Return who has paused the run, and how it goes on."""
        pause = self.controls.pause
        return pause.why if pause else None


@dataclass(eq=False)
class PauseFile(Signal):
    """Pauses while the file exists."""

    name = "pause_file"
    deliberate = True

    path: Path

    def pause_reason(self) -> str | None:
        """Return the reason while the file exists. Raises UnreadableError."""
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnreadableError(f"the pause file {self.path} cannot be checked: {error.strerror}") from error
        return f"the pause file {self.path} exists"


@dataclass(eq=False)
class OpenWindow(Signal):
    """Pauses outside the window of hours."""

    name = "window"
    deliberate = True

    window: Window
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def pause_reason(self) -> str | None:
        """Return the reason while the window is closed, and when it opens."""
        closed = self.window.opens_in(self.now())
        if closed is None:
            return None
        opens = timedelta(minutes=math.ceil(closed / timedelta(minutes=1)))
        return f"the window {self.window.text} is closed; it opens in {str(opens)[:-3]} h"


@dataclass(eq=False)
class ReplicaLag(Signal):
    """Pauses while a replica is too far behind.

    lags: returns the lag of each replica in seconds, by its name
    """

    name = "replica_lag"
    limit = "max_lag_s"

    lags: Callable[[], Mapping[str, float]]
    threshold: float

    def pause_reason(self) -> str | None:
        """Return which replicas are too far behind. Raises UnreadableError."""
        behind = {name: lag for name, lag in self.lags().items() if lag > self.threshold}
        if not behind:
            return None
        replicas = " and ".join(f"replica {name} is {lag:.1f} s behind" for name, lag in sorted(behind.items()))
        return f"{replicas}; max_lag_s is {self.threshold:g}"


@dataclass(eq=False)
class Running(Signal):
    """Pauses while other sessions run too many statements.

    threshold: None means MIN_RUNNING, or a fifth more than at the first reading if that is more
    """

    name = "running"
    limit = "max_running"

    count: Callable[[], int]
    threshold: float | None
    _by_default: int | None = None

    def pause_reason(self) -> str | None:
        """Return the reason while too many statements run. Raises UnreadableError."""
        running = self.count()
        if self._by_default is None:
            self._by_default = max(MIN_RUNNING, math.ceil(running * RUNNING_GROWTH))
        threshold = self._by_default if self.threshold is None else self.threshold
        if running <= threshold:
            return None
        return f"other sessions run {running} statements on the server; max_running is {threshold:g}"


@dataclass(eq=False)
class _Figure(Signal):
    """Pauses while a figure is above its threshold. words: the reason, with places for figure and threshold"""

    words: ClassVar[str]

    read: Callable[[], float]
    threshold: float

    def pause_reason(self) -> str | None:
        """Return the reason while the figure is above its threshold. Raises UnreadableError."""
        figure = self.read()
        return self.words.format(figure, self.threshold) if figure > self.threshold else None


class RedoLog(_Figure):
    """Pauses while InnoDB's redo log is so full that soon every session would have to wait for it.

    read: returns how full it is, as a fraction of InnoDB's own limit
    """

    name = "redo_log"
    limit = "max_redo_ratio"
    words = "the redo log is {:.0%} full; max_redo_ratio is {:g}"


class OwnQuery(_Figure):
    """Pauses while the operator's own query returns more than its threshold."""

    name = "query"
    limit = "query_limit"
    words = "the query returns {:g}; query_limit is {:g}"


class DeadShare(_Figure):
    """A table has too many dead tuples per live one, whoever is to vacuum it: for a limit that ends the run."""

    name = "dead_tuples"
    limit = "max_dead_ratio"
    words = "the table has {:g} dead tuples per live one; max_dead_ratio is {:g}"


def dead_threshold(ratio: float, heap: Heap) -> float:
    """Return how many dead tuples a table may have, at `ratio` dead tuples per live one."""
    return max(MIN_DEAD, ratio * heap.live)


class DeadTuples(Signal):
    """Pauses while a table has too many dead tuples, and while a VACUUM runs on it.

    Every UPDATE leaves a dead tuple, and the table grows unless VACUUM frees their space. If this user may, Rehome
    starts a VACUUM itself at the threshold. Otherwise it waits for autovacuum, and the threshold is where autovacuum
    starts if that is higher.

    heap: returns the table's statistics
    ratio: the threshold, in dead tuples per live one
    vacuum: None if Rehome does not VACUUM the table
    """

    name = "dead_tuples"
    limit = "max_dead_ratio"

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
        self.threshold = ratio
        self._vacuum = vacuum
        self._clock = clock
        self._written: deque[tuple[float, int]] = deque()
        self._base: Heap | None = None
        self._since_base = 0

    def awaits_autovacuum(self, rows: int) -> bool:
        """Return whether rewriting `rows` rows may have to wait for autovacuum."""
        return self._vacuum is None and rows >= MIN_DEAD

    def record(self, rows: int) -> None:
        """Record that `rows` rows of the table have just been rewritten."""
        self._since_base += rows
        self._written.append((self._clock(), rows))

    def pause_reason(self) -> str | None:
        """Return the reason while dead tuples are too many or a VACUUM runs; may start one. Raises UnreadableError."""
        return self._await_autovacuum() if self._vacuum is None else self._run(self._vacuum)

    def _run(self, vacuum: Vacuum) -> str | None:
        vacuuming = f"VACUUM is running on {self.table}"
        if vacuum.running:
            return vacuuming
        heap = self._heap()
        if heap.read_at < vacuum.ended_at:
            return f"VACUUM of {self.table} has ended; waiting for new statistics"
        if heap.vacuumed:
            self._base = None
            return f"a VACUUM that Rehome did not start is running on {self.table}"
        if self._base is None or self._base.read_at < vacuum.ended_at:
            self._base, self._since_base = heap, 0
        # Rehome's own writes are known at once, the application's only with the next statistics
        dead = max(heap.dead, self._base.dead + self._since_base)
        if dead < self._threshold(heap):
            return None
        if self._since_base == 0 and self._clock() < vacuum.ended_at + VACUUM_AGAIN_S:
            why = vacuum.failure or "an old transaction or a replication slot may still need them"
            return f"{self._describe(dead, heap)}, and VACUUM could not remove them: {why}"
        vacuum.start()
        return vacuuming

    def _await_autovacuum(self) -> str | None:
        heap = self._heap()
        if heap.vacuumed:
            return f"a VACUUM is running on {self.table}"
        while self._written and self._written[0][0] <= heap.read_at - STATISTICS_DELAY_S:
            self._written.popleft()
        dead = heap.dead + sum(rows for _, rows in self._written)
        if dead < max(self._threshold(heap), (heap.autovacuum_at or 0) + 1):
            return None
        found = self._describe(dead, heap)
        if heap.autovacuum_at is None:
            return f"{found}; autovacuum is off for it, and this user may not VACUUM it: do so by hand"
        return f"{found}; waiting for autovacuum"

    def _threshold(self, heap: Heap) -> float:
        return dead_threshold(math.inf if self.threshold is None else self.threshold, heap)

    def _describe(self, dead: int, heap: Heap) -> str:
        return f"{self.table} has {dead:,} dead tuples beside {heap.live:,} live ones"
