"""Retire: delete legacy objects that are proven moved and that no row names, and take those deletes back."""

from __future__ import annotations

from collections.abc import Callable

from ..catalog.catalog import Catalog
from ..config.confirmation import unconfirmed
from ..config.settings import NO_WAY_BACK, Settings
from ..errors import Finding, RefusedError, RehomeError
from ..progress import Progress
from ..s3.deletion.versions import Versioning
from ..s3.errors import S3Error
from ..state.completion import FILE, completed_at
from ..state.delete_log import RETIRED
from .delete_objects import (
    BucketFacts,
    DeleteCounts,
    bring_back_deleted,
    cannot_tell,
    delete_judged,
    look_at_bucket,
)
from .deletion_candidates import NAMED, classify, make_tables

_BY_POLICY = "o.class = 'conflict' AND {skips}"
_TOO_YOUNG = f"""
o.class = 'present' AND NOT {NAMED} AND (
    {{all_young}} OR coalesce(try_cast(s.last_modified AS TIMESTAMPTZ) > TIMESTAMPTZ '{{before}}', true))
"""
"""A time that cannot be read is no proof of age."""


def look_at_source(settings: Settings, dry_run: bool) -> BucketFacts:
    """Read what decides whether objects may be retired at all. Raises RefusedError with every finding."""
    findings = unconfirmed(settings) if not dry_run else []
    if completed_at(settings) is None:
        findings.append(
            Finding(
                "rehome_retire_after",
                None,
                f"counts from the migration's end, and {settings.state_dir / FILE} knows of none under these settings",
                "Run migrate.yml or playbooks/verify.yml: once nothing is left to do it is noted, and counts from then",
            )
        )
    try:
        facts = look_at_bucket(settings)
    except S3Error as error:
        findings.append(cannot_tell(settings, error))
    else:
        if not facts.keeps_versions and not settings.retire.unversioned:
            findings.append(_no_way_back(settings, facts.versioning))
    if findings:
        raise RefusedError(findings)
    return facts


def warnings(facts: BucketFacts) -> list[str]:
    """How long the way back is open."""
    if not facts.keeps_versions:
        return ["the source bucket keeps no versions: what is retired cannot be brought back"]
    if facts.noncurrent_days is None:
        return []
    return [
        f"the source bucket's lifecycle rules remove what lies under a delete marker after {facts.noncurrent_days} "
        "days: until then it can be brought back"
    ]


def plan_retirement(settings: Settings, catalog: Catalog, progress: Progress, facts: BucketFacts) -> DeleteCounts:
    """Class every object of the source. Reads only. Raises S3Error and DatabaseError."""
    make_tables(catalog)
    ended_at = completed_at(settings)
    if ended_at is None:
        raise RehomeError("the migration's end was forgotten meanwhile")
    after = settings.retire.after
    reasons = {
        "by_policy": _BY_POLICY.format(skips=settings.on_conflict == "skip"),
        "too_young": _TOO_YOUNG.format(
            all_young=facts.now - ended_at < after, before=(facts.now - after).isoformat(timespec="seconds")
        ),
    }
    return DeleteCounts(*classify(settings, catalog, progress, reasons, facts.now, facts.locks))


def retire(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    facts: BucketFacts,
    counts: DeleteCounts,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Delete what `plan_retirement` has found to be deletable: see `delete_judged`."""
    delete_judged(settings, catalog, progress, facts, counts, RETIRED, stopping)


def bring_back(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    counts: DeleteCounts,
    dry_run: bool,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Take away exactly the delete markers that were recorded, so that what lies under them shows again."""
    make_tables(catalog)
    bring_back_deleted(settings, catalog, progress, counts, RETIRED, dry_run, stopping)


def _no_way_back(settings: Settings, versioning: Versioning) -> Finding:
    why = {"off": "keeps no versions", "suspended": "keeps no versions any more (versioning is suspended)"}[versioning]
    return Finding(
        "rehome_source.bucket",
        settings.source.bucket,
        f"{why}, so that what is deleted there cannot be brought back",
        f'Switch versioning on, or set rehome_retire_unversioned to "{NO_WAY_BACK}"',
    )
