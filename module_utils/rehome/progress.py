"""The progress of a long stage, in a small file that the action plugin and people read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from .files import write_whole
from .timeline import Timeline

FILE = "progress.json"
WRITE_EVERY_S = 0.5
FINISHED = "finished"
"""The stage of a run that is over."""


class Gauge(Protocol):
    """Reads further figures of a stage, whenever its progress is written."""

    def begin(self) -> None:
        """Count from now on: a stage begins."""

    def read(self) -> Mapping[str, object]:
        """Return the figures by their names in progress.json; they stay until they are read again."""


class Progress:
    """The counts of one stage, written whole to `<state_dir>/progress.json` at most twice a second.

    The file is there from a run's first stage on and is never removed: between two stages it has the last one's counts
    and `ended`, and after the last one the stage `finished`. Threads may share it. What it was at each time is in the
    run's `Timeline`.

    clock: returns seconds of a monotonic clock
    """

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = state_dir / FILE
        self._clock = clock
        self._run: Mapping[str, str | float] = {}
        self._due = self._count_due = 0.0
        self._state: dict[str, Any] = {}
        self._gauges: list[Gauge] = []
        self._timeline: Timeline | None = None
        self._control: Mapping[str, object] = {}
        self._paused_s = 0.0
        self._lock = threading.Lock()

    def of_run(self, **run: str | float | None) -> None:
        """Set what the file says of the run in addition, from the next stage on. What is None is not known."""
        self._run = {name: value for name, value in run.items() if value is not None}
        self._timeline = Timeline(self._path.parent, str(run["run"])) if "run" in run else None

    def stage(self, name: str, total: int | None = None, total_bytes: int | None = None) -> None:
        """Begin a stage of `total` steps (None: unknown) that move `total_bytes` (None: unknown, or none)."""
        with self._lock:
            self._record_end()
            self._paused_s = 0.0
            for gauge in self._gauges:
                gauge.begin()
            began = {"stage": name, "done": 0, "total": total, "began": time.time(), "paused_s": 0.0}
            if total_bytes is not None:
                began |= {"bytes_done": 0, "bytes_total": total_bytes}
            self._state = {**self._run, **began}
            if self._control:
                self._state["control"] = self._control
            self._write()
            self._record(boundary=True)

    def at(self, done: int, *, bytes_done: int | None = None, **counts: int) -> None:
        """Set how many steps of the stage are done, and bytes, and further counts (`failed=2`)."""
        with self._lock:
            self._count_due = self._clock() + WRITE_EVERY_S
            self._state.update(done=done, counts=counts)
            if bytes_done is not None:
                self._state["bytes_done"] = bytes_done
            self._write_if_due()

    @contextmanager
    def measured_by(self, gauge: Gauge) -> Generator[None, None, None]:
        """Show what `gauge` reads, for the length of the block."""
        self._gauges.append(gauge)
        try:
            yield
        finally:
            with self._lock:
                self._state.update(gauge.read())
                self._gauges.remove(gauge)

    def tick(self) -> None:
        """Show that time goes on, if the file is due: for stages in which nothing may happen for long."""
        with self._lock:
            self._write_if_due()

    @property
    def is_due(self) -> bool:
        """Whether the counts are old: frequent callers of `at` ask first and save the counting.

        That the file is new says nothing about them: `tick` writes it, too.
        """
        return self._clock() >= self._count_due

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

    def control(self, control: Mapping[str, object]) -> None:
        """Show what operators have asked of the run, and what is in force; it stays over the stages to come.

        May be called by a thread beside the work, which must not read the gauges.
        """
        with self._lock:
            self._control = control
            if self._state:
                self._state["control"] = control
                self._write_as_it_is()

    def snapshot(self) -> dict[str, object]:
        """Return what the file would say now."""
        with self._lock:
            return dict(self._state)

    def end(self) -> None:
        """Say that the stage is over, with its last counts. What follows it may not have begun yet."""
        with self._lock:
            if self._state and "ended" not in self._state:
                self._state.pop("waiting", None)
                self._state["ended"] = time.time()
                self._write()
                self._record(boundary=True)

    def finish(self) -> None:
        """Say that the run is over."""
        self.stage(FINISHED)
        self.end()

    def _write_if_due(self) -> None:
        if self._clock() >= self._due:
            self._write()
            self._record()

    def _write(self) -> None:
        self._due = self._clock() + WRITE_EVERY_S
        for gauge in self._gauges:
            self._state.update(gauge.read())
        self._write_as_it_is()

    def _write_as_it_is(self) -> None:
        # too often for an fsync; after a power cut nobody reads it
        write_whole(self._path, json.dumps(self._state), durable=False)

    def _record_end(self) -> None:
        """Record the last figures of a stage that the next one follows."""
        if self._state and "ended" not in self._state:
            for gauge in self._gauges:
                self._state.update(gauge.read())
            self._record(boundary=True)

    def _record(self, *, boundary: bool = False) -> None:
        if self._timeline is not None and self._state["stage"] != FINISHED:
            self._timeline.record(_point(self._state, self._run), boundary=boundary)


def _point(state: Mapping[str, Any], run: Mapping[str, str | float]) -> dict[str, Any]:
    """Return what the timeline has of a state of progress.json."""
    point = {
        name: value for name, value in state.items() if name not in run and name not in ("counts", "waiting", "control")
    }
    point |= {"at": round(time.time(), 2), "began": round(state["began"], 2)}
    if waiting := state.get("waiting"):
        point["held"] = waiting["why"]
    return point
