"""The passes of a run, each a plan and its copy: their counts together, and whether another pass follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.settings import Settings
from ..planning.plan import Plan

FOUND = ("objects_to_copy", "objects_outdated", "rows_to_rewrite")
"""The counts that are kept of each pass: what its plan found to do, except rows that an earlier plan has found."""

_FIRST = ("objects_present", "rows_done")
"""The counts that the first pass decides: a later one would count the run's own work."""

CUMULATIVE = ("objects_copied", "bytes_copied", "rows_rewritten", "rows_changed_by_app")
"""The counts that add up over the passes. The others are those of the last pass, which tries again what failed."""

_NOT_MOVED = {
    "objects_failed": "objects of the slice could not be copied",
    "objects_changed": "objects of the slice were changed while they were copied",
    "objects_found_archived": "objects of the slice are archived",
    "rows_refused": "rows of the slice were refused by the database",
}


def counts_of_all_passes(summary: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return the counts of a pass's plan together with those of the passes before it, which are in `summary`.

    What was to be done is what was done so far plus what this plan finds, so that what failed does not count twice.
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


def add_earlier_passes(summary: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of this pass's work together with those of the passes before it, which are in `summary`."""
    return {name: count + (summary[name] if name in CUMULATIVE else 0) for name, count in counts.items()}


def unmoved_of_slice(settings: Settings, summary: Mapping[str, Any]) -> list[str]:
    """Return what of a slice (`rehome_limit`) was not moved: a verification cannot tell it from the rest."""
    if settings.limit is None:
        return []
    return [f"{summary[name]:,} {words}" for name, words in _NOT_MOVED.items() if summary[name]]


def is_last_pass(settings: Settings, plan: Plan, number: int) -> bool:
    """Return whether the pass of `plan`, the run's `number`th from 1, is the last before the rows are rewritten."""
    to_move = plan.objects_to_move(settings.on_conflict)
    return not settings.whole or to_move <= settings.quiet_objects or number >= settings.max_passes
