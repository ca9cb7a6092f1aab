"""The passes of a run, each a plan and its copy: their counts together, and whether another pass follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..catalog.catalog import Catalog
from ..codes import Code, marked
from ..config.settings import Settings
from ..planning.approval import approved_digest, objections, save_plan
from ..planning.empty import nothing_under_map
from ..planning.plan import Plan, make_plan, refusals, warnings_of_other_forms
from ..report.fields import PassFound, SummaryFields, counts_in
from ..run import Run
from ..scan.buckets import LISTED_ALONE
from ..scan.scan import scan
from ..state.completion import completed_at

_CUMULATIVE = (
    "objects_copied",
    "objects_found_present",
    "bytes_copied",
    "bytes_found_present",
    "rows_rewritten",
    "rows_appeared",
    "rows_found_done",
    "rows_changed_by_app",
)
"""The counts that add up over the passes. The others are those of the last pass, which tries again what failed."""

_OF_LAST_PASS = (
    "objects_changed",
    "objects_found_archived",
    "objects_restoring",
    "objects_not_restored",
    "objects_failed",
    "rows_refused",
    "rows_waiting",
)
"""What the work after a plan finds; a new plan begins anew."""

_SINCE_THE_PLAN = {"objects_found_present": "objects_present", "rows_appeared": "rows_rewritten_unseen"}
"""What the work finds that its plan has not seen so → the count that takes it in, until the next plan."""

_NOT_MOVED = {
    "objects_failed": ("objects of the slice could not be copied", Code.OBJECTS_FAILED),
    "objects_changed": ("objects of the slice were changed while they were copied", Code.OBJECTS_CHANGED),
    "objects_found_archived": ("objects of the slice are archived", Code.ARCHIVED),
    "rows_refused": ("rows of the slice were refused by the database", Code.ROWS_REFUSED),
}


class PlannedPass(NamedTuple):
    """The plan of a pass, why it may not be carried out, what to warn of, and the whole digest of the approved plan."""

    plan: Plan
    refusals: list[str]
    warnings: list[str]
    approved: str | None


def plan_pass(run: Run, dry_run: bool) -> PlannedPass:
    """Scan both buckets and the rows into the empty catalog, and plan. A dry run saves its plan for approval.

    Raises S3Error and DatabaseError if something cannot be read.
    """
    settings, catalog = run.settings, run.catalog
    scan(run)
    plan = make_plan(catalog, settings)
    findings = nothing_under_map(catalog, settings, plan) + refusals(plan, settings.on_conflict, settings.on_dangling)
    findings += objections(catalog, settings, plan)
    approved = approved_digest(settings, plan)
    if dry_run:
        save_plan(catalog, settings, plan)
    refused = [str(finding) for finding in findings]
    warnings = [*warnings_of_other_forms(catalog, settings), *_listed_alone(catalog)]
    return PlannedPass(plan, refused, warnings, approved)


def _listed_alone(catalog: Catalog) -> list[str]:
    """Return what the workers of a cluster could not list."""
    if (places := catalog.metadata().get(LISTED_ALONE)) is None:
        return []
    text = (
        f"{places}: the service lists in no known order, or not from a given key on, so that its listing cannot be "
        "divided among the workers of rehome_cluster: this machine has listed it alone, and all of it"
    )
    return [marked(text, Code.S3_DETOUR)]


def counts_of_all_passes(summary: SummaryFields, plan: Plan) -> tuple[dict[str, int], list[PassFound]]:
    """Return the counts of a pass's plan together with those of the passes before it, and what each pass found.

    What was to be done is what was settled so far plus what this plan finds, so that what failed does not count twice.
    `report.identities` holds how the counts add up.

    summary: before this pass
    """
    s = counts_in(summary)
    unsettled = s["rows_refused"] + s["rows_waiting"] + s["rows_not_reached"]
    found = PassFound(
        objects_to_copy=plan.objects["to_copy"],
        objects_outdated=plan.objects["outdated"],
        rows_to_rewrite=max(0, plan.rows_to_move - unsettled),
    )
    rewritten = s["rows_rewritten"] + s["rows_found_done"]
    settled = rewritten + s["rows_changed_by_app"]
    # a row that appeared and was refused counts again in this plan, or is gone
    appeared = min(s["rows_appeared"], plan.rows_to_move + settled)
    counts = plan.counts() | {
        "objects_to_copy": plan.objects_to_move + s["objects_copied"] + s["objects_found_present"],
        "objects_copied_unseen": s["objects_copied"] - plan.moved_before,
        "objects_present": plan.objects["present"] - plan.moved_before,
        "objects_not_reached": plan.objects_to_move,
        "bytes_to_copy": plan.bytes_to_copy + s["bytes_copied"] + s["bytes_found_present"],
        "rows_to_rewrite": plan.rows_to_move + settled - appeared,
        "rows_appeared": appeared,
        "rows_rewritten_unseen": rewritten - plan.rewritten_before,
        "rows_done": plan.rows["done"] - (plan.rewritten_before - plan.dangling_rewritten),
        "rows_changed_earlier": s["rows_changed_by_app"],
        "rows_not_reached": plan.rows_to_move,
        **dict.fromkeys(_OF_LAST_PASS, 0),
    }
    return counts, [*summary["passes"], found]


def add_earlier_passes(summary: SummaryFields, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of this pass's work together with those of the passes before it, which are in `summary`."""
    before = counts_in(summary)
    moved = {name: before[name] + counts[one] for one, name in _SINCE_THE_PLAN.items() if one in counts}
    return moved | {name: count + (before[name] if name in _CUMULATIVE else 0) for name, count in counts.items()}


def left_by(settings: Settings, plan: Plan, *, after_run: bool) -> dict[str, int]:
    """Return `Plan.left`, and `source_empty` if the source has no object under the map though nobody has moved them.

    That may be right, but a misspelt prefix looks the same. Raises RehomeError if `completion.json` is damaged.
    """
    left = plan.left(after_run=after_run)
    if plan.objects_seen == 0 and completed_at(settings) is None:
        left["source_empty"] = 1
    return left


def unmoved_of_slice(settings: Settings, summary: SummaryFields) -> list[str]:
    """Return what of a slice (`rehome_limit`) was not moved, which a verification cannot tell."""
    if settings.limit is None:
        return []
    counts = counts_in(summary)
    return [marked(f"{counts[name]:,} {text}", code) for name, (text, code) in _NOT_MOVED.items() if counts[name]]


def is_last_pass(settings: Settings, plan: Plan, number: int) -> bool:
    """Return whether the pass of `plan`, the run's `number`th from 1, is the last before the rows are rewritten."""
    return not settings.whole or plan.objects_to_move <= settings.quiet_objects or number >= settings.max_passes
