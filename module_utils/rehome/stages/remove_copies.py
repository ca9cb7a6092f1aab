"""Remove the copies that a migration has made, once it is undone: its own, and only where the source has the same.

What is removed is copied again by the next migration: that is the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ..catalog.catalog import Catalog
from ..config.confirmation import indistinct, unconfirmed
from ..config.settings import Settings
from ..errors import RefusedError
from ..progress import Progress
from ..s3.errors import S3Error
from ..state.delete_log import REMOVED
from ..state.outcomes import recall_made
from .delete_objects import BucketFacts, DeleteCounts, cannot_tell, delete_judged, look_at_bucket
from .deletion_candidates import classify, make_tables

_TO_PUT_BACK = """
EXISTS (
    SELECT 1 FROM rollback.rollback_rows r
    WHERE r.obstacle IS NULL AND (r.reference, r.key, r.new_value) = (named_keys.reference, named_keys.key, value))
"""
_NOT_OURS = "NOT EXISTS (SELECT 1 FROM made m WHERE m.rest = o.rest AND m.etag = o.etag)"


def look_at_target(settings: Settings, dry_run: bool) -> BucketFacts:
    """Read what decides whether copies may be removed at all. Raises RefusedError with every finding."""
    findings = indistinct(settings) + (unconfirmed(settings.turned) if not dry_run else [])
    try:
        facts = look_at_bucket(settings.turned)
    except S3Error as error:
        findings.append(cannot_tell(settings.turned, error))
    if findings:
        raise RefusedError(findings)
    return facts


def plan_removal(
    settings: Settings, catalog: Catalog, progress: Progress, facts: BucketFacts, to_put_back: Path | None
) -> DeleteCounts:
    """Class every object of the target. Reads only. Raises S3Error and DatabaseError.

    to_put_back: the catalog of a rollback that was only tried: its rows count as put back
    """
    make_tables(catalog)
    recall_made(catalog, settings)
    reasons = {"not_ours": _NOT_OURS}
    with ExitStack() as stack:
        if to_put_back is not None:
            stack.enter_context(catalog.beside(to_put_back, "rollback"))
        forgiven = _TO_PUT_BACK if to_put_back is not None else "false"
        found = classify(settings.turned, catalog, progress, reasons, facts.now, facts.locks, forgiven)
    return DeleteCounts(*found)


def remove_copies(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    facts: BucketFacts,
    counts: DeleteCounts,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Delete what `plan_removal` has found to be deletable: see `delete_judged`."""
    delete_judged(settings.turned, catalog, progress, facts, counts, REMOVED, stopping)
