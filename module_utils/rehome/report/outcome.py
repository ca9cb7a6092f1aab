"""The outcome of a run in one line: "complete" never stands there without what is left."""

from __future__ import annotations

from collections.abc import Mapping

from .fields import SummaryFields, counts_in

_REMAINING = {
    "objects_conflict": ("conflict", "conflicts"),
    "objects_archived": ("archived object", "archived objects"),
    "objects_unroutable": ("object without a legal target key", "objects without a legal target key"),
    "objects_to_copy": ("object that is not in the target", "objects that are not in the target"),
    "objects_outdated": ("outdated copy", "outdated copies"),
    "objects_deferred": ("deferred object", "deferred objects"),
    "rows_remaining": ("row", "rows"),
}
"""What remains as it was: class → its noun for one and for several."""

_KEPT = ("objects_kept_", "copies_kept_")

_CLAUSES = {
    "rows_rewritten": ("row stays rewritten", "rows stay rewritten"),
    "copies_expected": ("copy that a run had begun may still be made", "copies that a run had begun may still be made"),
    "rows_without_object": ("row names no object", "rows name no object"),
    "rows_in_other_forms": (
        "row holds the key in a form that no reference names",
        "rows hold the key in a form that no reference names",
    ),
    "rows_changed_by_app": ("row was changed by the application", "rows were changed by the application"),
    "rows_changed_since": ("row holds what the application wrote since", "rows hold what the application wrote since"),
    "rows_gone": ("row was deleted since", "rows were deleted since"),
    "rows_foreign": ("row of another key stays rewritten", "rows of other keys stay rewritten"),
}
"""What is to be said besides: class → the rest of its clause for one and for several."""

_SOURCE_EMPTY = "no object of the source is under the map"


def outcome_of(fields: SummaryFields) -> str:
    """Return the outcome, as the last line of every verb and `outcome` in summary.json have it."""
    left = _left(fields)
    if fields["complete"]:
        return f"complete, but {left}" if left else "complete"
    if fields["problems"]:
        return "NOT COMPLETE"
    if fields["dry_run"]:
        return f"a dry run: nothing was written{f', and after a run {left}' if left else ''}"
    return "the slice is done; run it without rehome_limit for the rest"


def _left(fields: SummaryFields) -> str:
    left = dict(fields["left"])
    if changed := counts_in(fields).get("rows_changed_by_app"):
        left["rows_changed_by_app"] = changed
    kept = {name: count for name, count in left.items() if name.startswith(_KEPT)}
    clauses = [
        *_phrase({name: count for name, count in left.items() if name in _REMAINING}),
        *([_kept(kept)] if kept else []),
        *(f"{count:,} {_CLAUSES[name][count != 1]}" for name, count in left.items() if name in _CLAUSES),
        *([_SOURCE_EMPTY] if "source_empty" in left else []),
    ]
    return "; ".join(clauses)


def _phrase(remaining: Mapping[str, int]) -> list[str]:
    nouns = [f"{count:,} {_REMAINING[name][count != 1]}" for name, count in remaining.items()]
    if not nouns:
        return []
    verb = "remains" if list(remaining.values()) == [1] else "remain"
    return [f"{', '.join(nouns[:-1])}{' and ' * (len(nouns) > 1)}{nouns[-1]} {verb}"]


def _kept(kept: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count:,} {name.partition('_kept_')[2].replace('_', ' ')}" for name, count in kept.items())
    total = sum(kept.values())
    noun = next(iter(kept)).partition("_kept_")[0]
    return f"{total:,} {noun if total != 1 else noun.removesuffix('s').replace('copie', 'copy')} kept ({reasons})"
