"""What a verb did, or would do, in words: a sentence for its end, and its figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .facts import Report
from .fields import KEPT_COPIES, KEPT_OBJECTS, SummaryFields, counts_in
from .lines import many, named, size


class Done(NamedTuple):
    """What a verb did.

    sentence: what `complete` stands for
    figures: what it did to buckets and database, and what it did not come to
    checked: what was compared with what
    also: counts that are not 0 and need nobody
    """

    sentence: str
    figures: list[str]
    checked: list[str]
    also: list[str]


_ALSO_OF_MIGRATION: Mapping[str, str] = {
    "objects_present": "objects present before",
    "rows_done": "rows done before",
    "objects_found_present": "objects found present",
    "rows_found_done": "rows found done",
    "rows_changed_by_app": "rows changed by the application",
    "objects_outdated": "outdated copies",
    "objects_to_overwrite": "conflicts to overwrite",
    "rows_dangling_to_rewrite": "dangling rows among the rewritten",
    "objects_weak": "objects proven by size alone",
    "objects_restoring": "archived objects being restored",
    "objects_orphan": "orphans",
    "objects_deferred": "deferred objects",
    "rows_deferred": "deferred rows",
    "objects_copied_unseen": "copied objects overwritten or deleted in the source since",
    "rows_rewritten_unseen": "rewritten rows changed, deleted or written since the plan",
    "objects_sampled": "objects read and compared",
    "objects_foreign": "objects not under the map",
    "rows_foreign": "rows not under the map",
}
_NOT_DONE: Mapping[str, str] = {
    "objects_conflict": "conflicts",
    "objects_archived": "archived objects",
    "objects_unroutable": "objects without a legal target key",
    "objects_changed": "objects changed meanwhile",
    "objects_found_archived": "objects found archived",
    "objects_not_restored": "restores refused",
    "objects_failed": "objects failed",
    "objects_not_reached": "objects not reached",
    "objects_differing": "objects that differ",
    "rows_dangling": "dangling rows",
    "rows_blocked": "blocked rows",
    "rows_overflowing": "rows too long for their column",
    "rows_refused": "rows refused",
    "rows_waiting": "rows waiting for their object",
    "rows_not_reached": "rows not reached",
}
"""What a run did not move: everything that a human may have to look at."""
_WRITTEN = (
    "objects_copied",
    "objects_retired",
    "objects_brought_back",
    "copies_removed",
    "rows_rewritten",
    "rows_restored",
)
"""Counts of what a run changes in the buckets and the database."""
_WRONG: Mapping[str, str] = {
    "rows_wrong": "wrong",
    "rows_without_object": "without their object",
    "rows_changed_since": "changed since",
    "rows_gone": "gone",
}


def done(report: Report, fields: SummaryFields) -> Done:
    """Return what the verb of a run did."""
    verb = report["verb"].removesuffix("-check")
    if (report.get("error") or report.get("refusals")) and not fields["passes"] and not wrote(fields):
        return Done("", [], [], [])  # it has counted nothing yet
    if verb == "preflight":
        return _preflight(report)
    if "objects_retired" in fields:
        return _retirement(fields)
    if fields["kind"] == "rollback":
        return _rollback(fields)
    return _verification(fields) if verb == "verify" else _migration(fields)


def wrote(fields: SummaryFields) -> bool:
    """Return whether a run has changed anything in the buckets or the database, as far as it has counted."""
    counts = counts_in(fields)
    return not fields["dry_run"] and any(counts.get(name) for name in _WRITTEN)


def _migration(fields: SummaryFields) -> Done:
    counts, dry = counts_in(fields), fields["dry_run"]
    copied, rewritten = counts["objects_copied"], counts["rows_rewritten"]
    moved = f"{many(copied, 'object')} and {many(rewritten, 'row')} moved, nothing left to do"
    before = f"{many(counts['objects_present'], 'object')} and {many(counts['rows_done'], 'row')}"
    would = "would be " if dry else ""
    objects, in_bytes = ("objects_to_copy", "bytes_to_copy") if dry else ("objects_copied", "bytes_copied")
    rows = counts["rows_to_rewrite"] if dry else rewritten
    through = _by_whom(fields) if counts[objects] else ""
    ended = _NOT_DONE if not dry else {name: text for name, text in _NOT_DONE.items() if "not_reached" not in name}
    return Done(
        sentence=moved if copied or rewritten else f"nothing was left to do; {before} were moved before",
        figures=[
            f"{many(counts[objects], 'object')} {would}copied ({size(counts[in_bytes])}){through}, "
            f"{many(rows, 'row')} {would}rewritten",
            *named(counts, ended),
        ],
        checked=_compared(counts),
        also=[
            *_later_passes(fields),
            *named(counts, _ALSO_OF_MIGRATION),
            *_waited(fields),
            *(["carried out as approved"] if fields["approved_plan"] else []),
        ],
    )


def _by_whom(fields: SummaryFields) -> str:
    """Return which machines have copied, unless the service did by itself as this one asked it to."""
    streamed = fields["copy_method"] == "stream"
    if movers := len(fields.get("movers", {})):
        return f" {'through' if streamed else 'by'} {many(movers, 'mover')}"
    return " through this machine" if streamed else ""


def _verification(fields: SummaryFields) -> Done:
    counts = counts_in(fields)
    objects, rows = counts.get("objects_verified", 0), counts.get("rows_verified", 0)
    to_do = {"objects_to_copy": "objects to copy", "rows_to_rewrite": "rows to rewrite", **_NOT_DONE}
    ended = {name: text for name, text in to_do.items() if "not_reached" not in name}
    also = {name: text for name, text in _ALSO_OF_MIGRATION.items() if name not in ("objects_present", "rows_done")}
    return Done(
        sentence=f"{many(objects, 'object')} verified in the target, {many(rows, 'row')} verified, nothing left to do",
        figures=named(counts, ended),
        checked=_compared(counts),
        also=named(counts, also),
    )


def _compared(counts: Mapping[str, int]) -> list[str]:
    """Return what a verification compared; nothing if there was none."""
    if "objects_compared" not in counts:
        return []
    objects, rows = counts.get("objects_verified", 0), counts.get("rows_verified", 0)
    found = [
        f"{objects:,} of {many(counts['objects_compared'], 'object')} and "
        f"{rows:,} of {many(counts.get('rows_compared', 0), 'row')} verified"
    ]
    if "rows_checked" not in counts:
        return found
    if not counts["rows_checked"]:
        return [*found, "journal: 0 rows, as none was rewritten, all were rolled back, or this user cannot see it"]
    wrong = named(counts, _WRONG)
    return [*found, f"journal: {many(counts['rows_checked'], 'row')}, {', '.join(wrong) or 'all as rewritten'}"]


def _rollback(fields: SummaryFields) -> Done:
    counts, dry = counts_in(fields), fields["dry_run"]
    would = "would be " if dry else ""
    restored = counts["rows_to_restore" if dry else "rows_restored"]
    since = f" since {fields['since']}" if fields.get("since") else ""
    still = sum(counts[f"rows_{name}"] for name in ("to_restore", "not_reached", "kept", "refused"))
    others = {
        "rows_changed_since": "changed since",
        "rows_gone": "gone",
        "rows_kept": "kept",
        "rows_refused": "refused",
        "rows_not_reached": "not reached",
        "rows_foreign": "of other keys",
    }
    sentence = f"{many(restored, 'row')} rolled back, nothing left to do"
    if not restored:
        sentence = f"no row was left to roll back; {many(counts['rows_restored_before'], 'row')} restored before"
    copies = _removal(counts, dry) if "copies_removed" in counts else []
    return Done(
        sentence=sentence + (f"; {many(counts['copies_removed'], 'copy', 'copies')} removed" if copies else ""),
        figures=[
            f"{restored:,} of {many(counts['rows_journalled'], 'rewritten row')}{since} {would}restored",
            *named(counts, others),
            *([] if dry else [f"{still:,} still as rewritten"]),
            *copies,
        ],
        checked=[],
        also=[*named(counts, {"rows_restored_before": "rows restored before"}), *_waited(fields)],
    )


def _removal(counts: Mapping[str, int], dry: bool) -> list[str]:
    would = "would be " if dry else ""
    removed, in_bytes = ("copies_to_remove", "bytes_to_remove") if dry else ("copies_removed", "bytes_removed")
    others = {f"copies_kept_{name}": f"copies kept: {_spaced(name)}" for name in KEPT_COPIES}
    others |= {
        "copies_brought_back": f"copies {would}brought back, as rows name them",
        "copies_not_brought_back": "copies not brought back",
        "copies_expected": "copies that may still be made",
        "copies_not_reached": "copies not reached",
    }
    if dry:
        del others["copies_not_reached"]
    return [
        f"{many(counts[removed], 'copy', 'copies')} {would}removed ({size(counts[in_bytes])})",
        *named(counts, others),
    ]


def _retirement(fields: SummaryFields) -> Done:
    counts, dry = counts_in(fields), fields["dry_run"]
    would = "would be " if dry else ""
    back = f"{many(counts['objects_brought_back'], 'object')} {would}brought back"
    failed = named(counts, {"objects_not_brought_back": "objects not brought back"})
    if fields["restores"]:
        return Done(f"{back}, nothing left to do", [back, *failed], [], [])
    retired, in_bytes = ("objects_to_retire", "bytes_to_retire") if dry else ("objects_retired", "bytes_retired")
    kept = {f"objects_kept_{name}": f"kept: {_spaced(name)}" for name in KEPT_OBJECTS}
    return Done(
        sentence=f"{many(counts['objects_retired'], 'legacy object')} retired, nothing left to do",
        figures=[
            f"{many(counts[retired], 'object')} {would}retired ({size(counts[in_bytes])})",
            *named(counts, kept if dry else {**kept, "objects_not_reached": "objects not reached"}),
            *([f"{back}, as rows name them"] if counts["objects_brought_back"] else []),
            *failed,
        ],
        checked=[],
        also=[],
    )


def _preflight(report: Report) -> Done:
    facts = report.get("preflight")
    counts = {} if facts is None else facts["counts"]
    said = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return Done("a migration may begin", [f"checks: {said}"] if said else [], [], [])


def _later_passes(fields: SummaryFields) -> list[str]:
    """Return what all passes but the first found: what the application wrote during the run."""
    later = fields["passes"][1:]
    found = [
        many(sum(found["objects_to_copy"] for found in later), "new object"),
        many(sum(found["objects_outdated"] for found in later), "overwritten object"),
        many(sum(found["rows_to_rewrite"] for found in later), "row"),
    ]
    some = [one for one in found if not one.startswith("0 ")]
    return [f"later passes found {', '.join(some)}"] if some else []


def _waited(fields: SummaryFields) -> list[str]:
    waits = [f"{seconds:,.1f} s for {_spaced(reason)}" for reason, seconds in fields["throttled_s"].items()]
    return [f"waited {', '.join(waits)}"] if waits else []


def _spaced(name: str) -> str:
    return name.replace("_", " ")
