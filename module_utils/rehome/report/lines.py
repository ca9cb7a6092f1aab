"""The lines of a summary for a terminal: one subject a line, empty classes left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .fields import KEPT_COPIES, KEPT_OBJECTS, PassFound, SummaryFields, counts_in

_OBJECTS = ("conflict", "archived", "unroutable", "deferred")
"""Classes of the plan that a run does not copy (conflicts, unless it overwrites them)."""
_COPIES = ("changed", "found_archived", "failed", "not_reached")
"""What becomes of objects to copy that are not copied."""
_OF_THE_OBJECTS = ("outdated", "to_overwrite", "orphan", "weak", "restoring", "not_restored", "sampled", "differing")
"""Counts of objects that other classes have, too."""
_ROWS = ("dangling", "blocked", "overflowing", "deferred")
_REWRITES = ("changed_by_app", "refused", "waiting", "not_reached")
_OF_THE_ROWS = ("dangling_to_rewrite", "remaining")


def migration_lines(fields: SummaryFields) -> list[str]:
    """Return what a migration did, or would do."""
    counts, dry_run = counts_in(fields), fields["dry_run"]
    if dry_run:
        lines = [*plan_lines(counts, would_be=True), *_method_line(fields, counts["objects_to_copy"])]
    else:
        copied, rewritten = counts["objects_copied"], counts["rows_rewritten"]
        present = counts["objects_present"]
        lines = [
            _seen_line(counts),
            f"objects  {copied:,} copied ({size(counts['bytes_copied'])}), {present:,} present before",
            *_others(counts, "objects", (*_COPIES, *_OBJECTS)),
            *_unseen(counts["objects_copied_unseen"], "copied objects were overwritten or deleted in the source since"),
            *_others(counts, "objects", _OF_THE_OBJECTS, _OF_THESE),
            *_method_line(fields, copied),
            *(f"failed   {count:,} by {code}" for code, count in fields["failures"].items()),
            f"rows     {rewritten:,} rewritten, {counts['rows_done']:,} done before",
            *_others(counts, "rows", (*_REWRITES, *_ROWS)),
            *_unseen(counts["rows_rewritten_unseen"], "rewritten rows were changed, deleted or written since the plan"),
            *_others(counts, "rows", _OF_THE_ROWS, _OF_THESE),
        ]
    limit = fields["limit"]
    return [
        *([f"only     {limit:,} objects and their rows (rehome_limit)"] if limit is not None else []),
        *lines,
        *_throttle_line(fields),
        *_later_passes(fields["passes"]),
        *_journal_line(counts),
        f"{_plan_line(fields)}{', as approved' if fields['approved_plan'] else ''}",
    ]


def verification_lines(fields: SummaryFields) -> list[str]:
    """Return what a verification found."""
    counts = counts_in(fields)
    return [*plan_lines(counts), *_journal_line(counts), _plan_line(fields)]


def rollback_lines(fields: SummaryFields) -> list[str]:
    """Return what a rollback did, or would do, and the removal of copies that followed it.

    What it found when it began and what it left when it ended are two figures, each with its moment.
    """
    counts, dry_run = counts_in(fields), fields["dry_run"]
    rolled_back = "rows_to_restore" if dry_run else "rows_restored"
    would = "would be " if dry_run else ""
    since = f" since {fields['since']}" if fields.get("since") else ""
    still = sum(counts[f"rows_{name}"] for name in ("to_restore", "not_reached", "kept", "refused"))
    return [
        f"before   {counts['rows_journalled']:,} rows were as the migration had rewritten them{since}",
        f"rows     {counts[rolled_back]:,} {would}restored, {counts['rows_restored_before']:,} restored before",
        *_others(counts, "rows", ("changed_since", "gone", "kept", "refused", "not_reached")),
        *_named(counts, "         besides ", "rows_", ("foreign",)),
        *([] if dry_run else [f"after    {still:,} rows are as the migration had rewritten them"]),
        *_throttle_line(fields),
        *(_removal_lines(counts, dry_run) if "copies_removed" in counts else []),
    ]


def retire_lines(fields: SummaryFields) -> list[str]:
    """Return what a retirement did, or would do."""
    counts, dry_run = counts_in(fields), fields["dry_run"]
    would = "would be " if dry_run else ""
    retired, in_bytes = ("objects_to_retire", "bytes_to_retire") if dry_run else ("objects_retired", "bytes_retired")
    undeleted = f"{counts['objects_brought_back']:,} {would}brought back"
    if fields["restores"]:
        return [f"objects  {undeleted}"]
    return [
        f"objects  {counts[retired]:,} {would}retired ({size(counts[in_bytes])})",
        *_named(counts, "kept     ", "objects_kept_", KEPT_OBJECTS),
        *([] if dry_run else _others(counts, "objects", ("not_reached",))),
        *([f"         {undeleted}, as rows name them"] if counts["objects_brought_back"] else []),
    ]


def plan_lines(counts: Mapping[str, int], *, would_be: bool = False) -> list[str]:
    """Return the counts of a plan, by the names of `fields.RunCounts`.

    would_be: as what a run would do
    """
    to_move = size(counts["bytes_to_copy"])
    to_copy, to_rewrite = ("would be copied", "would be rewritten") if would_be else ("to copy", "to rewrite")
    before = " before" * would_be
    return [
        _seen_line(counts),
        f"objects  {counts['objects_to_copy']:,} {to_copy} ({to_move}), {counts['objects_present']:,} present{before}",
        *_others(counts, "objects", _OBJECTS),
        *_others(counts, "objects", _OF_THE_OBJECTS, _OF_THESE),
        f"rows     {counts['rows_to_rewrite']:,} {to_rewrite}, {counts['rows_done']:,} done{before}",
        *_others(counts, "rows", _ROWS),
        *_others(counts, "rows", ("dangling_to_rewrite",), _OF_THESE),
    ]


def _seen_line(counts: Mapping[str, int]) -> str:
    objects, rows = counts["objects_foreign"], counts["rows_foreign"]
    others = f" ({counts['rows_in_other_forms']:,} in another form)" if counts.get("rows_in_other_forms") else ""
    return (
        f"seen     {counts['objects_seen']:,} objects and {counts['rows_seen']:,} rows under the map; "
        f"{objects:,} objects and {rows:,} rows{others} are not"
    )


def _method_line(fields: SummaryFields, copied: int) -> list[str]:
    streams = fields["copy_method"] == "stream" and copied
    return ["method   stream: objects are read here and written there"] if streams else []


def _removal_lines(counts: Mapping[str, int], dry_run: bool) -> list[str]:
    would = "would be " if dry_run else ""
    removed, in_bytes = ("copies_to_remove", "bytes_to_remove") if dry_run else ("copies_removed", "bytes_removed")
    undeleted = counts["copies_brought_back"]
    return [
        f"copies   {counts[removed]:,} {would}removed ({size(counts[in_bytes])})",
        *_named(counts, "kept     ", "copies_kept_", KEPT_COPIES),
        *([] if dry_run else _others(counts, "copies", ("not_reached",))),
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
        return ["journal  0 rows checked: none was rewritten, all were rolled back, or this user cannot see it"]
    subject = f"journal  {counts['rows_checked']:,} rows checked: "
    unexpected = _named(counts, subject, "rows_", ("wrong", "without_object", "changed_since", "gone"))
    return unexpected or [f"{subject}all as they were rewritten"]


def _throttle_line(fields: SummaryFields) -> list[str]:
    waits = [f"{seconds:,.1f} s for {reason.replace('_', ' ')}" for reason, seconds in fields["throttled_s"].items()]
    return [f"waited   {', '.join(waits)}"] if waits else []


_OF_THESE = "         of these "


def _unseen(count: int, text: str) -> list[str]:
    return [f"         {count:,} {text}"] if count else []


def _others(counts: Mapping[str, int], kind: str, classes: tuple[str, ...], subject: str = "         ") -> list[str]:
    return _named(counts, subject, f"{kind}_", classes)


def _named(counts: Mapping[str, int], subject: str, prefix: str, classes: tuple[str, ...]) -> list[str]:
    """Return one line of the counts that are not 0; no line if all are."""
    found = [f"{count:,} {name.replace('_', ' ')}" for name in classes if (count := counts.get(prefix + name))]
    return [subject + ", ".join(found)] if found else []


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
