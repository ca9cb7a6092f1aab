"""The passes of a run, each a plan and its copy: their counts together, and whether another pass follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..config.settings import Settings
from ..planning.approval import objections, save_plan
from ..planning.plan import Plan, make_plan, refusals, warnings_if_empty, warnings_of_other_forms
from ..report.fields import PassFound, SummaryFields, counts_in
from ..run import Run
from ..scan.scan import scan

_BEFORE_THE_RUN = ("objects_present", "rows_done")
"""The counts that the first pass decides: a later one would count the run's own work."""

_CUMULATIVE = ("objects_copied", "bytes_copied", "rows_rewritten", "rows_changed_by_app")
"""The counts that add up over the passes. The others are those of the last pass, which tries again what failed."""

_NOT_MOVED = {
    "objects_failed": "objects of the slice could not be copied",
    "objects_changed": "objects of the slice were changed while they were copied",
    "objects_found_archived": "objects of the slice are archived",
    "rows_refused": "rows of the slice were refused by the database",
}


class PlannedPass(NamedTuple):
    """The plan of a pass, why it may not be carried out, and what to warn of."""

    plan: Plan
    refusals: list[str]
    warnings: list[str]


def plan_pass(run: Run, dry_run: bool) -> PlannedPass:
    """Scan both buckets and the rows into the empty catalog, and plan. A dry run saves its plan for approval.

    Raises S3Error and DatabaseError if something cannot be read.
    """
    settings, catalog = run.settings, run.catalog
    scan(run)
    plan = make_plan(catalog, settings)
    findings = refusals(plan, settings.on_conflict, settings.on_dangling) + objections(catalog, settings, plan)
    if dry_run:
        save_plan(catalog, settings, plan)
    warnings = warnings_if_empty(plan, settings) + warnings_of_other_forms(catalog, settings)
    return PlannedPass(plan, [str(finding) for finding in findings], warnings)


def counts_of_all_passes(summary: SummaryFields, plan: Plan) -> tuple[dict[str, int], list[PassFound]]:
    """Return the counts of a pass's plan together with those of the passes before it, and what each pass found.

    What was to be done is what was done so far plus what this plan finds, so that what failed does not count twice.

    summary: before this pass
    """
    counts = plan.counts()
    waiting = summary["rows_to_rewrite"] - summary["rows_rewritten"]
    found = PassFound(
        objects_to_copy=counts["objects_to_copy"],
        objects_outdated=counts["objects_outdated"],
        rows_to_rewrite=max(0, counts["rows_to_rewrite"] - waiting),
    )
    passes = [*summary["passes"], found]
    if len(passes) > 1:
        counts |= {name: counts_in(summary)[name] for name in _BEFORE_THE_RUN}
        counts["objects_to_copy"] += summary["objects_copied"] + counts["objects_outdated"]
        counts["bytes_to_copy"] += summary["bytes_copied"]
        counts["rows_to_rewrite"] += summary["rows_rewritten"]
    return counts, passes


def add_earlier_passes(summary: SummaryFields, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of this pass's work together with those of the passes before it, which are in `summary`."""
    before = counts_in(summary)
    return {name: count + (before[name] if name in _CUMULATIVE else 0) for name, count in counts.items()}


def unmoved_of_slice(settings: Settings, summary: SummaryFields) -> list[str]:
    """Return what of a slice (`rehome_limit`) was not moved, which a verification cannot tell."""
    if settings.limit is None:
        return []
    counts = counts_in(summary)
    return [f"{counts[name]:,} {text}" for name, text in _NOT_MOVED.items() if counts[name]]


def is_last_pass(settings: Settings, plan: Plan, number: int) -> bool:
    """Return whether the pass of `plan`, the run's `number`th from 1, is the last before the rows are rewritten."""
    to_move = plan.objects_to_move(settings.on_conflict)
    return not settings.whole or to_move <= settings.quiet_objects or number >= settings.max_passes
