"""The plan: every object and every row gets one class. The same catalog always gives the same plan.

It reads and writes the catalog only. The classes are in its tables `objects` and `planned_rows`, which are the queues
of the copy and of the rewrite. Only what was found is written, beside what was listed and read: to write all of it once
more would take longer than to join it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ..catalog.catalog import Catalog, Params
from ..catalog.schema import OBJECT_VERDICTS, OBJECTS, PLANNED_ROWS, ROW_VERDICTS, Table
from ..codes import Code, marked
from ..config.settings import DIGEST_LENGTH, TAG_LENGTH, OnConflict, OnDangling, Settings
from ..errors import Finding
from ..mapping.forms import is_form

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

VERIFIED = """(
    r.class = 'to_rewrite' AND (
        r.object_class IS NULL OR r.object_class = 'present'
        OR EXISTS (SELECT 1 FROM {} o WHERE o.suffix = r.suffix AND o.result IN ('copied', 'present')))
)"""
"""The object of a planned row `r` is verified: the plan found it in the target with the source's content, or this pass
has copied it so, by the outcomes in a table. If only the target has it, there is no older content to stand for."""

_CLASSIFY_OBJECTS = f"""
SELECT s.rowid AS place,
    CASE
        WHEN t.suffix IS NOT NULL AND s.size = t.size AND ({SAME_ETAG} OR c.evidence IS NOT NULL) THEN 'present'
        WHEN s.unroutable IS NOT NULL THEN 'unroutable'
        WHEN t.suffix IS NOT NULL AND w.suffix IS NULL THEN 'conflict'
        WHEN {ARCHIVED} THEN 'archived'
        WHEN t.suffix IS NOT NULL THEN 'outdated'
        ELSE 'to_copy'
    END AS class,
    class = 'present' AND NOT {SAME_ETAG} AND c.evidence = 'size' AS weak,
    EXISTS (SELECT 1 FROM reference_rows r WHERE r.suffix = s.suffix) AS named,
    t.suffix IS NOT NULL AS is_in_target,
    CASE WHEN t.etag <> s.etag THEN t.etag END AS other_etag,
    CASE WHEN t.size <> s.size THEN t.size END AS other_size
FROM source_objects s
LEFT JOIN target_objects t ON t.suffix = s.suffix
LEFT JOIN compared c ON c.suffix = s.suffix
LEFT JOIN own_copies w ON w.suffix = s.suffix
"""

_DEFER = """
UPDATE object_verdicts SET class = 'deferred' WHERE rowid IN (
    SELECT o.place FROM objects o
    WHERE o.class IN ('to_copy', 'outdated')
        OR (o.class = 'present' AND EXISTS (SELECT 1 FROM reference_rows r WHERE r.suffix = o.suffix AND r.is_old))
    ORDER BY NOT o.named, o.suffix OFFSET $limit
)
"""
"""Objects beyond the first `$limit` in the order of their keys. Those that rows name come first."""

_CLASSIFY_ROWS = """
SELECT r.rowid AS place, o.class AS object_class,
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
    END AS class
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


# Few statements: DuckDB takes a millisecond to prepare one, which is more than a small plan takes to count.
_COUNT_OBJECTS = """
SELECT class, count(*), count(*) FILTER (NOT named), count(*) FILTER (weak), coalesce(sum(size), 0)
FROM objects GROUP BY class
"""
_COUNT_ROWS = "SELECT class, count(*), count(*) FILTER (is_old) FROM planned_rows GROUP BY class"
_BESIDE = """
SELECT EXISTS (FROM moved_objects), EXISTS (FROM moved_rows), (SELECT count(*) FROM other_forms)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The counts of each class, and the plan's digest.

    objects, rows: class → count; `foreign` counts what is not under the map
    to_overwrite: of the conflicts, those that a run overwrites
    moved_before: of the present objects, those that earlier passes of the run copied
    orphans: objects under the map that no row names (they are moved, too)
    weak: present objects that only the size of our own copy proves
    rows_remaining: rows that hold an old value, of any class
    dangling_old: of the dangling rows, those that hold an old value
    dangling_to_rewrite: of those, the ones that a run rewrites nevertheless
    rewritten_before: of the rows that hold a new value, those that earlier passes of the run rewrote
    dangling_rewritten: of those, the ones that dangle
    rows_in_other_forms: of the foreign rows, those that name a key of the map in a form that no reference has
    bytes_to_copy: of all objects that a run copies
    """

    objects: dict[str, int]
    rows: dict[str, int]
    to_overwrite: int
    moved_before: int
    orphans: int
    weak: int
    rows_remaining: int
    dangling_old: int
    dangling_to_rewrite: int
    rewritten_before: int
    dangling_rewritten: int
    rows_in_other_forms: int
    bytes_to_copy: int
    sha256: str

    @property
    def objects_seen(self) -> int:
        """How many source objects are under the map."""
        return sum(self.objects[name] for name in OBJECT_CLASSES)

    @property
    def rows_seen(self) -> int:
        """How many rows are under the map."""
        return sum(self.rows[name] for name in ROW_CLASSES if name != "foreign")

    @property
    def objects_to_move(self) -> int:
        """How many objects a run would copy."""
        return self.objects["to_copy"] + self.objects["outdated"] + self.to_overwrite

    @property
    def rows_to_move(self) -> int:
        """How many rows a run would rewrite, once their objects are verified."""
        return self.rows["to_rewrite"] + self.dangling_to_rewrite

    @property
    def moves_anything(self) -> bool:
        """Whether a run would copy an object or rewrite a row."""
        return self.objects_to_move + self.rows_to_move > 0

    def left(self, *, after_run: bool) -> dict[str, int]:
        """Return what is neither in the target nor rewritten: name → count, without those that are 0.

        after_run: what would be left once a run has moved what it plans; False: what is left now
        """
        objects = {name: self.objects[name] for name in ("conflict", "archived", "unroutable", "deferred")}
        if after_run:
            objects["conflict"] -= self.to_overwrite
        else:
            objects |= {name: self.objects[name] for name in ("to_copy", "outdated")}
        counts = {f"objects_{name}": count for name, count in objects.items()} | {
            "rows_remaining": self.rows_remaining - after_run * self.rows_to_move,
            "rows_without_object": self.rows["dangling"] - self.dangling_old + after_run * self.dangling_to_rewrite,
            "rows_in_other_forms": self.rows_in_other_forms,
        }
        return {name: count for name, count in counts.items() if count}

    def counts(self) -> dict[str, int]:
        """Return the counts by their names in the summary."""
        return {
            "objects_seen": self.objects_seen,
            **{f"objects_{name}": self.objects[name] for name in (*OBJECT_CLASSES, "foreign")},
            "objects_to_copy": self.objects_to_move,
            "objects_to_overwrite": self.to_overwrite,
            "objects_orphan": self.orphans,
            "objects_weak": self.weak,
            "rows_seen": self.rows_seen,
            **{f"rows_{name}": self.rows[name] for name in ROW_CLASSES},
            "rows_to_rewrite": self.rows_to_move,
            "rows_dangling_to_rewrite": self.dangling_to_rewrite + self.dangling_rewritten,
            "rows_in_other_forms": self.rows_in_other_forms,
            "rows_remaining": self.rows_remaining,
            "bytes_to_copy": self.bytes_to_copy,
        }


def make_plan(catalog: Catalog, settings: Settings) -> Plan:
    """Classify everything in `catalog` under the policies of `settings`. It writes only the catalog's own tables."""
    _classify(catalog, settings)
    if not _are_as_many(catalog, "FROM row_verdicts", "FROM reference_rows"):
        _drop_repeated(catalog, "source_objects")
        _classify(catalog, settings)
    overwrite, rewrite_dangling = settings.on_conflict == "overwrite", settings.on_dangling == "rewrite"
    metadata = catalog.metadata()
    of_objects = catalog.query(_COUNT_OBJECTS)
    of_rows = catalog.query(_COUNT_ROWS)
    objects = dict.fromkeys(OBJECT_CLASSES, 0) | {name: count for name, count, *_ in of_objects}
    rows = dict.fromkeys(ROW_CLASSES, 0) | {name: count for name, count, _ in of_rows}
    old_rows = {name: old for name, _, old in of_rows}
    objects["foreign"] = int(metadata.get("source_foreign", 0))
    rows["foreign"] = int(metadata.get("rows_foreign", 0))
    moved_before = rewritten_before = dangling_rewritten = 0
    objects_moved, rows_moved, other_forms = catalog.one(_BESIDE)
    if objects_moved:
        (moved_before,) = catalog.one(
            "SELECT count(*) FROM objects SEMI JOIN moved_objects USING (suffix) WHERE class = 'present'"
        )
    if rows_moved:
        (rewritten_before, dangling_rewritten) = catalog.one(
            "SELECT count(*), count(*) FILTER (class = 'dangling') FROM planned_rows"
            " SEMI JOIN moved_rows USING (reference, key) WHERE NOT is_old"
        )
    moved = ("to_copy", "outdated", *(("conflict",) if overwrite else ()))
    dangling_old = old_rows.get("dangling", 0)
    # the tag is part of what is digested, too: the beginning of a digest must not fit another environment either
    digest = hashlib.sha256(f"{settings.fingerprint} {settings.plan_tag}".encode())
    digest.update(json.dumps(settings.policies, sort_keys=True).encode())
    for select in DECIDED.values():
        digest.update(repr(catalog.one(_DIGEST.format(select))).encode())
    return Plan(
        objects=objects,
        rows=rows,
        to_overwrite=objects["conflict"] if overwrite else 0,
        moved_before=moved_before,
        orphans=sum(orphans for _, _, orphans, _, _ in of_objects),
        weak=sum(weak for _, _, _, weak, _ in of_objects),
        rows_remaining=sum(old_rows.values()),
        dangling_old=dangling_old,
        dangling_to_rewrite=dangling_old if rewrite_dangling else 0,
        rewritten_before=rewritten_before,
        dangling_rewritten=dangling_rewritten,
        rows_in_other_forms=other_forms,
        bytes_to_copy=sum(int(size) for name, *_, size in of_objects if name in moved),
        sha256=digest.hexdigest()[: DIGEST_LENGTH - TAG_LENGTH] + settings.plan_tag,
    )


def _are_as_many(catalog: Catalog, one: str, other: str) -> bool:
    """Return whether two tables, or SELECTs, have the same number of rows."""
    (equal,) = catalog.one(f"SELECT (SELECT count(*) FROM ({one})) = (SELECT count(*) FROM ({other}))")
    return bool(equal)


def classify_objects(catalog: Catalog) -> None:
    """Make the table `objects`: every source object under the map with its class."""
    _keep_in_order(catalog, OBJECT_VERDICTS, _CLASSIFY_OBJECTS)
    if not _are_as_many(catalog, "FROM object_verdicts", "FROM source_objects"):
        _drop_repeated(catalog, "target_objects", "compared")
        _keep_in_order(catalog, OBJECT_VERDICTS, _CLASSIFY_OBJECTS)
    catalog.run(OBJECTS.create())


def _classify(catalog: Catalog, settings: Settings) -> None:
    classify_objects(catalog)
    if settings.limit is not None:
        catalog.run(_DEFER, {"limit": settings.limit})
    params = {
        "overwrite": settings.on_conflict == "overwrite",
        "rewrite_dangling": settings.on_dangling == "rewrite",
        "limited": settings.limit is not None,
    }
    _keep_in_order(catalog, ROW_VERDICTS, _CLASSIFY_ROWS, params)
    catalog.run(PLANNED_ROWS.create())


def _keep_in_order(catalog: Catalog, table: Table, verdicts: str, params: Params = ()) -> None:
    """Make the table of verdicts, which a SELECT returns with the `place` of each, in the order of their places.

    Two statements: one that joins and sorts needs the memory of both at once, and cannot spill what it needs.
    """
    loose = f"{table.name}_loose"
    catalog.run(f"CREATE OR REPLACE TABLE {loose} AS {verdicts}", params)
    catalog.run(table.create(f"SELECT * EXCLUDE (place) FROM {loose} ORDER BY place"))
    catalog.run(f"DROP TABLE {loose}")


def _drop_repeated(catalog: Catalog, *tables: str) -> None:
    """Leave one row for each suffix: of a key that is there twice, the verdicts would not be in the order of the rows.

    S3 lists each key once, and a listing that is divided is checked for it; another service may not keep to that.
    """
    for table in tables:
        catalog.run(f"DELETE FROM {table} WHERE rowid NOT IN (SELECT min(rowid) FROM {table} GROUP BY suffix)")


def warnings_of_other_forms(catalog: Catalog, settings: Settings) -> list[str]:
    """Return a warning for each form that rows have and their reference does not: such rows would not be rewritten."""
    positions = {reference.name: position for position, reference in enumerate(settings.references)}
    found = catalog.query(
        "SELECT reference, form, count(*) AS rows FROM other_forms GROUP BY ALL ORDER BY rows DESC, reference, form"
    )
    return [
        marked(
            f"rehome_references[{positions[reference]}].form: {_not_under_the_map(count, reference, form)} "
            "(rows-in-other-forms.jsonl)",
            Code.OTHER_FORMS,
        )
        for reference, form, count in found
    ]


def _not_under_the_map(count: int, reference: str, form: str) -> str:
    if is_form(form):
        would = f"would be with the form {form}"
    else:
        would = f"names a key of it {form}" if count == 1 else f"name a key of it {form}"
    if count == 1:
        return f"1 row of {reference} is not under the map, but {would}; it stays as it is"
    return f"{count:,} rows of {reference} are not under the map, but {would}; they stay as they are"


def refusals(plan: Plan, on_conflict: OnConflict, on_dangling: OnDangling) -> list[Finding]:
    """Return why a run must stop before the first byte moves. The texts name files of the folder `lists`."""
    stops: tuple[tuple[int, str, str | None, str, str, Code], ...] = (
        (
            plan.objects["conflict"] if on_conflict == "fail" else 0,
            "rehome_on_conflict",
            "fail",
            "target objects exist with other content than the source's (listed in objects-conflict.jsonl)",
            "Clear them up, or set rehome_on_conflict to skip (leave both as they are) or overwrite",
            Code.CONFLICT,
        ),
        (
            plan.rows["dangling"] if on_dangling == "fail" else 0,
            "rehome_on_dangling",
            "fail",
            "rows name an object that is in neither bucket (listed in rows-dangling.jsonl)",
            "Clear them up, or set rehome_on_dangling to keep (leave them as they are) or rewrite",
            Code.DANGLING,
        ),
        (
            plan.rows["overflowing"],
            "rehome_target.prefix",
            None,
            "rows would become longer than their column takes (listed in rows-overflowing.jsonl)",
            "Widen the column, choose a shorter prefix, or leave these keys out with rehome_exclude",
            Code.VALUES_DO_NOT_FIT,
        ),
        (
            plan.objects["unroutable"],
            "rehome_include",
            None,
            "objects have no legal target key (listed in objects-unroutable.jsonl)",
            "Choose a shorter prefix, or leave these keys out with rehome_exclude",
            Code.UNROUTABLE,
        ),
    )
    return [
        Finding(setting, value, f"{count} {problem}", way_out, code=code)
        for count, setting, value, problem, way_out, code in stops
        if count
    ]
