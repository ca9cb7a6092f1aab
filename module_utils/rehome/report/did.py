"""What a stage did, in one line, from its module's result. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .lines import size

Counts = Mapping[str, int]


def did(stage: str | None, result: Mapping[str, Any], *, dry_run: bool, seconds: float) -> str | None:
    """Return what the stage did, or would do, and in which time; None: it is no stage of a run.

    stage: as in `ansible_module.run_report.STAGES`
    result: of its module
    """
    tell = _STAGES.get(stage or "")
    if tell is None:
        return None
    counts = result.get("counts", result)
    return f"{tell(counts, dry_run)} in {seconds:,.1f} s"


def _preflight(counts: Counts, _dry_run: bool) -> str:
    found = [f"{sum(counts.values()):,} checks made"]
    for status, one in (("warn", "warning"), ("stop", "stop")):
        if count := counts[f"checks_{status}"]:
            found.append(_of(count, one, f"{one}s"))
    return ", ".join(found)


def _plan(counts: Counts, _dry_run: bool) -> str:
    objects, rows = counts["objects_to_copy"], counts["rows_to_rewrite"]  # the outdated among them
    if not (objects or rows):
        return "nothing left to do"
    moved = f" ({size(counts['bytes_to_copy'])})" if objects else ""
    return f"{_objects(objects)} to copy{moved}, {_rows(rows)} to rewrite"


def _copy(counts: Counts, dry_run: bool) -> str:
    if dry_run:
        return f"{_objects(counts['objects_to_copy'])} would be copied"
    movers = counts.get("movers", 0)
    by_whom = f" by {_of(movers, 'mover', 'movers')}" if movers else ""
    parts = [f"{_objects(counts['objects_copied'])} copied ({size(counts['bytes_copied'])}){by_whom}"]
    return ", ".join([*parts, *_besides(counts, _NOT_COPIED)])


_NOT_COPIED: Final = {
    "objects_found_present": "found present",
    "objects_changed": "changed meanwhile",
    "objects_found_archived": "archived",
    "objects_failed": "failed",
    "objects_not_reached": "not reached",
    "objects_restoring": "being restored",
    "objects_not_restored": "not restored",
}


def _rewrite(counts: Counts, dry_run: bool) -> str:
    if dry_run:
        return f"{_rows(counts['rows_to_rewrite'])} would be rewritten"
    parts = [f"{_rows(counts['rows_rewritten'])} rewritten"]
    return ", ".join([*parts, *_besides(counts, _NOT_REWRITTEN)])


_NOT_REWRITTEN: Final = {
    "rows_found_done": "found done",
    "rows_changed_by_app": "changed by the application",
    "rows_refused": "refused by the database",
    "rows_waiting": "waiting for their objects",
    "rows_not_reached": "not reached",
}


def _verify(counts: Counts, _dry_run: bool) -> str:
    parts = []
    for noun, of in (("objects", _objects), ("rows", _rows)):
        verified, compared = counts[f"{noun}_verified"], counts[f"{noun}_compared"]
        parts.append(of(compared) if verified == compared else f"{verified:,} of {of(compared)}")
    return f"{', '.join(parts)} verified"


def _rollback(counts: Counts, dry_run: bool) -> str:
    if dry_run:
        return f"{_rows(counts['rows_to_restore'])} would be restored"
    parts = [f"{_rows(counts['rows_restored'])} restored"]
    return ", ".join([*parts, *_besides(counts, _NOT_RESTORED)])


_NOT_RESTORED: Final = {
    "rows_changed_since": "changed since",
    "rows_gone": "gone",
    "rows_kept": "kept",
    "rows_refused": "refused by the database",
    "rows_not_reached": "not reached",
}


def _retire(counts: Counts, dry_run: bool) -> str:
    if counts.get("objects_brought_back"):
        return f"{_objects(counts['objects_brought_back'])} {'would be ' if dry_run else ''}brought back"
    return _deleted(counts, dry_run, "objects", "retire", "deleted")


def _remove(counts: Counts, dry_run: bool) -> str:
    return _deleted(counts, dry_run, "copies", "remove", "removed")


def _deleted(counts: Counts, dry_run: bool, noun: str, verb: str, word: str) -> str:
    which, would = (f"to_{verb}", "would be ") if dry_run else (f"{verb}d", "")
    parts = [f"{counts[f'{noun}_{which}']:,} {noun} {would}{word} ({size(counts[f'bytes_{which}'])})"]
    kept = sum(count for name, count in counts.items() if name.startswith(f"{noun}_kept_"))
    parts += [f"{kept:,} kept"] * (kept > 0)
    return ", ".join(parts)


def _besides(counts: Counts, texts: Mapping[str, str]) -> list[str]:
    """Return what became of the others, without those of which there are none."""
    return [f"{counts[name]:,} {text}" for name, text in texts.items() if counts.get(name)]


def _of(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _objects(count: int) -> str:
    return _of(count, "object", "objects")


def _rows(count: int) -> str:
    return _of(count, "row", "rows")


_STAGES: Final[Mapping[str, Callable[[Counts, bool], str]]] = {
    "preflight": _preflight,
    "plan": _plan,
    "copy": _copy,
    "rewrite": _rewrite,
    "verify": _verify,
    "rollback": _rollback,
    "retire": _retire,
    "remove copies": _remove,
}
