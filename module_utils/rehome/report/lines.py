"""The lines of a summary for a terminal: one subject a line, empty classes left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .fields import KEPT_COPIES, KEPT_OBJECTS, PassFound, SummaryFields, counts_in

_PLANNED_OBJECTS = ("outdated", "archived", "unroutable", "deferred", "orphan", "weak", "foreign")
_LATER_OBJECTS = ("found_archived", "restoring", "not_restored", "sampled", "differing")
"""Classes that only the work after the plan finds."""
_PLANNED_ROWS = ("dangling", "blocked", "overflowing", "deferred", "foreign")


def migration_lines(fields: SummaryFields) -> list[str]:
    """Return what a migration did, or would do."""
    counts, dry_run = counts_in(fields), fields["dry_run"]
    would = "would be " if dry_run else ""
    present = counts["objects_present"]
    copied, size = ("objects_to_copy", "bytes_to_copy") if dry_run else ("objects_copied", "bytes_copied")
    rewritten = "rows_to_rewrite" if dry_run else "rows_rewritten"
    streamed = fields["copy_method"] == "stream" and counts[copied]
    limit = fields["limit"]
    return [
        *([f"only     {limit:,} objects and their rows (rehome_limit)"] if limit is not None else []),
        f"objects  {counts[copied]:,} {would}copied ({_size(counts[size])}), {present:,} present before",
        *_others(counts, "objects", ("conflict", "changed", "failed", *_LATER_OBJECTS, *_PLANNED_OBJECTS)),
        *(["method   stream: objects are read here and written there"] if streamed else []),
        *(f"failed   {count:,} by {code}" for code, count in fields["failures"].items()),
        f"rows     {counts[rewritten]:,} {would}rewritten, {counts['rows_done']:,} done before",
        *_others(counts, "rows", (*_PLANNED_ROWS, "changed_by_app", "refused", *(() if dry_run else ("remaining",)))),
        *_throttle_line(fields),
        *_later_passes(fields["passes"]),
        *_journal_line(counts),
        f"{_plan_line(fields)}{', as approved' if fields['approved_plan'] else ''}",
    ]


def verification_lines(fields: SummaryFields) -> list[str]:
    """Return what a verification found."""
    counts = counts_in(fields)
    return [*plan_lines(counts, ("sampled", "differing")), *_journal_line(counts), _plan_line(fields)]


def rollback_lines(fields: SummaryFields) -> list[str]:
    """Return what a rollback did, or would do, and the removal of copies that followed it."""
    counts, dry_run = counts_in(fields), fields["dry_run"]
    rolled_back = "rows_to_restore" if dry_run else "rows_restored"
    would = "would be " if dry_run else ""
    since = f" since {fields['since']}" if fields.get("since") else ""
    return [
        f"journal  {counts['rows_journalled']:,} rows that were rewritten{since} and not rolled back yet",
        f"rows     {counts[rolled_back]:,} {would}restored, {counts['rows_restored_before']:,} restored before",
        *_others(counts, "rows", ("changed_since", "gone", "kept", "refused", "foreign")),
        *_throttle_line(fields),
        *(_removal_lines(counts, dry_run) if "copies_removed" in counts else []),
    ]


def retire_lines(fields: SummaryFields) -> list[str]:
    """Return what a retirement did, or would do."""
    counts, dry_run = counts_in(fields), fields["dry_run"]
    would = "would be " if dry_run else ""
    retired, size = ("objects_to_retire", "bytes_to_retire") if dry_run else ("objects_retired", "bytes_retired")
    undeleted = f"{counts['objects_brought_back']:,} {would}brought back"
    if fields["restores"]:
        return [f"objects  {undeleted}"]
    return [
        f"objects  {counts[retired]:,} {would}retired ({_size(counts[size])})",
        *_named(counts, "kept     ", "objects_kept_", KEPT_OBJECTS),
        *([f"         {undeleted}, as rows name them"] if counts["objects_brought_back"] else []),
    ]


def plan_lines(counts: Mapping[str, int], also: tuple[str, ...] = ()) -> list[str]:
    """Return the counts of a plan, by the names of `fields.RunCounts`.

    also: further classes of objects to include
    """
    size = _size(counts["bytes_to_copy"])
    return [
        f"objects  {counts['objects_to_copy']:,} to copy ({size}), {counts['objects_present']:,} present",
        *_others(counts, "objects", ("conflict", *also, *_PLANNED_OBJECTS)),
        f"rows     {counts['rows_to_rewrite']:,} to rewrite, {counts['rows_done']:,} done",
        *_others(counts, "rows", _PLANNED_ROWS),
    ]


def _removal_lines(counts: Mapping[str, int], dry_run: bool) -> list[str]:
    would = "would be " if dry_run else ""
    removed, size = ("copies_to_remove", "bytes_to_remove") if dry_run else ("copies_removed", "bytes_removed")
    undeleted = counts["copies_brought_back"]
    return [
        f"copies   {counts[removed]:,} {would}removed ({_size(counts[size])})",
        *_named(counts, "kept     ", "copies_kept_", KEPT_COPIES),
        *([f"         {undeleted:,} brought back, as rows name them"] if undeleted else []),
    ]


def _plan_line(fields: SummaryFields) -> str:
    return f"plan     {fields['plan_sha256'] or 'none was made'}"


def _later_passes(passes: Sequence[PassFound]) -> list[str]:
    """Return what each pass but the first found: what the application wrote during the run."""
    return [
        f"pass {number:<3} found {found['objects_to_copy']:,} objects more to copy, {found['objects_outdated']:,} "
        f"overwritten since they were copied, {found['rows_to_rewrite']:,} rows more to rewrite"
        for number, found in enumerate(passes, 1)
        if number > 1 and any(found.values())
    ]


def _journal_line(counts: Mapping[str, int]) -> list[str]:
    """Return how many rows a verification compared with the journal; empty if there was none."""
    if "rows_checked" not in counts:
        return []
    if not counts["rows_checked"]:
        return ["journal  0 rows checked: it has none of this migration, or this user cannot see it"]
    subject = f"journal  {counts['rows_checked']:,} rows checked: "
    unexpected = _named(counts, subject, "rows_", ("wrong", "without_object", "changed_since", "gone"))
    return unexpected or [f"{subject}all as they were rewritten"]


def _throttle_line(fields: SummaryFields) -> list[str]:
    waits = [f"{seconds:,.1f} s for {reason.replace('_', ' ')}" for reason, seconds in fields["throttled_s"].items()]
    return [f"waited   {', '.join(waits)}"] if waits else []


def _others(counts: Mapping[str, int], kind: str, classes: tuple[str, ...]) -> list[str]:
    return _named(counts, "         ", f"{kind}_", classes)


def _named(counts: Mapping[str, int], subject: str, prefix: str, classes: tuple[str, ...]) -> list[str]:
    """Return one line of the counts that are not 0; no line if all are."""
    found = [f"{count:,} {name.replace('_', ' ')}" for name in classes if (count := counts[prefix + name])]
    return [subject + ", ".join(found)] if found else []


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
