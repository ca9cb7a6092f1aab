"""TODO-DOC."""

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
from ..server_load import Heap, UnreadableError, Vacuum

LEAST_RUNNING = 25
"""What a server may have under way by default, at least; the default of gh-ost's and pt-online-schema-change's kind."""


GROWTH_OF_RUNNING = 1.2


LEAST_DEAD = 50_000
"""Dead tuples in smaller numbers are not worth waiting for, however small the table is."""


STATISTICS_DELAY_S = 1.1
"""PostgreSQL's sessions report what they have written at most once a second (PGSTAT_MIN_INTERVAL, pgstat.c)."""


VACUUM_AGAIN_S = 60.0
"""After a VACUUM that was of no use."""


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
