"""The catalog's tables: the columns of each, which modules fill it and which read it.

Columns that several tables have:
suffix: the suffix of an object's key, which is the same in both buckets and joins objects and rows
reference, key, value: of a row: its reference (`table.column`), its primary key as a JSON list, what the column holds
is_old: the row holds the old value and would be rewritten; False if it holds the new one
etag, target_etag: of the object in the source and of the one in the target
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the catalog.

    columns: as CREATE TABLE takes them
    filled_by, read_by: the modules whose statements name it, as paths within the engine, separated by spaces
    temporary: it is gone once the catalog is closed
    """

    name: str
    columns: str
    filled_by: str
    read_by: str
    temporary: bool = False

    def create(self, select: str = "") -> str:
        """Return the statement that makes the table anew: empty, or with the rows of `select`."""
        content = f"AS {select}" if select else f"({self.columns})"
        return f"CREATE OR REPLACE {'TEMP ' * self.temporary}TABLE {self.name} {content};"


@dataclass(frozen=True, slots=True)
class Joined(Table):
    """A table and what was found of each of its rows, read as one table: a view, which copies nothing.

    base: the table
    verdicts: the table of what was found, with a row for each row of `base` in its order
    select: the columns, of the row `b` and its verdict `v`
    """

    base: str = ""
    verdicts: str = ""
    select: str = ""

    def create(self, select: str = "") -> str:
        """Return the statement that makes the view. A row without a verdict is an error of whoever reads it."""
        return (
            f"CREATE OR REPLACE VIEW {self.name} AS SELECT {select or self.select} "
            f"FROM {self.base} b POSITIONAL JOIN {self.verdicts} v;"
        )


FACTS = Table(
    "facts", "name VARCHAR PRIMARY KEY, value VARCHAR NOT NULL", filled_by="catalog/catalog", read_by="catalog/catalog"
)
"""What the catalog was made for: run, fingerprint, prefixes …"""

SOURCE_OBJECTS = Table(
    "source_objects",
    "suffix VARCHAR, size BIGINT, etag VARCHAR, last_modified VARCHAR, storage_class VARCHAR, "
    "restore VARCHAR DEFAULT '', tier VARCHAR DEFAULT '', unroutable VARCHAR",
    filled_by="object_rows scan/lookups",
    read_by="discover/listing planning/plan scan/lookups scan/scan stages/deletion_candidates stages/rollback_rows "
    "stages/verify_rows state/outcomes",
)
"""The source's objects under the map. unroutable: why there is no legal target key, or NULL."""

LOOKED_UP = Table(
    "looked_up",
    "suffix VARCHAR, size BIGINT, etag VARCHAR, last_modified VARCHAR, storage_class VARCHAR, restore VARCHAR, "
    "tier VARCHAR, unroutable VARCHAR, is_there BOOLEAN",
    filled_by="scan/lookups",
    read_by="scan/lookups",
)
"""Source objects read by HEAD, in place of what an inventory says of them."""

TARGET_OBJECTS = Table(
    "target_objects",
    "suffix VARCHAR, size BIGINT, etag VARCHAR",
    filled_by="object_rows",
    read_by="discover/listing planning/empty planning/plan scan/lookups "
    "stages/forecast stages/rewrite_rows stages/rollback_rows stages/verify_rows state/outcomes",
)
"""The target's objects under the map."""

UNPROVEN = Table(
    "unproven",
    "suffix VARCHAR, size BIGINT, etag VARCHAR, target_size BIGINT, target_etag VARCHAR",
    filled_by="state/outcomes",
    read_by="scan/scan state/outcomes",
)
"""Pairs of source and target objects whose ETags do not prove that their contents are equal."""

COMPARED = Table(
    "compared",
    "suffix VARCHAR, evidence VARCHAR",
    filled_by="scan/scan state/outcomes",
    read_by="planning/plan report/samples scan/scan",
)
"""Pairs of source and target objects whose contents were compared. evidence: NULL if they differ."""

OWN_COPIES = Table("own_copies", "suffix VARCHAR", filled_by="state/outcomes", read_by="planning/plan")
"""Target objects that an earlier pass or run made and that nobody has touched since."""

REFERENCE_ROWS = Table(
    "reference_rows",
    "reference VARCHAR, ordinal BIGINT, key VARCHAR, value VARCHAR, suffix VARCHAR, is_old BOOLEAN, overflows BOOLEAN",
    filled_by="scan/rows",
    read_by="planning/plan scan/lookups stages/verify_rows",
)
"""The rows under the map. overflows: the new value does not fit into the column."""

OTHER_FORMS = Table(
    "other_forms",
    "reference VARCHAR, key VARCHAR, value VARCHAR, form VARCHAR",
    filled_by="scan/rows",
    read_by="planning/plan report/lists",
)
"""Rows that are not under the map, and would be in another form. value: shortened. form: as settings write it, or in
words if they cannot."""

FOREIGN_SAMPLES = Table(
    "foreign_samples",
    "kind VARCHAR, text VARCHAR",
    filled_by="scan/buckets scan/rows",
    read_by="planning/empty report/samples report/showing",
)
"""Some of what is not under the map: suffixes of source objects (kind `object`), and what a row's value begins with, up
to its first slash (kind `row`)."""

OUTCOMES = Table(
    "outcomes",
    "suffix VARCHAR, size BIGINT, etag VARCHAR, result VARCHAR, target_etag VARCHAR, evidence VARCHAR, "
    "attempts INTEGER, error VARCHAR, message VARCHAR, duration_s DOUBLE, part INTEGER",
    filled_by="state/outcomes",
    read_by="planning/earlier_passes report/lists report/samples report/showing "
    "stages/restore_archived stages/rewrite_rows state/outcomes",
)
"""What became of each copy. Rows with the same part go into the same file."""

DIFFERING = Table(
    "differing",
    "suffix VARCHAR, etag VARCHAR, target_etag VARCHAR",
    filled_by="stages/verify_sample",
    read_by="report/lists",
)
"""Sampled objects whose bytes differ."""

RESTORES = Table("restores", "suffix VARCHAR, restore VARCHAR", filled_by="scan/lookups", read_by="scan/lookups")
"""Archived objects that are restored or being restored, read by HEAD."""

UNRESTORED = Table(
    "unrestored",
    "suffix VARCHAR, error VARCHAR, message VARCHAR",
    filled_by="stages/restore_archived",
    read_by="report/lists",
)
"""Archived objects whose restore S3 refused."""

CHANGED_ROWS = Table(
    "changed_rows",
    "reference VARCHAR, key VARCHAR, expected VARCHAR",
    filled_by="planning/earlier_passes stages/rewrite_rows",
    read_by="planning/earlier_passes report/lists",
)
"""Rows not rewritten, as the application had changed them."""

REFUSED_ROWS = Table(
    "refused_rows",
    "reference VARCHAR, key VARCHAR, value VARCHAR, new_value VARCHAR, message VARCHAR",
    filled_by="stages/chunk_runner",
    read_by="planning/earlier_passes report/lists stages/rewrite_rows",
)
"""Rows whose new value the database server refused."""

APPEARED_ROWS = Table(
    "appeared_rows",
    "reference VARCHAR, key VARCHAR",
    filled_by="stages/rewrite_rows",
    read_by="planning/earlier_passes",
)
"""Rows that no plan had, and that were found under the old form while others were rewritten."""

MOVED_OBJECTS = Table(
    "moved_objects",
    "suffix VARCHAR",
    filled_by="planning/earlier_passes",
    read_by="planning/earlier_passes planning/plan",
)
"""Objects that earlier passes of the run copied."""

MOVED_ROWS = Table(
    "moved_rows",
    "reference VARCHAR, key VARCHAR",
    filled_by="planning/earlier_passes",
    read_by="planning/earlier_passes planning/plan",
)
"""Rows that earlier passes of the run rewrote."""

REWRITTEN_ROWS = Table(
    "rewritten_rows",
    "entry BIGINT, reference VARCHAR, key VARCHAR, old_value VARCHAR, new_value VARCHAR, suffix VARCHAR, "
    "selected BOOLEAN",
    filled_by="scan/journal",
    read_by="scan/journal stages/rollback_rows",
)
"""The journal's rewritten rows, by the id of its entry. selected: rewritten since `rehome_rollback_since`."""

UNDONE_ROWS = Table("undone_rows", "entry BIGINT, key VARCHAR", filled_by="scan/journal", read_by="scan/journal")
"""The journal's rolled back rows, by the id of the entry that was undone."""

ROWS_CHANGED_SINCE = Table(
    "rows_changed_since",
    "reference VARCHAR, key VARCHAR, value VARCHAR, new_value VARCHAR, old_value VARCHAR",
    filled_by="stages/rollback_rows stages/verify_rows",
    read_by="report/lists",
)
"""Rewritten rows that hold a value of the application's by now."""

ROWS_KEPT = Table(
    "rows_kept",
    "reference VARCHAR, key VARCHAR, value VARCHAR, old_value VARCHAR, reason VARCHAR",
    filled_by="stages/rollback_rows",
    read_by="report/lists",
)
"""Rows not rolled back, as their old value would name no object."""

ROWS_WRONG = Table(
    "rows_wrong",
    "reference VARCHAR, key VARCHAR, value VARCHAR, new_value VARCHAR, old_value VARCHAR, reason VARCHAR",
    filled_by="stages/verify_rows",
    read_by="report/lists",
)
"""Rewritten rows that hold their old value again or name no object."""

ROWS_GONE = Table(
    "rows_gone",
    "reference VARCHAR, key VARCHAR, new_value VARCHAR, old_value VARCHAR",
    filled_by="stages/rollback_rows stages/verify_rows",
    read_by="report/lists",
)
"""Rewritten rows that are no longer in the database."""

OBJECT_VERDICTS = Table(
    "object_verdicts",
    "class VARCHAR, weak BOOLEAN, named BOOLEAN, is_in_target BOOLEAN, other_etag VARCHAR, other_size BIGINT",
    filled_by="planning/plan",
    read_by="planning/plan",
)
"""What the plan found of each source object, in the order of `source_objects`, whose rows stay as they are from then
on. other_etag, other_size: of the target object, where they differ from the source's."""

OBJECTS = Joined(
    "objects",
    "suffix VARCHAR, size BIGINT, etag VARCHAR, storage_class VARCHAR, restore VARCHAR, unroutable VARCHAR, "
    "target_etag VARCHAR, target_size BIGINT, class VARCHAR, weak BOOLEAN, named BOOLEAN, place BIGINT",
    filled_by="planning/plan",
    read_by="planning/plan report/lists report/samples report/showing stages/copy_objects stages/deletion_candidates "
    "stages/forecast stages/restore_archived stages/rewrite_rows stages/rollback_rows stages/verify_sample",
    base="source_objects",
    verdicts="object_verdicts",
    select="b.suffix, b.size, b.etag, b.storage_class, b.restore, b.unroutable, "
    "CASE WHEN v.is_in_target THEN coalesce(v.other_etag, b.etag) END AS target_etag, "
    "CASE WHEN v.is_in_target THEN coalesce(v.other_size, b.size) END AS target_size, "
    "coalesce(v.class, error('an object without a class')) AS class, v.weak, v.named, v.rowid AS place",
)
"""The plan: every source object under the map, with its class. weak: only its size proves that the copy is the same.
named: a row names it. place: its row in `object_verdicts`."""

ROW_VERDICTS = Table(
    "row_verdicts", "object_class VARCHAR, class VARCHAR", filled_by="planning/plan", read_by="planning/plan"
)
"""What the plan found of each row, in the order of `reference_rows`, whose rows stay as they are from then on."""

PLANNED_ROWS = Joined(
    "planned_rows",
    "reference VARCHAR, ordinal BIGINT, key VARCHAR, value VARCHAR, suffix VARCHAR, object_class VARCHAR, "
    "class VARCHAR, is_old BOOLEAN",
    filled_by="planning/plan",
    read_by="planning/earlier_passes planning/plan report/lists report/samples report/showing stages/rewrite_rows",
    base="reference_rows",
    verdicts="row_verdicts",
    select="b.reference, b.ordinal, b.key, b.value, b.suffix, v.object_class, "
    "coalesce(v.class, error('a row without a class')) AS class, b.is_old",
)
"""The plan: every row under the map, with its class and its object's."""

STANDING_ROWS = Table(
    "standing_rows",
    "place BIGINT, entry BIGINT, reference VARCHAR, key VARCHAR, old_value VARCHAR, new_value VARCHAR, "
    "suffix VARCHAR, selected BOOLEAN",
    filled_by="scan/journal",
    read_by="stages/rollback_rows stages/verify_rows",
)
"""Rewritten rows that were not rolled back. place: their order within the journal's entry."""

DIFFERING_RANGES = Table(
    "differing_ranges", "reference VARCHAR, range UBIGINT", filled_by="stages/verify_rows", read_by="stages/verify_rows"
)
"""Ranges of key hashes in which the rows differ from the journal."""

ROLLBACK_ROWS = Table(
    "rollback_rows",
    "entry BIGINT, place BIGINT, reference VARCHAR, key VARCHAR, old_value VARCHAR, new_value VARCHAR, "
    "obstacle VARCHAR",
    filled_by="stages/rollback_rows",
    read_by="stages/remove_copies stages/rollback_rows",
)
"""Rows to roll back. obstacle: why they stay as they are, or NULL."""

NAMED_KEYS = Table(
    "named_keys",
    "suffix VARCHAR, reference VARCHAR, key VARCHAR, value VARCHAR",
    filled_by="scan/named_keys stages/deletion_candidates",
    read_by="report/lists stages/delete_objects stages/deletion_candidates",
)
"""Source objects that any row may name, in whatever form. value: shortened."""

PROVEN = Table("proven", "suffix VARCHAR", filled_by="stages/deletion_candidates", read_by="stages/deletion_candidates")
"""Weak objects whose contents were compared and found equal."""

LOCKED = Table(
    "locked",
    "suffix VARCHAR, reason VARCHAR",
    filled_by="stages/deletion_candidates",
    read_by="report/lists stages/deletion_candidates",
)
"""Objects under legal hold or retention."""

JUDGED = Table(
    "judged",
    "suffix VARCHAR, size BIGINT, etag VARCHAR, target_etag VARCHAR, last_modified VARCHAR, plan_class VARCHAR, "
    "weak BOOLEAN, class VARCHAR",
    filled_by="stages/deletion_candidates",
    read_by="report/lists stages/deletion_candidates stages/remove_copies",
)
"""Every object with the class that says whether it may be deleted."""

DELETE_OUTCOMES = Table(
    "delete_outcomes",
    "suffix VARCHAR, size BIGINT, result VARCHAR, marker VARCHAR, error VARCHAR, message VARCHAR",
    filled_by="stages/delete_objects stages/deletion_candidates",
    read_by="report/lists stages/delete_objects",
)
"""What became of each delete."""

RECORDS = Table(
    "records",
    "ordinal BIGINT, event VARCHAR, key VARCHAR, etag VARCHAR, marker VARCHAR, noted_at VARCHAR",
    filled_by="state/delete_log",
    read_by="stages/retire state/delete_log",
)
"""The delete log: its lines, numbered. key: with its prefix."""

TO_BRING_BACK = Table(
    "to_bring_back", "key VARCHAR, marker VARCHAR", filled_by="stages/delete_objects", read_by="stages/delete_objects"
)
"""Delete markers to remove. key: with its prefix."""

BROUGHT_BACK = Table(
    "brought_back",
    "key VARCHAR, marker VARCHAR, problem VARCHAR",
    filled_by="stages/delete_objects stages/deletion_candidates",
    read_by="report/lists",
)
"""Delete markers that were to be removed. problem: why S3 kept it, or NULL."""

MADE = Table("made", "suffix VARCHAR, etag VARCHAR", filled_by="state/outcomes", read_by="stages/remove_copies")
"""Target objects that any run has copied and verified."""

UNTOLD = Table(
    "untold",
    "suffix VARCHAR, alive_at VARCHAR, etag VARCHAR",
    filled_by="state/outcomes",
    read_by="stages/remove_copies",
)
"""Target objects whose copy a run had begun, and of which it did not learn whether it was made. alive_at: the run's
last sign of life. etag: that the copy has if it was made; empty if it is not known, NULL if it cannot have been."""

EXPECTED = Table(
    "expected",
    "suffix VARCHAR, alive_at VARCHAR",
    filled_by="stages/remove_copies",
    read_by="report/lists stages/remove_copies",
)
"""Copies that a run had begun, that are not in the target, and that may still be made. alive_at: as of `untold`."""

REMOVED = Table(
    "removed", "key VARCHAR, file VARCHAR", filled_by="state/outcomes", read_by="state/outcomes", temporary=True
)
"""Copies that were removed. file: the newest delete log that says so."""

BEGUN = Table(
    "begun",
    "suffix VARCHAR, size BIGINT, etag VARCHAR",
    filled_by="state/outcomes",
    read_by="state/outcomes",
    temporary=True,
)
"""Copies that a killed run had begun."""

AT_START = (
    FACTS,
    SOURCE_OBJECTS,
    LOOKED_UP,
    TARGET_OBJECTS,
    COMPARED,
    OWN_COPIES,
    REFERENCE_ROWS,
    OTHER_FORMS,
    FOREIGN_SAMPLES,
    OUTCOMES,
    DIFFERING,
    RESTORES,
    UNRESTORED,
    CHANGED_ROWS,
    REFUSED_ROWS,
    APPEARED_ROWS,
    MOVED_OBJECTS,
    MOVED_ROWS,
    REWRITTEN_ROWS,
    UNDONE_ROWS,
    ROWS_CHANGED_SINCE,
    ROWS_KEPT,
    ROWS_WRONG,
    ROWS_GONE,
)
"""The tables of a new catalog; the others are made by the stages that fill them."""
