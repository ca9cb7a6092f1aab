"""The number of rows in the next chunk, from how long the previous ones took."""

from __future__ import annotations

import math
import threading
from collections import deque

FIRST_ROWS = 500
MIN_ROWS = 10
MAX_ROWS = 20_000
"""MariaDB's range optimizer takes this many keys in one list under its default weight limit of 32,000, with a margin
(optimizer_max_sel_arg_weight, MariaDB's manual)."""
WINDOW = 10
"""Chunks whose durations are remembered."""
GROWTH = 1.5
"""By how much a chunk may exceed the previous one, as a factor."""
PANIC = 5.0
"""A chunk that takes this many times the target shrinks the next one at once."""


class ChunkSize:
    """Controls the number of rows in a chunk so that a transaction takes `target_s` seconds: nobody waits longer for a
    row that it has locked.

    Nine of the last ten chunks should take no longer than the target. The size grows slowly and shrinks at once.
    Thread-safe: several connections may share one.
    """

    def __init__(self, target_s: float, rows: int = FIRST_ROWS) -> None:
        self._target_s = target_s
        self._rows = rows
        self._seconds_per_row: deque[float] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()

    def retarget(self, target_s: float) -> None:
        """Let transactions take `target_s` seconds from the next one on."""
        with self._lock:
            if target_s < self._target_s:
                # at once: the application waits for these rows
                self._rows = min(self._rows, _bounded(self._rows * target_s / self._target_s))
            self._target_s = target_s

    @property
    def rows(self) -> int:
        """The number of rows that the next chunk should have."""
        return self._rows

    def record(self, rows: int, seconds: float) -> None:
        """Record that a chunk of `rows` rows was committed after `seconds`."""
        with self._lock:
            if seconds > PANIC * self._target_s:
                self._shrink_to(rows * self._target_s / seconds)
            # A short last chunk spreads a transaction's fixed cost over few rows, and so says nothing about the others.
            elif rows * 2 >= self._rows or seconds > self._target_s:
                self._seconds_per_row.append(seconds / rows)
                self._rows = _bounded(min(self._rows * GROWTH, self._target_s / self._ninth_decile()))

    def record_conflict(self) -> None:
        """Record a deadlock or a lock timeout: halve the size."""
        with self._lock:
            self._shrink_to(self._rows / 2)

    def _shrink_to(self, rows: float) -> None:
        self._rows = min(self._rows, _bounded(rows))
        # older, faster measurements would let it grow back at once
        self._seconds_per_row.clear()

    def _ninth_decile(self) -> float:
        ordered = sorted(self._seconds_per_row)
        return ordered[math.ceil(0.9 * len(ordered)) - 1]


def _bounded(rows: float) -> int:
    return max(MIN_ROWS, min(MAX_ROWS, int(rows)))
