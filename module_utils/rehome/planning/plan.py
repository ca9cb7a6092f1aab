"""The plan: every object and every row gets one class. The same catalog always gives the same plan.

It reads and writes the catalog only. The classes are in its tables `objects` and `planned_rows`, which are the queues
of the copy and of the rewrite.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ..catalog.catalog import Catalog
from ..catalog.schema import OBJECTS, PLANNED_ROWS
from ..config.settings import OnConflict, OnDangling, Settings
from ..errors import Finding

ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes whose objects must be restored before they can be read (S3 user guide, "Archive retrieval")."""

ARCHIVED = f"((s.storage_class IN {ARCHIVE_CLASSES} OR s.tier <> '') AND s.restore <> 'restored')"
"""A source object `s` cannot be read now. `tier` is an archive tier of INTELLIGENT_TIERING."""

BLANK_ETAG = f"(s.etag = '' OR starts_with(s.etag, '{'0' * 32}'))"
"""The ETag of a source object `s` says nothing about its content, as in `s3.objects.compare.same_etag`."""

SAME_ETAG = f"(s.etag = t.etag AND NOT {BLANK_ETAG})"
"""The ETags of a source object `s` and a target object `t` of the same size prove that their contents are equal."""

OBJECT_CLASSES = ("to_copy", "outdated", "present", "conflict", "archived", "unroutable", "deferred")
"""`outdated`: the source object was overwritten since, and the target still has our unchanged copy."""

ROW_CLASSES = ("to_rewrite", "done", "dangling", "blocked", "overflowing", "deferred", "foreign")
"""`deferred`, of objects and rows: beyond the slice of `rehome_limit`."""

_CLASSIFY_OBJECTS = f"""
SELECT s.suffix, s.size, s.etag, s.storage_class, s.restore, s.unroutable, t.etag AS target_etag, t.size AS target_size,
    CASE
        WHEN t.suffix IS NOT NULL AND s.size = t.size AND ({SAME_ETAG} OR c.evidence IS NOT NULL) THEN 'present'
        WHEN s.unroutable IS NOT NULL THEN 'unroutable'
        WHEN t.suffix IS NOT NULL AND w.suffix IS NULL THEN 'conflict'
        WHEN {ARCHIVED} THEN 'archived'
        WHEN t.suffix IS NOT NULL THEN 'outdated'
        ELSE 'to_copy'
    END AS class,
    class = 'present' AND NOT {SAME_ETAG} AND c.evidence = 'size' AS weak,
    EXISTS (SELECT 1 FROM reference_rows r WHERE r.suffix = s.suffix) AS named
FROM source_objects s
LEFT JOIN target_objects t ON t.suffix = s.suffix
LEFT JOIN compared c ON c.suffix = s.suffix
LEFT JOIN own_copies w ON w.suffix = s.suffix
"""

_DEFER = """
UPDATE objects SET class = 'deferred' WHERE suffix IN (
    SELECT o.suffix FROM objects o
    WHERE o.class IN ('to_copy', 'outdated')
        OR (o.class = 'present' AND EXISTS (SELECT 1 FROM reference_rows r WHERE r.suffix = o.suffix AND r.is_old))
    ORDER BY NOT o.named, o.suffix OFFSET $limit
)
"""
"""Objects beyond the first `$limit` in the order of their keys. Those that rows name come first."""

_CLASSIFY_ROWS = """
SELECT r.reference, r.ordinal, r.key, r.value, r.suffix, o.class AS object_class,
    CASE
        WHEN r.is_old AND o.suffix IS NULL AND t.suffix IS NULL AND NOT (r.overflows AND $rewrite_dangling)
            THEN 'dangling'
        WHEN r.is_old AND r.overflows THEN 'overflowing'
        WHEN r.is_old AND (o.class = 'deferred' OR $limited AND o.suffix IS NULL) THEN 'deferred'
        WHEN r.is_old AND o.class IN ('archived', 'unroutable') THEN 'blocked'
        WHEN r.is_old AND o.class = 'conflict' AND NOT $overwrite THEN 'blocked'
        WHEN r.is_old THEN 'to_rewrite'
        WHEN t.suffix IS NULL AND o.suffix IS NULL THEN 'dangling'
        ELSE 'done'
    END AS class,
    r.is_old
FROM reference_rows r
LEFT JOIN objects o ON o.suffix = r.suffix
LEFT JOIN target_objects t ON t.suffix = r.suffix
"""

DECIDED = {
    "objects": "SELECT suffix, class, size, etag, target_etag FROM objects WHERE class NOT IN ('present', 'deferred')",
    "rows": """SELECT reference || ' ' || key AS row, class, value FROM planned_rows
    WHERE class NOT IN ('done', 'deferred')""",
}
"""What is left to do or to decide, of which the plan's digest is made: kind → what, its class, and what decides it."""

_DIGEST = "SELECT count(*), coalesce(bit_xor(md5_number(concat_ws(chr(31), COLUMNS(*)))), 0) FROM ({0})"
"""Independent of the order of rows, which is not part of the plan."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The counts of each class, and the plan's digest.

    objects, rows: class → count; `foreign` counts what is not under the map
    orphans: objects under the map that no row names (they are moved, too)
    weak: present objects that only the size of our own copy proves
    rows_remaining: rows that hold an old value, of any class
    bytes_to_copy: of the objects to copy, the outdated ones and, with `overwrite`, the conflicts
    """

    objects: dict[str, int]
    rows: dict[str, int]
    orphans: int
    weak: int
    rows_remaining: int
    bytes_to_copy: int
    sha256: str

    def objects_to_move(self, on_conflict: OnConflict) -> int:
        """Return how many objects a run would copy."""
        overwritten = self.objects["conflict"] if on_conflict == "overwrite" else 0
        return self.objects["to_copy"] + self.objects["outdated"] + overwritten

    def moves_anything(self, on_conflict: OnConflict, on_dangling: OnDangling) -> bool:
        """Return whether a run would copy an object or rewrite a row."""
        dangling = self.rows["dangling"] if on_dangling == "rewrite" else 0
        return self.objects_to_move(on_conflict) + self.rows["to_rewrite"] + dangling > 0

    def counts(self) -> dict[str, int]:
        """Return the counts by their names in the summary."""
        return {
            **{f"objects_{name}": self.objects[name] for name in (*OBJECT_CLASSES, "foreign")},
            "objects_orphan": self.orphans,
            "objects_weak": self.weak,
            **{f"rows_{name}": self.rows[name] for name in ROW_CLASSES},
            "rows_remaining": self.rows_remaining,
            "bytes_to_copy": self.bytes_to_copy,
        }


def make_plan(catalog: Catalog, settings: Settings) -> Plan:
    """Classify everything in `catalog` under the policies of `settings`. It writes only the catalog's own tables."""
    classify_objects(catalog)
    if settings.limit is not None:
        catalog.run(_DEFER, {"limit": settings.limit})
    overwrite, rewrite_dangling = settings.on_conflict == "overwrite", settings.on_dangling == "rewrite"
    params = {"overwrite": overwrite, "rewrite_dangling": rewrite_dangling, "limited": settings.limit is not None}
    catalog.run(PLANNED_ROWS.create(_CLASSIFY_ROWS), params)
    metadata = catalog.metadata()
    objects = dict.fromkeys(OBJECT_CLASSES, 0) | dict(
        catalog.query("SELECT class, count(*) FROM objects GROUP BY class")
    )
    rows = dict.fromkeys(ROW_CLASSES, 0) | dict(
        catalog.query("SELECT class, count(*) FROM planned_rows GROUP BY class")
    )
    objects["foreign"] = int(metadata.get("source_foreign", 0))
    rows["foreign"] = int(metadata.get("rows_foreign", 0))
    (orphans, weak) = catalog.one("SELECT count(*) FILTER (NOT named), count(*) FILTER (weak) FROM objects")
    remaining = catalog.count("FROM planned_rows WHERE is_old")
    moved = ("to_copy", "outdated", *(("conflict",) if overwrite else ()))
    (to_copy,) = catalog.one("SELECT coalesce(sum(size), 0) FROM objects WHERE class IN ?", [moved])
    digest = hashlib.sha256(settings.fingerprint.encode())
    digest.update(json.dumps(settings.policies, sort_keys=True).encode())
    for select in DECIDED.values():
        digest.update(repr(catalog.one(_DIGEST.format(select))).encode())
    return Plan(objects, rows, orphans, weak, remaining, int(to_copy), digest.hexdigest())


def classify_objects(catalog: Catalog) -> None:
    """Make the table `objects`: every source object under the map with its class."""
    catalog.run(OBJECTS.create(_CLASSIFY_OBJECTS))


def warnings_if_empty(plan: Plan, settings: Settings) -> list[str]:
    """Return a warning if nothing is under the map: most often a prefix or a glob is misspelt."""
    found = sum(plan.objects.values()) - plan.objects["foreign"] + sum(plan.rows.values()) - plan.rows["foreign"]
    if found:
        return []
    return [
        f"nothing is under the map: no object s3://{settings.source.bucket}/{settings.source.prefix}… matches "
        f"rehome_include ({', '.join(settings.include)}), and no row names one"
    ]


def warnings_of_other_forms(catalog: Catalog, settings: Settings) -> list[str]:
    """Return a warning for each form that rows have and their reference does not: such rows would not be rewritten."""
    positions = {reference.name: position for position, reference in enumerate(settings.references)}
    found = catalog.query("SELECT reference, form, rows FROM other_forms ORDER BY rows DESC, reference, form")
    return [
        f"rehome_references[{positions[reference]}].form: {count:,} rows of {reference} are not under the map, but"
        f" would be with the form {form}; they name objects under the source prefix, and stay as they are"
        for reference, form, count in found
    ]


def refusals(plan: Plan, on_conflict: OnConflict, on_dangling: OnDangling) -> list[Finding]:
    """Return why a run must stop before the first byte moves. The texts name files of the folder `lists`."""
    stops: tuple[tuple[int, str, str | None, str, str], ...] = (
        (
            plan.objects["conflict"] if on_conflict == "fail" else 0,
            "rehome_on_conflict",
            "fail",
            "target objects exist with other content than the source's (listed in objects-conflict.jsonl)",
            "Clear them up, or set rehome_on_conflict to skip (leave both as they are) or overwrite",
        ),
        (
            plan.rows["dangling"] if on_dangling == "fail" else 0,
            "rehome_on_dangling",
            "fail",
            "rows name an object that is in neither bucket (listed in rows-dangling.jsonl)",
            "Clear them up, or set rehome_on_dangling to keep (leave them as they are) or rewrite",
        ),
        (
            plan.rows["overflowing"],
            "rehome_target.prefix",
            None,
            "rows would become longer than their column takes (listed in rows-overflowing.jsonl)",
            "Widen the column, choose a shorter prefix, or leave these keys out with rehome_exclude",
        ),
        (
            plan.objects["unroutable"],
            "rehome_include",
            None,
            "objects have no legal target key (listed in objects-unroutable.jsonl)",
            "Choose a shorter prefix, or leave these keys out with rehome_exclude",
        ),
    )
    return [
        Finding(setting, value, f"{count} {problem}", way_out)
        for count, setting, value, problem, way_out in stops
        if count
    ]
