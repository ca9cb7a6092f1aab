"""How far a long stage is, told through a small file that others read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .files import write_whole

FILE = "progress.json"
WRITE_EVERY_S = 0.5


class Progress:
    """Counts of one stage, written to `<state_dir>/progress.json` at most twice a second, each time whole.

    Threads may share it.
    """

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = state_dir / FILE
        self._clock = clock
        self._due = 0.0
        self._facts: dict[str, object] = {}
        self._paused_s = 0.0
        self._lock = threading.Lock()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of `total` steps (None: not known)."""
        with self._lock:
            self._paused_s = 0.0
            self._facts = {"stage": name, "done": 0, "total": total, "began": time.time(), "paused_s": 0.0}
            self._write()

    def at(self, done: int, **counts: int) -> None:
        """The stage has come to `done`; `counts` say more (`failed=2`)."""
        with self._lock:
            self._facts.update(done=done, counts=counts)
            self._write_if_due()

    @property
    def is_due(self) -> bool:
        """Whether `at` would write now: who comes by the thousand a second need not count before."""
        return self._clock() >= self._due

    def hold(self, why: str, for_s: float) -> None:
        """The stage waits, since so many seconds."""
        with self._lock:
            self._facts["waiting"] = {"why": why, "since": time.time() - for_s}
            self._write_if_due()

    def go_on(self, paused_s: float) -> None:
        """The stage has waited so long and goes on; no forecast counts that time."""
        with self._lock:
            self._paused_s += paused_s
            self._facts["paused_s"] = self._paused_s
            if self._facts.pop("waiting", None):
                self._write()

    def end(self) -> None:
        """The stage is over."""
        self._path.unlink(missing_ok=True)

    def _write_if_due(self) -> None:
        if self.is_due:
            self._write()

    def _write(self) -> None:
        self._due = self._clock() + WRITE_EVERY_S
        # too often for an fsync; after a power cut nobody reads it
        write_whole(self._path, json.dumps(self._facts), durable=False)
