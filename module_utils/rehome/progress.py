"""The progress of a long stage, in a small file that the action plugin and people read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .files import write_whole

FILE = "progress.json"
WRITE_EVERY_S = 0.5
FINISHED = "finished"
"""The stage of a run that is over."""


class Progress:
    """The counts of one stage, written whole to `<state_dir>/progress.json` at most twice a second.

    The file is there from a run's first stage on and is never removed: between two stages it has the last one's counts
    and `ended`, and after the last one the stage `finished`. Threads may share it.

    clock: returns seconds of a monotonic clock
    """

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = state_dir / FILE
        self._clock = clock
        self._run: Mapping[str, str] = {}
        self._due = 0.0
        self._state: dict[str, object] = {}
        self._paused_s = 0.0
        self._lock = threading.Lock()

    def of_run(self, **run: str) -> None:
        """Set what the file says of the run in addition, from the next stage on."""
        self._run = run

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of `total` steps (None: unknown)."""
        with self._lock:
            self._paused_s = 0.0
            began = {"stage": name, "done": 0, "total": total, "began": time.time(), "paused_s": 0.0}
            self._state = {**self._run, **began}
            self._write()

    def at(self, done: int, **counts: int) -> None:
        """Set how many steps of the stage are done, and further counts (`failed=2`)."""
        with self._lock:
            self._state.update(done=done, counts=counts)
            self._write_if_due()

    @property
    def is_due(self) -> bool:
        """Whether `at` would write now: frequent callers ask first and save the counting."""
        return self._clock() >= self._due

    def reached(self) -> str:
        """Return in which stage the run is, or was at its end, and how far."""
        with self._lock:
            stage, done, total = (self._state.get(name) for name in ("stage", "done", "total"))
        if not stage:
            return "before its first step"
        return f"in '{stage}' at {done:,}" + (f" of {total:,}" if total else "")

    def pause(self, why: str, for_s: float) -> None:
        """Show that the stage has been waiting for `for_s` seconds, and why."""
        with self._lock:
            self._state["waiting"] = {"why": why, "since": time.time() - for_s}
            self._write_if_due()

    def resume(self, paused_s: float) -> None:
        """Show that the stage continues after a wait of `paused_s` seconds, which no forecast counts."""
        with self._lock:
            self._paused_s += paused_s
            self._state["paused_s"] = self._paused_s
            if self._state.pop("waiting", None):
                self._write()

    def end(self) -> None:
        """Say that the stage is over, with its last counts. What follows it may not have begun yet."""
        with self._lock:
            if self._state and "ended" not in self._state:
                self._state.pop("waiting", None)
                self._state["ended"] = time.time()
                self._write()

    def finish(self) -> None:
        """Say that the run is over."""
        self.stage(FINISHED)
        self.end()

    def _write_if_due(self) -> None:
        if self.is_due:
            self._write()

    def _write(self) -> None:
        self._due = self._clock() + WRITE_EVERY_S
        # too often for an fsync; after a power cut nobody reads it
        write_whole(self._path, json.dumps(self._state), durable=False)
