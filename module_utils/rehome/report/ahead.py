"""How long the stages of a migration take that come after the present one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

from .estimate import ROWS_PER_SECOND
from .facts import StageFact

READINGS_AFTER: Final = {"copy": 3, "rewrite": 2, "verify": 0}
"""How often both sides are still listed and the rows read: by the next pass, by the last one, and to verify."""


def ahead_s(stage: str | None, stages: Sequence[StageFact], rows: int, rows_per_second: float | None) -> float | None:
    """Return the expected seconds of the stages after this one; None: nothing is known yet.

    stages: those of the run that have ended, in their order
    rows: to rewrite after this stage
    rows_per_second: as measured; None: what is assumed of a database that nothing is known of
    """
    readings = READINGS_AFTER.get(stage or "")
    plans = [one["seconds"] for one in stages if one["stage"] == "plan"]
    if readings is None or not plans:
        return None
    rewriting = rows / (rows_per_second or sqrt(ROWS_PER_SECOND[0] * ROWS_PER_SECOND[1])) if stage == "copy" else 0.0
    return round(readings * plans[-1] + rewriting, 1)
