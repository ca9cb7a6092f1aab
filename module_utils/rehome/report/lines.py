"""TODO-DOC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def _later_passes(passes: Sequence[Mapping[str, int]]) -> list[str]:
    """What the application was doing while the run went on: what each pass but the first found new."""
    return [
        f"pass {number:<3} found {found['objects_to_copy']:,} objects more to copy, {found['objects_outdated']:,} "
        f"overwritten since they were copied, {found['rows_to_rewrite']:,} rows more to rewrite"
        for number, found in enumerate(passes, 1)
        if number > 1 and any(found.values())
    ]


def migration_lines(f: Mapping[str, Any]) -> list[str]:
    would = "would be " if f["dry_run"] else ""
    copied, size = ("objects_to_copy", "bytes_to_copy") if f["dry_run"] else ("objects_copied", "bytes_copied")
    rewritten = "rows_to_rewrite" if f["dry_run"] else "rows_rewritten"
    streamed = f["copy_method"] == "stream" and f[copied]
    return [
        *([f"only     {f['limit']:,} objects and their rows (rehome_limit)"] if f["limit"] is not None else []),
        f"objects  {f[copied]:,} {would}copied ({_size(f[size])}), {f['objects_present']:,} present before",
        *_others(f, "objects", ("conflict", "changed", "failed", *_LATER_OBJECTS, *_OTHER_OBJECTS)),
        *(["method   stream: objects are read here and written there"] if streamed else []),
        *(f"failed   {count:,} by {code}" for code, count in f["failures"].items()),
        f"rows     {f[rewritten]:,} {would}rewritten, {f['rows_done']:,} done before",
        *_others(f, "rows", (*_OTHER_ROWS, "changed_by_app", "refused", *(() if f["dry_run"] else ("remaining",)))),
        *_waited_line(f),
        *_later_passes(f["passes"]),
        *([_checked_line(f)] if "rows_checked" in f else []),
        f"plan     {f['plan_sha256'] or 'none was made'}{', as approved' if f['approved_plan'] else ''}",
    ]


def verification_lines(f: Mapping[str, Any]) -> list[str]:
    return [
        *plan_lines(f, ("sampled", "differing")),
        *([_checked_line(f)] if "rows_checked" in f else []),
        f"plan     {f['plan_sha256'] or 'none was made'}",
    ]


def _checked_line(f: Mapping[str, Any]) -> str:
    names = ("wrong", "without_object", "changed_since", "gone")
    found = [f"{f[f'rows_{name}']:,} {name.replace('_', ' ')}" for name in names if f[f"rows_{name}"]]
    if not f["rows_checked"]:
        return "journal  0 rows checked: it has none of this migration, or this user cannot see it"
    return f"journal  {f['rows_checked']:,} rows checked: {', '.join(found) or 'all as they were rewritten'}"


def rollback_lines(f: Mapping[str, Any]) -> list[str]:
    restored = "rows_to_restore" if f["dry_run"] else "rows_restored"
    would = "would be " if f["dry_run"] else ""
    since = f" since {f['since']}" if f.get("since") else ""
    return [
        f"journal  {f['rows_journalled']:,} rows that were rewritten{since} and not put back yet",
        f"rows     {f[restored]:,} {would}restored, {f['rows_restored_before']:,} restored before",
        *_others(f, "rows", ("changed_since", "gone", "kept", "refused", "foreign")),
        *_waited_line(f),
        *(_removal_lines(f) if "copies_removed" in f else []),
    ]


def _removal_lines(f: Mapping[str, Any]) -> list[str]:
    would = "would be " if f["dry_run"] else ""
    removed, size = ("copies_to_remove", "bytes_to_remove") if f["dry_run"] else ("copies_removed", "bytes_removed")
    kept = _kept(f, "copies_kept_", ("not_ours", "unverified", "referenced", "locked", "changed", "refused"))
    back = f["copies_brought_back"]
    return [
        f"copies   {f[removed]:,} {would}removed ({_size(f[size])})",
        *([f"kept     {', '.join(kept)}"] if kept else []),
        *([f"         {back:,} brought back, as rows name them"] if back else []),
    ]


_LATER_OBJECTS = ("found_archived", "restoring", "not_restored", "sampled", "differing")


_OTHER_OBJECTS = ("outdated", "archived", "unroutable", "deferred", "orphan", "weak", "foreign")


_OTHER_ROWS = ("dangling", "blocked", "overflowing", "deferred", "foreign")


_KEPT_OBJECTS = ("unverified", "by_policy", "referenced", "too_young", "locked", "changed", "refused")


def retire_lines(f: Mapping[str, Any]) -> list[str]:
    """What a retirement did, one subject a line; classes that are empty are left out."""
    would = "would be " if f["dry_run"] else ""
    retired, size = ("objects_to_retire", "bytes_to_retire") if f["dry_run"] else ("objects_retired", "bytes_retired")
    kept = _kept(f, "objects_kept_", _KEPT_OBJECTS)
    back = f"{f['objects_brought_back']:,} {would}brought back"
    if f["restores"]:
        return [f"objects  {back}"]
    return [
        f"objects  {f[retired]:,} {would}retired ({_size(f[size])})",
        *([f"kept     {', '.join(kept)}"] if kept else []),
        *([f"         {back}, as rows name them"] if f["objects_brought_back"] else []),
    ]


def _kept(f: Mapping[str, Any], prefix: str, names: tuple[str, ...]) -> list[str]:
    return [f"{count:,} {name.replace('_', ' ')}" for name in names if (count := f[prefix + name])]


def plan_lines(counts: Mapping[str, Any], also: tuple[str, ...] = ()) -> list[str]:
    """A plan's counts for a terminal, one subject a line; classes that are empty are left out.

    also: further counts of objects
    """
    size = _size(counts["bytes_to_copy"])
    return [
        f"objects  {counts['objects_to_copy']:,} to copy ({size}), {counts['objects_present']:,} present",
        *_others(counts, "objects", ("conflict", *also, *_OTHER_OBJECTS)),
        f"rows     {counts['rows_to_rewrite']:,} to rewrite, {counts['rows_done']:,} done",
        *_others(counts, "rows", _OTHER_ROWS),
    ]


def _waited_line(f: Mapping[str, Any]) -> list[str]:
    held = [f"{seconds:,.1f} s for {name.replace('_', ' ')}" for name, seconds in f["throttled_s"].items()]
    return [f"waited   {', '.join(held)}"] if held else []


def _others(facts: Mapping[str, Any], kind: str, names: tuple[str, ...]) -> list[str]:
    found = [f"{facts[f'{kind}_{name}']:,} {name.replace('_', ' ')}" for name in names if facts[f"{kind}_{name}"]]
    return [f"         {', '.join(found)}"] if found else []


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
