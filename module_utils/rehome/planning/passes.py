"""A run is one pass or more, each a plan and its copy: what each plan found, and whether another is called for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.settings import Settings
from .plan import Plan

FOUND = ("objects_to_copy", "objects_outdated", "rows_to_rewrite")
"""What is kept of each pass: what its plan found to do, of rows without those that wait since an earlier plan."""

_FIRST = ("objects_present", "rows_done")
"""What was there before the run: a later pass counts the run's own work among it."""

GROWING = ("objects_copied", "bytes_copied", "rows_rewritten", "rows_changed_by_app")
"""What each pass adds to. All other counts are those of the last pass, which tries again what failed."""


_NOT_MOVED = {
    "objects_failed": "objects of the slice could not be copied",
    "objects_changed": "objects of the slice were changed while they were copied",
    "objects_found_archived": "objects of the slice are archived",
    "rows_refused": "rows of the slice were refused by the database",
}


def over_all_passes(summary: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The plan of a pass as the summary counts it, with the passes before it in `summary`.

    What is to be done is what was done and what this plan adds, so that what failed does not count twice.
    """
    counts = plan.counts()
    waiting = summary["rows_to_rewrite"] - summary["rows_rewritten"]
    found = {name: counts[name] for name in FOUND} | {"rows_to_rewrite": max(0, counts["rows_to_rewrite"] - waiting)}
    passes = [*summary["passes"], found]
    if len(passes) > 1:
        counts |= {name: summary[name] for name in _FIRST}
        counts["objects_to_copy"] += summary["objects_copied"] + counts["objects_outdated"]
        counts["bytes_to_copy"] += summary["bytes_copied"]
        counts["rows_to_rewrite"] += summary["rows_rewritten"]
    return {**counts, "passes": passes}


def grown(summary: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of this pass's work, with those of the passes before it in `summary`."""
    return {name: count + (summary[name] if name in GROWING else 0) for name, count in counts.items()}


def left_of_slice(settings: Settings, summary: Mapping[str, Any]) -> list[str]:
    """What of a slice was not moved, which a look at everything cannot tell from what lies beyond it."""
    if settings.limit is None:
        return []
    return [f"{summary[name]:,} {words}" for name, words in _NOT_MOVED.items() if summary[name]]


def is_last(settings: Settings, plan: Plan, number: int) -> bool:
    """Whether no pass follows that of `plan`, the run's `number`th from 1, before the rows are rewritten."""
    to_move = plan.objects_to_move(settings.on_conflict)
    return not settings.whole or to_move <= settings.quiet_objects or number >= settings.max_passes
