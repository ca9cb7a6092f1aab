"""TODO-DOC."""

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
    "objects-not-restored": _OBJECT_LIST.format(facts="error, message", table="(FROM unrestored)"),
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
        "objects-differing": _OBJECT_LIST.format(facts="etag, target_etag", table="(FROM differing)"),
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
    "objects-kept-locked": _OBJECT_LIST.format(facts="reason", table="(FROM locked)"),
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
    "copies-kept-locked": _COPY_LIST.format(facts="reason", table="(FROM locked)"),
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


def write_lists(catalog: Catalog, settings: Settings, lists: Mapping[str, str]) -> dict[str, ListFile]:
    """Write `lists/<class>.jsonl` into the state folder for each class of `lists` that is not empty.

    Files of classes that are empty now are taken away. Answers class → file, count, sha256.
    """
    folder = settings.state_dir / LISTS_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: dict[str, ListFile] = {}
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
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for names, batch in catalog.stream_named(select, asked):
            for row in batch:
                facts = dict(zip(names, row, strict=True))
                if "reference" in facts:
                    facts["key"] = key_from_json(facts["key"])
                file.write(json.dumps(facts, ensure_ascii=False) + "\n")
                count += 1
    return count


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
