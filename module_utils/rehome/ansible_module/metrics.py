"""Write the metrics of a run into a file for the node exporter, while a module works and when it has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol, Self

from ..codes import Code, marked
from ..config.settings import Settings
from ..errors import RehomeError
from ..files import replacing
from ..progress import Progress
from ..report.fields import SummaryFields
from ..report.summary import Summary

WRITE_EVERY_S: Final = 5.0
END_TIMEOUT_S: Final = 5.0
"""How long the end of a module waits for a write to a folder that hangs."""


class Metrics(Protocol):
    """Writes metrics for the length of a block, and a last time at its end."""

    problem: str | None
    """Why they could not be written; None: they could."""
    failed: bool
    """Whether the run has failed."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class NoMetrics:
    """Metrics that nobody has asked for."""

    problem: str | None = None
    failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class MetricsFile:
    """Metrics in the file `rehome_metrics_file`. That it cannot be written ends no run.

    run: the run's id
    labels: see `report.metrics.render`
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress,
        run: str,
        labels: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        assert settings.metrics_file is not None  # noqa: S101 - the caller has looked
        self._path = settings.metrics_file
        self._state_dir = settings.state_dir
        self._progress = progress
        self._run = run
        self._labels = labels
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.problem: str | None = None
        self.failed = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(END_TIMEOUT_S)
        if not self._thread.is_alive():
            self.write()

    def write(self) -> None:
        """Write the metrics as they are now."""
        try:
            # which takes a while to load, and most runs do without
            from ..report.metrics import last_success_in, render, state_of  # noqa: PLC0415
        except ImportError as error:
            text = f"rehome_metrics_file ({self._path}): {error}; install requirements.txt. The run goes on"
            self.problem = marked(text, Code.METRICS)
            return
        progress, summary, now = self._progress.snapshot(), self._summary(), self._clock()
        state = state_of(progress, summary, failed=self.failed)
        try:
            before = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            ended_well = state == "complete" and not summary.get("dry_run")
            success = now if ended_well else last_success_in(before)
            page = render(self._labels, progress, summary, state=state, now=now, last_success=success)
            with replacing(self._path, durable=False) as temporary:
                temporary.write_bytes(page)
                temporary.chmod(0o644)  # the node exporter is another user; there is nothing secret in it
        except OSError as error:
            text = f"rehome_metrics_file ({self._path}): cannot be written ({error.strerror}); the run goes on"
            self.problem = marked(text, Code.METRICS)

    def _work(self) -> None:
        while True:
            self.write()
            if self._over.wait(WRITE_EVERY_S):
                return

    def _summary(self) -> SummaryFields:
        try:
            fields = Summary.load(self._state_dir).fields
        except RehomeError:
            return SummaryFields()
        return fields if fields.get("run") == self._run else SummaryFields()
