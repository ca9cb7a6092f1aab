"""Read both buckets and the database again, from nothing, and report what is left to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..codes import Code, marked, unmarked
from ..config.settings import Settings
from ..planning.empty import nothing_under_map
from ..planning.plan import Plan, make_plan
from ..run import Run
from ..scan.scan import scan, without_inventory
from .passes import left_by
from .verify_rows import RowsCheck, compare_rows
from .verify_sample import SampleCounts, compare_sample


@dataclass(frozen=True, slots=True)
class Verdict:
    """The present state, classed as a plan would, and what of it is left to do.

    left: what is neither in the target nor rewritten, as `passes.left_by`
    """

    plan: Plan
    sample: SampleCounts
    rows: RowsCheck
    problems: list[str]
    complete: bool
    left: dict[str, int]

    def counts(self) -> dict[str, int]:
        """Return the counts by the names of the summary."""
        return {
            "objects_compared": self.plan.objects_seen,
            "objects_verified": self.plan.objects["present"],
            "rows_compared": self.plan.rows_seen,
            "rows_verified": self.plan.rows["done"],
            "rows_foreign": self.plan.rows["foreign"],
            "rows_in_other_forms": self.plan.rows_in_other_forms,
            "rows_remaining": self.plan.rows_remaining,
            "objects_weak": self.plan.weak,
            **self.sample.counts(),
            **self.rows.counts(),
        }


def verify(run: Run) -> Verdict:
    """Scan both buckets and the rows into the empty catalog, and check them by a plan, a sample, and the journal.

    Raises S3Error and DatabaseError if something cannot be read.
    """
    settings, catalog = run.settings, run.catalog
    scan(without_inventory(run))
    plan = make_plan(catalog, replace(settings, limit=None))
    sample = compare_sample(run)
    rows = compare_rows(run)
    nothing = [
        marked(unmarked(str(finding)).rstrip("."), finding.code)
        for finding in nothing_under_map(catalog, settings, plan)
    ]
    found = nothing + problems(plan, settings) + rows.problems()
    if sample.differing:
        differing = f"{sample.differing:,} of {sample.sampled:,} objects that were read differ from their source"
        found.append(marked(differing, Code.OBJECTS_DIFFER))
    left = found or problems(plan, replace(settings, limit=None))
    return Verdict(plan, sample, rows, found, complete=not left, left=left_by(settings, plan, after_run=False))


def problems(plan: Plan, settings: Settings) -> list[str]:
    """What keeps a migration from being complete, given a plan made of what is there now. Empty: complete.

    Classes that a policy keeps on purpose (`skip`, `keep`, `rewrite`) are no problems, nor is what lies beyond
    `rehome_limit`.
    """
    kept_objects = {"conflict"} if settings.on_conflict == "skip" else set()
    kept_rows = {"dangling"} if settings.on_dangling != "fail" else set()
    if settings.limit is not None:
        # what is beyond the slice; what of the slice was not moved, the copy and the rewrite have said
        kept_objects |= {"to_copy", "outdated"}
        kept_rows |= {"to_rewrite", "blocked"}
    # rows are blocked by their object's class, which speaks for them
    kept_rows |= {"blocked"} if kept_objects else set()
    texts = {
        "to_copy": ("objects under the source prefix are not in the target", Code.OBJECTS_LEFT),
        "outdated": ("objects were overwritten in the source since they were copied", Code.OBJECTS_CHANGED),
        "conflict": ("target objects have other content than the source's", Code.CONFLICT),
        "archived": ("objects are archived and must be restored before they can be copied", Code.ARCHIVED),
        "unroutable": ("objects have no legal target key", Code.UNROUTABLE),
        "to_rewrite": ("rows still hold the old value", Code.ROWS_LEFT),
        "dangling": ("rows name an object that is in neither bucket", Code.DANGLING),
        "blocked": ("rows wait for objects that cannot be copied", Code.ROWS_LEFT),
        "overflowing": ("rows would become longer than their column takes", Code.VALUES_DO_NOT_FIT),
    }
    counted = [
        *((name, plan.objects[name]) for name in texts if name in plan.objects and name not in kept_objects),
        *((name, plan.rows[name]) for name in texts if name in plan.rows and name not in kept_rows),
    ]
    return [marked(f"{count:,} {texts[name][0]}", texts[name][1]) for name, count in counted if count]
