"""The fields of summary.json: their names, types and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict, cast

from ..config.settings import CopyMethod
from ..control.controls import Asked
from ..job import Job

SummaryKind = Literal["migration", "rollback"]
"""What the run did. A retirement and a verification count as a migration."""


class ListFile(TypedDict):
    """A list in the state folder that names every object or row of a class."""

    file: str
    count: int
    sha256: str


class PassFound(TypedDict):
    """What the plan of one pass found to do; of rows, without those that wait since an earlier plan."""

    objects_to_copy: int
    objects_outdated: int
    rows_to_rewrite: int


class RunCounts(TypedDict, total=False):
    """The counts that every summary has from its start, in the order of the file."""

    objects_seen: int
    """Source objects under the map, at the last plan. Each is in one class."""
    objects_to_copy: int
    """To be copied: missing in the target, outdated, or to overwrite; over all passes of the run."""
    objects_copied: int
    """Copied and verified by this run. An object that is copied twice counts twice."""
    objects_copied_unseen: int
    """Of the copied, those that do not count any more: overwritten or deleted in the source by the last plan."""
    objects_found_present: int
    """To be copied, and by the time of the copy in the target with the same content."""
    objects_not_reached: int
    """To be copied (or retired), and without an outcome: the run ended before, or was a dry one."""
    objects_outdated: int
    """Of those to copy: overwritten in the source since Rehome copied them."""
    objects_to_overwrite: int
    """Of the conflicts, those to copy, as `rehome_on_conflict` is `overwrite`."""
    objects_present: int
    """In the target with the same content, and not by a copy of this run."""
    objects_conflict: int
    """In the target with other content."""
    objects_changed: int
    """Changed on either side between the plan and the copy."""
    objects_archived: int
    """In an archive tier: must be restored before they can be copied."""
    objects_unroutable: int
    """Without a legal target key."""
    objects_deferred: int
    """Beyond the slice of `rehome_limit`."""
    objects_found_archived: int
    """Archived, which only the attempt to copy them showed."""
    objects_restoring: int
    """Archived, and their restore is requested or in progress."""
    objects_not_restored: int
    """Archived, and S3 refused the restore."""
    objects_orphan: int
    """Under the map, and named by no row; moved too."""
    objects_weak: int
    """Present, and nothing but the size of our own copy proves it."""
    objects_foreign: int
    """In the source and not under the map."""
    objects_failed: int
    """Refused by S3 in the last pass; see `failures`."""
    objects_sampled: int
    """Read on both sides and compared by the verification."""
    objects_differing: int
    """Of the sampled, those that differ."""
    bytes_to_copy: int
    """Size of what was to be copied; over all passes of the run."""
    bytes_copied: int
    """Size of what this run copied."""
    bytes_found_present: int
    """Size of `objects_found_present`."""
    rows_seen: int
    """Rows under the map, at the last plan. Each is in one class."""
    rows_to_rewrite: int
    """Old values whose object is or will be in the target; over all passes of the run."""
    rows_rewritten: int
    """Rewritten and journalled by this run. A row that is rewritten twice counts twice."""
    rows_rewritten_unseen: int
    """Of the rewritten, those that the last plan has not seen so: changed or deleted since, or written after it."""
    rows_appeared: int
    """Found under the old form while others were rewritten, beyond `rows_to_rewrite`."""
    rows_found_done: int
    """To be rewritten, and by then they held the new value."""
    rows_waiting: int
    """To be rewritten, but their object was not copied."""
    rows_not_reached: int
    """To be rewritten (or rolled back), and without an outcome: the run ended before, or was a dry one."""
    rows_done: int
    """Hold the new value, and were not rewritten by this run."""
    rows_dangling: int
    """Name an object that is in neither bucket."""
    rows_dangling_to_rewrite: int
    """Of the dangling, those that this run rewrites, as `rehome_on_dangling` is `rewrite`."""
    rows_blocked: int
    """Name an object that cannot be copied."""
    rows_overflowing: int
    """Would become longer than their column takes."""
    rows_deferred: int
    """Name an object beyond the slice of `rehome_limit`."""
    rows_foreign: int
    """Not under the map. Rollback: rewritten, and not among the keys of `rehome_only_keys`."""
    rows_in_other_forms: int
    """Of the foreign, those that name a key of the map in a form that no reference has; left as they are."""
    rows_changed_by_app: int
    """Changed by the application between the plan and the rewrite; left as they are."""
    rows_changed_earlier: int
    """Of those, the ones that passes before the last plan met."""
    rows_refused: int
    """Refused by the database server."""
    rows_remaining: int
    """Still hold an old value, whatever their class; at the verification, or at the last plan if there was none."""
    rows_rewritten_ever: int
    """Rollback: rewritten by a migration at any time, according to the journal."""
    rows_journalled: int
    """Rollback: of those, the ones that were not rolled back when this rollback began."""
    rows_to_restore: int
    """Dry rollback: still hold what Rehome wrote, and would be rolled back."""
    rows_restored: int
    """Rollback: rolled back by this run."""
    rows_restored_before: int
    """Rollback: held the old value already."""
    rows_changed_since: int
    """Rewritten, and changed by the application since."""
    rows_gone: int
    """Rewritten, and deleted since, or given another key."""
    rows_kept: int
    """Rollback: keep the new value, as the old one would not name the same object."""


class VerifyCounts(TypedDict, total=False):
    """The counts that a verification adds."""

    objects_compared: int
    """Source objects under the map, each compared with the target."""
    objects_verified: int
    """Of those, the ones that are in the target with the same content."""
    rows_compared: int
    """Rows under the map, each compared with the buckets."""
    rows_verified: int
    """Of those, the ones that hold the new value, and whose object exists."""
    rows_checked: int
    """Rewritten rows that were compared with the journal."""
    ranges_checked: int
    """Ranges of row keys whose checksums were compared with the journal."""
    ranges_differing: int
    """Of those ranges, the ones that were compared row by row."""
    rows_wrong: int
    """Rewritten, and hold the old value again, or one whose object is nowhere."""
    rows_without_object: int
    """Hold what Rehome wrote, but the target has no such object."""


class RetireCounts(TypedDict, total=False):
    """The counts that a retirement adds. A `kept` count is a reason not to delete."""

    objects_to_retire: int
    bytes_to_retire: int
    objects_retired: int
    bytes_retired: int
    objects_kept_unverified: int
    """Nothing proves the same content in the target."""
    objects_kept_by_policy: int
    """Conflicts that `rehome_on_conflict: skip` keeps."""
    objects_kept_referenced: int
    """Named by a row."""
    objects_kept_too_young: int
    """Changed, or moved, within `rehome_retire_after`."""
    objects_kept_locked: int
    """Under a legal hold or retention."""
    objects_kept_changed: int
    """Changed since they were classified."""
    objects_kept_refused: int
    """Refused by S3."""
    objects_brought_back: int
    """Undeleted: the delete marker was removed."""
    objects_not_brought_back: int
    """The delete marker could not be removed."""


KEPT_OBJECTS = ("unverified", "by_policy", "referenced", "too_young", "locked", "changed", "refused")
"""The reasons for which a retirement keeps objects, as in `RetireCounts`."""

KEPT_COPIES = ("not_ours", "uncertain", "unverified", "referenced", "locked", "changed", "refused")
"""The reasons for which the removal of copies keeps objects, as in `RemovalCounts`."""


class RemovalCounts(TypedDict, total=False):
    """The counts that the removal of copies adds. A `kept` count is a reason not to delete."""

    copies_seen: int
    """Objects of the target under the map. Each is in one class."""
    copies_to_remove: int
    bytes_to_remove: int
    copies_removed: int
    bytes_removed: int
    copies_not_reached: int
    """To be removed, and without an outcome: the run ended before, or was a dry one."""
    copies_kept_not_ours: int
    """Not made by this migration, or changed since."""
    copies_kept_uncertain: int
    """A run had begun to copy them and did not learn whether it did; nor do their ETag and time prove it."""
    copies_expected: int
    """A run had begun them, they are not there, and may still be made. Run it again later."""
    copies_kept_unverified: int
    """Nothing proves the same content in the source."""
    copies_kept_referenced: int
    """Named by a row."""
    copies_kept_locked: int
    """Under a legal hold or retention."""
    copies_kept_changed: int
    """Changed since they were classified."""
    copies_kept_refused: int
    """Refused by S3."""
    copies_brought_back: int
    """Undeleted, as a row names them."""
    copies_not_brought_back: int
    """The delete marker could not be removed."""


class SummaryFields(RunCounts, VerifyCounts, RetireCounts, RemovalCounts, total=False):
    """Everything that summary.json may hold."""

    name: str
    """`rehome_name`."""
    verb: str
    """The playbook's name, with `-check` for a dry run."""
    kind: SummaryKind
    source: str
    """As s3://bucket/prefix."""
    target: str
    """As s3://bucket/prefix."""
    run: str
    """Id of the run: the identity of its lock on the state folder."""
    job: Job | None
    """The job of AWX that the run is: `id`, `user` (None: a schedule's), `project_revision`, `template`, `workflow_id`;
    None: outside of AWX."""
    dry_run: bool
    only_keys: int | None
    """How many keys `rehome_only_keys` lists; None: not set."""
    limit: int | None
    """`rehome_limit`; None: not set."""
    approved_plan: str | None
    """Digest of the approved plan; None: not set."""
    since: str | None
    """Rollback: `rehome_rollback_since` in ISO 8601; None: not set."""
    restores: bool
    """Retirement: whether it removed delete markers instead."""
    started_at: str
    """ISO 8601, UTC, to the millisecond."""
    elapsed_s: float
    kept_in: str
    """The place of this summary, of the report and of `lists/`, with a slash at its end: the state folder, or the run's
    folder under `rehome_state_uri`, where they are uploaded."""
    passes: list[PassFound]
    copy_method: CopyMethod | None
    """None: nothing to copy."""
    movers: dict[str, int]
    """Worker of `rehome_cluster`, by its name → objects that it has copied or looked at; empty: this machine copied."""
    failures: dict[str, int]
    """S3 error code → objects that failed with it."""
    throttled_s: dict[str, float]
    """Reason → seconds that the throttle paused the writers; `reading_…`: for as long as it could not be read."""
    control: list[Asked]
    """What operators have asked of the run while it worked: `at`, `door` (where), `by` (who, as they say), `asked`."""
    plan_sha256: str
    """Digest of the run's first plan; empty: none was made."""
    lists: dict[str, ListFile]
    """Class → its list."""
    left: dict[str, int]
    """What the run leaves, by class → count; a dry run: what a run would leave. Classes of the counts above, and
    `rows_without_object` (rewritten, and their object is nowhere), `rows_rewritten` (rollback: still as rewritten) and
    `source_empty` (1: the source has no object under the map, and no end of this migration is on record)."""
    complete: bool
    """Whether nothing is left to do, other than what a policy leaves on purpose."""
    outcome: str
    """`complete`, what is left, and whether the run was dry, in words: the line that the terminal shows."""
    problems: list[str]
    """What needs a human, as sentences without their full stops."""


def counts_in(fields: SummaryFields) -> Mapping[str, int]:
    """Return the fields for reading counts by names that are put together: a TypedDict takes literal names only."""
    return cast(Mapping[str, int], fields)
