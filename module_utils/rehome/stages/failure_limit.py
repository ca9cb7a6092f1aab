"""End a stage by itself once more has failed than the operator puts up with (`rehome_critical.failures`)."""

from __future__ import annotations

from ..codes import Code
from ..errors import RehomeError
from ..run import Run


class CriticalFailuresError(RehomeError):
    """More has failed than `rehome_critical.failures` allows."""

    trouble = Code.CRITICAL


class FailureLimit:
    """Counts the failures of a stage.

    what: failed, in words
    """

    def __init__(self, run: Run, what: str) -> None:
        self._most = run.settings.critical.failures
        self._what = what
        self._failures = 0

    def count(self, failures: int) -> None:
        """Take in how many there are by now."""
        self._failures = failures

    def reached(self) -> bool:
        """Return whether the stage is to end."""
        return self._most is not None and self._failures > self._most

    def require(self) -> None:
        """Raise CriticalFailuresError if the stage had to end."""
        if self.reached():
            raise CriticalFailuresError(
                f"rehome_critical.failures ({self._most}): the run has ended by itself: {self._failures:,} "
                f"{self._what}. What was done is recorded, and the lists name them with the reasons; correct those, "
                "then run the same command again to go on.",
                code=Code.CRITICAL,
            )
