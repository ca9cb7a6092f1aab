"""Retire: delete legacy objects that are proven moved and that no row names, and undelete them."""

from __future__ import annotations

from ..catalog.catalog import Catalog
from ..codes import Code, marked
from ..config.confirmation import unconfirmed
from ..config.settings import NO_WAY_BACK, Settings
from ..discover.standing import refused_columns
from ..errors import Finding, RefusedError, RehomeError
from ..run import Run
from ..s3.deletion.versions import Versioning
from ..s3.errors import S3Error
from ..state.completion import FILE, completed_at, other_end
from ..state.delete_log import RETIRED
from .delete_objects import DeleteCounts, delete_classified, inspect_bucket, not_inspected, undelete_recorded
from .delete_side import BucketState, DeleteSide
from .deletion_candidates import NAMED, classify, make_tables

_BY_POLICY = "o.class = 'conflict' AND {skips}"
_TOO_YOUNG = f"""
o.class = 'present' AND NOT {NAMED} AND (
    {{all_young}} OR coalesce(try_cast(s.last_modified AS TIMESTAMPTZ) > TIMESTAMPTZ '{{before}}', true))
"""
"""A time that cannot be read is no proof of age."""


def inspect_source(settings: Settings, dry_run: bool) -> BucketState:
    """Check whether objects may be retired at all. Raises RefusedError with every finding."""
    findings = unconfirmed(settings, settings.source) if not dry_run else []
    if completed_at(settings) is None:
        other = other_end(settings)
        its = f", but {other}. These settings are for {settings.place}" if other else ""
        findings.append(
            Finding(
                "rehome_retire_after",
                None,
                f"counts from the migration's end, and {settings.state_dir / FILE} has none under these settings{its}",
                "Run migrate.yml or playbooks/verify.yml, which record the end once nothing is left to do",
                Code.TOO_EARLY,
            )
        )
    findings += refused_columns(settings)
    try:
        bucket = inspect_bucket(settings, settings.source)
    except S3Error as error:
        findings.append(not_inspected(settings.source, error))
    else:
        if not bucket.keeps_versions and not settings.retire.unversioned:
            findings.append(_no_way_back(settings, bucket.versioning))
    if findings:
        raise RefusedError(findings)
    return bucket


def warnings(bucket: BucketState) -> list[str]:
    """Return whether and how long retired objects can be undeleted, if that is limited or unknown."""
    if not bucket.keeps_versions:
        return [marked("the source bucket keeps no versions: what is retired cannot be brought back", Code.NO_WAY_BACK)]
    if bucket.noncurrent_days is None:
        return bucket.warnings
    return [
        *bucket.warnings,
        marked(
            "the source bucket's lifecycle rules remove what lies under a delete marker after "
            f"{bucket.noncurrent_days} days: until then it can be brought back",
            Code.NO_WAY_BACK,
        ),
    ]


def plan_retirement(run: Run, bucket: BucketState) -> DeleteCounts:
    """Put every object of the source in one class. Read-only. Raises S3Error and DatabaseError."""
    settings = run.settings
    make_tables(run.catalog)
    ended_at = completed_at(settings)
    if ended_at is None:
        raise RehomeError("the record of the migration's end was withdrawn meanwhile", code=Code.TOO_EARLY)
    after = settings.retire.after
    reasons = {
        "by_policy": _BY_POLICY.format(skips=settings.on_conflict == "skip"),
        "too_young": _TOO_YOUNG.format(
            all_young=bucket.now - ended_at < after, before=(bucket.now - after).isoformat(timespec="seconds")
        ),
    }
    return DeleteCounts(*classify(run, DeleteSide.legacy_objects(settings), reasons, bucket))


def retire(run: Run, bucket: BucketState, counts: DeleteCounts) -> None:
    """Delete what `plan_retirement` has found to be deletable. See `delete_classified`."""
    delete_classified(run, DeleteSide.legacy_objects(run.settings), bucket, counts, RETIRED)


def undelete_retired(run: Run, counts: DeleteCounts, dry_run: bool) -> None:
    """Remove exactly the delete markers that were recorded, so that the objects under them are visible again.

    Raises S3Error and S3StopError.
    """
    make_tables(run.catalog)
    undelete_recorded(run, DeleteSide.legacy_objects(run.settings), counts, RETIRED, dry_run)


def nothing_recorded(catalog: Catalog, settings: Settings) -> list[str]:
    """Return what is wrong if no delete is on record, so that there was nothing to undelete: mostly another folder."""
    if catalog.count("FROM records"):
        return []
    return [
        marked(
            f"{settings.state_dir / RETIRED} has no record of a delete, so that there is nothing to bring back; "
            "set rehome_name and rehome_state_dir to those of the run that deleted",
            Code.NOTHING_TO_UNDO,
        )
    ]


def _no_way_back(settings: Settings, versioning: Versioning) -> Finding:
    why = {"off": "keeps no versions", "suspended": "keeps no versions any more (versioning is suspended)"}[versioning]
    return Finding(
        "rehome_source.bucket",
        settings.source.bucket,
        f"{why}, so that what is deleted there cannot be brought back",
        f'Switch versioning on, or set rehome_retire_unversioned to "{NO_WAY_BACK}"',
        Code.NO_WAY_BACK,
    )
