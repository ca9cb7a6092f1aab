"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .catalog.catalog import Catalog
from .config.settings import Settings
from .control.controls import Controls
from .job import Job
from .progress import Progress


def never() -> bool:
    """Return False: no stop was requested."""
    return False


@dataclass(frozen=True, slots=True)
class Run:
    """The settings of a run, the catalog that it works on, its progress, whether it should stop, and whose job it is.

    stopping: called before each piece of work. Once it returns True, what is in flight is finished and the
    remaining work is left for the next run.
    controls: what operators ask of it while it works: to wait, and with which limits to go on
    """

    settings: Settings
    catalog: Catalog
    progress: Progress
    stopping: Callable[[], bool] = never
    job: Job | None = None
    controls: Controls = field(default_factory=Controls)

    def until(self, reached: Callable[[], bool]) -> Run:
        """Return the same run, which is to stop as well once `reached` returns True."""
        stopping = self.stopping
        return replace(self, stopping=lambda: stopping() or reached())

    def with_settings(self, settings: Settings) -> Run:
        """Return the same run under other settings."""
        return replace(self, settings=settings)
