"""The run over time, as facts of the report: from the timeline in the state folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

from ..timeline import read_timeline
from .facts import TimelinePoint

_TIMES: Final = ("at", "began", "ended", "paused_s")


def over_time(state_dir: Path, run: str) -> list[TimelinePoint]:
    """Return the snapshots of a run, with times from its first one on; none if the folder has those of another run."""
    known = read_timeline(state_dir)
    if known is None or known[0] != run or not known[2]:
        return []
    _, _, points = known
    first = points[0]["at"]
    return [
        cast(
            TimelinePoint,
            {"at_s": round(point["at"] - first, 2), "began_s": round(point.get("began", first) - first, 2)}
            | {name: value for name, value in point.items() if name not in _TIMES},
        )
        for point in points
    ]
