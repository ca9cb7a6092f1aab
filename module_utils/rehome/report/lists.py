"""The lists of a run: one JSON Lines file in the state folder for each class that needs a human."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ..catalog.catalog import Catalog
from ..config.settings import Settings
from ..files import replacing
from ..mapping.row_key import key_from_json
from .fields import ListFile

LISTS_FOLDER = "lists"


def _objects(columns: str, table: str) -> str:
    return f"SELECT $source_prefix || suffix AS key, $target_prefix || suffix AS target_key, {columns} FROM {table}"


def _copies(columns: str, table: str) -> str:
    # in a deletion of copies, the suffixes are the same, and the sides are swapped
    return f"SELECT $target_prefix || suffix AS key, $source_prefix || suffix AS source_key, {columns} FROM {table}"


def _planned(condition: str) -> str:
    return f"(FROM objects WHERE {condition})"


def _copied(condition: str) -> str:
    return f"(FROM outcomes WHERE {condition})"


def _judged(name: str) -> str:
    return f"(FROM judged WHERE class = '{name}')"


def _deleted(result: str) -> str:
    return f"(FROM delete_outcomes WHERE result = '{result}')"


_ROW_LIST = "SELECT reference, key, value FROM planned_rows WHERE class = '{0}' ORDER BY reference, ordinal"

PLAN_LISTS = {
    "objects-conflict": _objects("size, etag, target_size, target_etag", _planned("class = 'conflict'")),
    "objects-archived": _objects("size, storage_class, restore", _planned("class = 'archived'")),
    "objects-weak": _objects("size, etag, target_etag", _planned("weak")),
    "objects-unroutable": _objects("unroutable AS reason", _planned("class = 'unroutable'")),
    "rows-dangling": _ROW_LIST.format("dangling"),
    "rows-blocked": _ROW_LIST.format("blocked"),
    "rows-overflowing": _ROW_LIST.format("overflowing"),
    "rows-in-other-forms": "SELECT reference, key, value, form FROM other_forms",
}
"""After a plan: class → the query that lists it."""

OUTCOME_LISTS = {
    "objects-changed": _objects("result, error, message", _copied("result IN ('changed', 'conflict')")),
    "objects-found-archived": _objects("error, message", _copied("result = 'archived'")),
    "objects-not-restored": _objects("error, message", "(FROM unrestored)"),
    "objects-failed": _objects("error, message, attempts", _copied("result = 'failed'")),
    "rows-refused": "SELECT reference, key, value, new_value, message FROM refused_rows",
    "rows-changed-by-app": "SELECT reference, key, expected FROM changed_rows",
}
"""After a copy and a rewrite. `objects-changed` have changed, on either side, since the plan; of
`objects-found-archived` only the attempt to read them showed the archive tier."""

_SINCE_LISTS = {
    "rows-changed-since": "SELECT reference, key, value, new_value AS expected, old_value FROM rows_changed_since",
    "rows-gone": "SELECT reference, key, new_value AS expected, old_value FROM rows_gone",
}
"""What the application did to rewritten rows. `expected`: what Rehome wrote; `old_value`: what the row held before."""

ROLLBACK_LISTS = _SINCE_LISTS | {
    "rows-kept": "SELECT reference, key, value, old_value, reason FROM rows_kept",
    "rows-refused": OUTCOME_LISTS["rows-refused"],
}
"""After a rollback."""

VERIFY_LISTS = (
    PLAN_LISTS
    | _SINCE_LISTS
    | {
        "rows-wrong": "SELECT reference, key, value, new_value AS expected, old_value, reason FROM rows_wrong",
        "objects-differing": _objects("etag, target_etag", "(FROM differing)"),
    }
)
"""After a verification."""

_NAMED = """(
    SELECT suffix, n.reference AS named_by, n.key AS row_key, n.value FROM named_keys n JOIN judged j USING (suffix)
    WHERE j.class = 'referenced')
"""

_BROUGHT_BACK = "SELECT key, marker FROM brought_back WHERE problem IS NULL"

_NOT_BROUGHT_BACK = "SELECT key, marker, problem FROM brought_back WHERE problem IS NOT NULL"

RETIRE_LISTS = {
    "objects-to-retire": _objects("size, etag, last_modified", _judged("to_delete")),
    "objects-kept-unverified": _objects("plan_class, weak, size, etag, target_etag", _judged("unverified")),
    "objects-kept-by-policy": _objects("plan_class", _judged("by_policy")),
    "objects-kept-referenced": _objects("named_by, row_key, value", _NAMED),
    "objects-kept-too-young": _objects("last_modified", _judged("too_young")),
    "objects-kept-locked": _objects("reason", "(FROM locked)"),
    "objects-kept-changed": _objects("error, message", _deleted("changed")),
    "objects-kept-refused": _objects("error, message", _deleted("refused")),
    "objects-brought-back": _BROUGHT_BACK,
    "objects-not-brought-back": _NOT_BROUGHT_BACK,
}
"""After a retirement: what it would delete or has deleted, and why the other objects stay."""

UNDELETE_LISTS = {name: RETIRE_LISTS[name] for name in ("objects-brought-back", "objects-not-brought-back")}

REMOVE_LISTS = {
    "copies-to-remove": _copies("size, etag, last_modified", _judged("to_delete")),
    "copies-kept-not-ours": _copies("size, etag, last_modified", _judged("not_ours")),
    "copies-kept-uncertain": _copies("size, etag, last_modified", _judged("uncertain")),
    "copies-expected": _copies("alive_at AS run_alive_at", "(FROM expected)"),
    "copies-kept-unverified": _copies("plan_class, size, etag, target_etag AS source_etag", _judged("unverified")),
    "copies-kept-referenced": _copies("named_by, row_key, value", _NAMED),
    "copies-kept-locked": _copies("reason", "(FROM locked)"),
    "copies-kept-changed": _copies("error, message", _deleted("changed")),
    "copies-kept-refused": _copies("error, message", _deleted("refused")),
    "copies-brought-back": _BROUGHT_BACK,
    "copies-not-brought-back": _NOT_BROUGHT_BACK,
}
"""After the removal of copies."""


def failures(catalog: Catalog) -> dict[str, int]:
    """Return S3 error code → objects that failed with it, the most frequent first."""
    select = "SELECT coalesce(error, 'unknown'), count(*) AS n FROM outcomes WHERE result = 'failed' GROUP BY 1"
    return dict(catalog.query(f"{select} ORDER BY n DESC, 1"))


def write_lists(catalog: Catalog, settings: Settings, queries: Mapping[str, str]) -> dict[str, ListFile]:
    """Write `lists/<class>.jsonl` into the state folder for each class of `queries` that is not empty.

    The file of a class that is empty now is removed.
    """
    folder = settings.state_dir / LISTS_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefixes = {"source_prefix": settings.source.prefix, "target_prefix": settings.target.prefix}
    written: dict[str, ListFile] = {}
    for name, query in queries.items():
        path = folder / f"{name}.jsonl"
        count = _write_list(catalog, query, prefixes if "$source_prefix" in query else {}, path)
        if count:
            written[name] = {"file": str(path), "count": count, "sha256": _digest(path)}
        else:
            path.unlink(missing_ok=True)
    return written


def _write_list(catalog: Catalog, query: str, params: Mapping[str, object], path: Path) -> int:
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for names, batch in catalog.stream_named(query, params):
            for row in batch:
                entry = dict(zip(names, row, strict=True))
                if "reference" in entry:
                    entry["key"] = key_from_json(entry["key"])
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                count += 1
    return count


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
