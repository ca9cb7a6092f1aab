"""What a run leaves behind for people: `summary.json`, and one list per class that needs a human."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..catalog.catalog import Catalog
from ..config.settings import Settings
from ..errors import RehomeError

SummaryKind = Literal["migration", "rollback"]
"""What was done, and so what the summary's lines are about."""

SUMMARY_FILE = "summary.json"
VERB_SUMMARY_FILE = "summary-{}.json"
LISTS_FOLDER = "lists"

_COUNTS = (
    "objects_to_copy",
    "objects_copied",
    "objects_outdated",
    "objects_present",
    "objects_conflict",
    "objects_changed",
    "objects_archived",
    "objects_unroutable",
    "objects_deferred",
    "objects_found_archived",
    "objects_restoring",
    "objects_not_restored",
    "objects_orphan",
    "objects_weak",
    "objects_foreign",
    "objects_failed",
    "objects_sampled",
    "objects_differing",
    "bytes_to_copy",
    "bytes_copied",
    "rows_to_rewrite",
    "rows_rewritten",
    "rows_done",
    "rows_dangling",
    "rows_blocked",
    "rows_overflowing",
    "rows_deferred",
    "rows_foreign",
    "rows_changed_by_app",
    "rows_refused",
    "rows_remaining",
    "rows_journalled",
    "rows_to_restore",
    "rows_restored",
    "rows_restored_before",
    "rows_changed_since",
    "rows_gone",
    "rows_kept",
)

_WRITTEN = (
    "objects_copied",
    "objects_retired",
    "objects_brought_back",
    "copies_removed",
    "rows_rewritten",
    "rows_restored",
)

_OBJECT_LIST = "SELECT $source_prefix || rest AS key, $target_prefix || rest AS target_key, {facts} FROM {table}"
_ROW_LIST = "SELECT reference, key, value FROM planned_rows WHERE class = '{0}' ORDER BY reference, ordinal"

PLAN_LISTS = {
    "objects-conflict": _OBJECT_LIST.format(
        facts="size, etag, target_size, target_etag", table="(FROM objects WHERE class = 'conflict')"
    ),
    "objects-archived": _OBJECT_LIST.format(
        facts="size, storage_class, restore", table="(FROM objects WHERE class = 'archived')"
    ),
    "objects-weak": _OBJECT_LIST.format(facts="size, etag, target_etag", table="(FROM objects WHERE weak)"),
    "objects-unroutable": _OBJECT_LIST.format(
        facts="unroutable AS reason", table="(FROM objects WHERE class = 'unroutable')"
    ),
    "rows-dangling": _ROW_LIST.format("dangling"),
    "rows-blocked": _ROW_LIST.format("blocked"),
    "rows-overflowing": _ROW_LIST.format("overflowing"),
}
"""What follows from a plan: class → the query that lists it."""

OUTCOME_LISTS = {
    "objects-changed": _OBJECT_LIST.format(
        facts="result, error, message", table="(FROM outcomes WHERE result IN ('changed', 'conflict'))"
    ),
    "objects-found-archived": _OBJECT_LIST.format(
        facts="error, message", table="(FROM outcomes WHERE result = 'archived')"
    ),
    "objects-not-restored": _OBJECT_LIST.format(facts="error, message", table="unrestored"),
    "objects-failed": _OBJECT_LIST.format(
        facts="error, message, attempts", table="(FROM outcomes WHERE result = 'failed')"
    ),
    "rows-refused": "SELECT reference, key, value, new_value, message FROM refused_rows",
    "rows-changed-by-app": "SELECT reference, key, expected FROM changed_rows",
}
"""What follows from a copy and a rewrite. `objects-changed` are those that changed, on either side, since the plan;
`objects-found-archived` those whose archive tier only the attempt to read them shows."""

_SINCE_LISTS = {
    "rows-changed-since": "SELECT reference, key, value, new_value AS expected, old_value FROM rows_changed_since",
    "rows-gone": "SELECT reference, key, new_value AS expected, old_value FROM rows_gone",
}
"""What the application did to rewritten rows. `expected` is what Rehome gave a row, `old_value` what it held before."""

ROLLBACK_LISTS = _SINCE_LISTS | {
    "rows-kept": "SELECT reference, key, value, old_value, reason FROM rows_kept",
    "rows-refused": OUTCOME_LISTS["rows-refused"],
}
"""What follows from a rollback."""

VERIFY_LISTS = (
    PLAN_LISTS
    | _SINCE_LISTS
    | {
        "rows-wrong": "SELECT reference, key, value, new_value AS expected, old_value, reason FROM rows_wrong",
        "objects-differing": _OBJECT_LIST.format(facts="etag, target_etag", table="differing"),
    }
)
"""What a verification finds."""

_JUDGED = "(FROM judged WHERE class = '{0}')"
_DELETE_OUTCOMES = "(FROM delete_outcomes WHERE result = '{0}')"
_NAMED = """(
    SELECT rest, n.reference AS named_by, n.key AS row_key, n.value FROM named_keys n JOIN judged j USING (rest)
    WHERE j.class = 'referenced')
"""
_BROUGHT_BACK = "SELECT key, marker FROM brought_back WHERE problem IS NULL"
_NOT_BROUGHT_BACK = "SELECT key, marker, problem FROM brought_back WHERE problem IS NOT NULL"

RETIRE_LISTS = {
    "objects-to-retire": _OBJECT_LIST.format(facts="size, etag, last_modified", table=_JUDGED.format("to_delete")),
    "objects-kept-unverified": _OBJECT_LIST.format(
        facts="plan_class, weak, size, etag, target_etag", table=_JUDGED.format("unverified")
    ),
    "objects-kept-by-policy": _OBJECT_LIST.format(facts="plan_class", table=_JUDGED.format("by_policy")),
    "objects-kept-referenced": _OBJECT_LIST.format(facts="named_by, row_key, value", table=_NAMED),
    "objects-kept-too-young": _OBJECT_LIST.format(facts="last_modified", table=_JUDGED.format("too_young")),
    "objects-kept-locked": _OBJECT_LIST.format(facts="reason", table="locked"),
    "objects-kept-changed": _OBJECT_LIST.format(facts="error, message", table=_DELETE_OUTCOMES.format("changed")),
    "objects-kept-refused": _OBJECT_LIST.format(facts="error, message", table=_DELETE_OUTCOMES.format("refused")),
    "objects-brought-back": _BROUGHT_BACK,
    "objects-not-brought-back": _NOT_BROUGHT_BACK,
}
"""What follows from a retirement: what it would delete or has deleted, and why the rest stays."""

RESTORE_LISTS = {name: RETIRE_LISTS[name] for name in ("objects-brought-back", "objects-not-brought-back")}

# copies are looked at the other way round
_COPY_LIST = "SELECT $target_prefix || rest AS key, $source_prefix || rest AS source_key, {facts} FROM {table}"

REMOVE_LISTS = {
    "copies-to-remove": _COPY_LIST.format(facts="size, etag, last_modified", table=_JUDGED.format("to_delete")),
    "copies-kept-not-ours": _COPY_LIST.format(facts="size, etag, last_modified", table=_JUDGED.format("not_ours")),
    "copies-kept-unverified": _COPY_LIST.format(
        facts="plan_class, size, etag, target_etag AS source_etag", table=_JUDGED.format("unverified")
    ),
    "copies-kept-referenced": _COPY_LIST.format(facts="named_by, row_key, value", table=_NAMED),
    "copies-kept-locked": _COPY_LIST.format(facts="reason", table="locked"),
    "copies-kept-changed": _COPY_LIST.format(facts="error, message", table=_DELETE_OUTCOMES.format("changed")),
    "copies-kept-refused": _COPY_LIST.format(facts="error, message", table=_DELETE_OUTCOMES.format("refused")),
    "copies-brought-back": _BROUGHT_BACK,
    "copies-not-brought-back": _NOT_BROUGHT_BACK,
}
"""What follows from the removal of copies."""


def failures(catalog: Catalog) -> dict[str, int]:
    """S3's code → how many objects it kept from being copied, the most frequent first."""
    select = "SELECT coalesce(error, 'unknown'), count(*) AS n FROM outcomes WHERE result = 'failed' GROUP BY 1"
    return dict(catalog.query(f"{select} ORDER BY n DESC, 1"))


def write_lists(catalog: Catalog, settings: Settings, lists: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Write `lists/<class>.jsonl` into the state folder for each class of `lists` that is not empty.

    Files of classes that are empty now are taken away. Answers class → file, count, sha256.
    """
    folder = settings.state_dir / LISTS_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = {}
    for name, select in lists.items():
        path = folder / f"{name}.jsonl"
        asked = (
            {"source_prefix": settings.source.prefix, "target_prefix": settings.target.prefix}
            if "$source_prefix" in select
            else {}
        )
        count = _write_list(catalog, select, asked, path)
        if count:
            written[name] = {"file": str(path), "count": count, "sha256": _digest(path)}
        else:
            path.unlink(missing_ok=True)
    return written


def _write_list(catalog: Catalog, select: str, asked: Mapping[str, object], path: Path) -> int:
    count = 0
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        for names, batch in catalog.stream_named(select, asked):
            for row in batch:
                facts = dict(zip(names, row, strict=True))
                if "reference" in facts:
                    facts["key"] = json.loads(facts["key"])
                file.write(json.dumps(facts, ensure_ascii=False) + "\n")
                count += 1
    temporary.replace(path)
    return count


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Summary:
    """The summary of a run, kept on disk from its first stage on, so that a run that dies leaves one too.

    It is `summary.json` until the next run begins, and `summary-<verb>.json` until the next one of its verb does.
    """

    def __init__(self, state_dir: Path, facts: dict[str, Any]) -> None:
        self.path = state_dir / SUMMARY_FILE
        self.facts = facts

    @classmethod
    def start(cls, settings: Settings, run: str, verb: str, dry_run: bool, kind: SummaryKind = "migration") -> Summary:
        """Begin anew: no count is known yet."""
        facts: dict[str, Any] = {
            "name": settings.name,
            "verb": verb,
            "kind": kind,
            "source": f"s3://{settings.source.bucket}/{settings.source.prefix}",
            "target": f"s3://{settings.target.bucket}/{settings.target.prefix}",
            "run": run,
            "dry_run": dry_run,
            "only_keys": None if settings.only_keys is None else len(settings.only_keys),
            "limit": settings.limit,
            "approved_plan": settings.approved_plan,
            "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **dict.fromkeys(_COUNTS, 0),
            "passes": [],
            "copy_method": None,
            "failures": {},
            "throttled_s": {},
            "plan_sha256": "",
            "lists": {},
            "complete": False,
            "problems": ["the run has not come to its end"],
        }
        summary = cls(settings.state_dir, facts)
        summary.add()
        return summary

    @classmethod
    def load(cls, state_dir: Path) -> Summary:
        """The summary of the run under way, or of the last one. Raises RehomeError where there is none."""
        path = state_dir / SUMMARY_FILE
        try:
            return cls(state_dir, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RehomeError(
                f"{path} cannot be read ({error}). Run the playbook from its beginning, which makes it anew."
            ) from error

    def add(self, **facts: object) -> None:
        """Take in what a stage found, and save."""
        began = datetime.fromisoformat(self.facts["started_at"])
        elapsed = round((datetime.now(UTC) - began).total_seconds(), 3)
        self.facts.update(facts, elapsed_s=elapsed)
        text = json.dumps(self.facts, indent=2, ensure_ascii=False) + "\n"
        for path in (self.path.with_name(VERB_SUMMARY_FILE.format(self.facts["verb"])), self.path):
            temporary = path.with_suffix(".new")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)

    @property
    def has_written(self) -> bool:
        """Whether the run has changed anything in the buckets or the database, as far as it could tell."""
        return not self.facts["dry_run"] and any(self.facts.get(name) for name in _WRITTEN)

    def lines(self) -> list[str]:
        """The summary for a terminal, one subject a line; classes that are empty are left out."""
        f = self.facts
        if "objects_retired" in f:
            return [f"{f['name']}: {f['source']} → {f['target']}", *_retire_lines(f), *self._ending()]
        sliced = f["only_keys"] is not None
        lines = [
            f"{f['name']}: {f['source']} → {f['target']}",
            *([f"only     {f['only_keys']:,} keys and their rows (rehome_only_keys)"] if sliced else []),
            *self._counted(),
        ]
        return [*lines, *self._ending()]

    def _counted(self) -> list[str]:
        f = self.facts
        if f["kind"] == "rollback":
            return _rollback_lines(f)
        # a verification would do nothing: it tells what is there
        return _verification_lines(f) if f["verb"].removesuffix("-check") == "verify" else _migration_lines(f)

    def _ending(self) -> list[str]:
        f = self.facts
        lines = [f"list     {facts['count']:,} in {facts['file']}" for facts in f["lists"].values()]
        lines += [f"problem  {problem}" for problem in f["problems"]]
        return [*lines, f"outcome  {self._outcome()} ({f['elapsed_s']:.1f} s)", f"summary  {self.path}"]

    def _outcome(self) -> str:
        if self.facts["complete"]:
            return "complete"
        if self.facts["problems"]:
            return "NOT COMPLETE"
        if self.facts["dry_run"]:
            return "a dry run: nothing was written"
        return "the slice is done; run it without rehome_limit for the rest"


def _later_passes(passes: Sequence[Mapping[str, int]]) -> list[str]:
    """What the application was doing while the run went on: what each pass but the first found new."""
    return [
        f"pass {number:<3} found {found['objects_to_copy']:,} objects more to copy, {found['objects_outdated']:,} "
        f"overwritten since they were copied, {found['rows_to_rewrite']:,} rows more to rewrite"
        for number, found in enumerate(passes, 1)
        if number > 1 and any(found.values())
    ]


def _migration_lines(f: Mapping[str, Any]) -> list[str]:
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


def _verification_lines(f: Mapping[str, Any]) -> list[str]:
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


def _rollback_lines(f: Mapping[str, Any]) -> list[str]:
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


def _retire_lines(f: Mapping[str, Any]) -> list[str]:
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
