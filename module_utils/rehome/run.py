"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .catalog.catalog import Catalog
from .config.settings import Settings
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
    """

    settings: Settings
    catalog: Catalog
    progress: Progress
    stopping: Callable[[], bool] = never
    job: Job | None = None

    def with_settings(self, settings: Settings) -> Run:
        """Return the same run under other settings."""
        return replace(self, settings=settings)
