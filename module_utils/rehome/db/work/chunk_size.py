"""The size of the next chunk, from how long the last ones took."""

from __future__ import annotations

import math
import threading
from collections import deque

FIRST_ROWS = 500
FEWEST_ROWS = 10
MOST_ROWS = 20_000
"""What MariaDB's range optimizer takes as one list of keys, by its default weight of 32,000, with room to spare."""
WINDOW = 10
GROWTH = 1.5
PANIC = 5.0


class Servo:
    """Steers chunks to a duration, so that nobody waits long for a row that a chunk holds.

    Nine of ten of the last chunks shall take no longer than the target. The size grows slowly and shrinks at once.
    Several connections may share one.
    """

    def __init__(self, target_s: float, rows: int = FIRST_ROWS) -> None:
        self._target_s = target_s
        self._rows = rows
        self._seconds_per_row: deque[float] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        """How many rows the next chunk shall have."""
        return self._rows

    def note(self, rows: int, seconds: float) -> None:
        """A chunk of so many rows was committed after so many seconds."""
        with self._lock:
            if seconds > PANIC * self._target_s:
                self._shrink_to(rows * self._target_s / seconds)
            # a remainder has the cost of a transaction and few rows to share it: it tells nothing of the others
            elif rows * 2 >= self._rows or seconds > self._target_s:
                self._seconds_per_row.append(seconds / rows)
                self._rows = _bounded(min(self._rows * GROWTH, self._target_s / self._slow()))

    def note_trouble(self) -> None:
        """A chunk met a deadlock or a time-out."""
        with self._lock:
            self._shrink_to(self._rows / 2)

    def _shrink_to(self, rows: float) -> None:
        self._rows = min(self._rows, _bounded(rows))
        # what was measured before it went wrong would let it grow back at once
        self._seconds_per_row.clear()

    def _slow(self) -> float:
        """What nine of ten of the last chunks stayed below, in seconds a row."""
        ordered = sorted(self._seconds_per_row)
        return ordered[math.ceil(0.9 * len(ordered)) - 1]


def _bounded(rows: float) -> int:
    return max(FEWEST_ROWS, min(MOST_ROWS, int(rows)))
