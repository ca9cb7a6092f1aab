"""Remove the copies of a migration after its rollback: only its own, and only if the source has the same content.

The next migration copies them again.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

from ..catalog import schema
from ..catalog.catalog import Catalog
from ..codes import Code, marked
from ..config.confirmation import indistinct, unconfirmed
from ..config.settings import Settings
from ..errors import RefusedError
from ..run import Run
from ..s3.errors import S3Error
from ..state.delete_log import REMOVED
from ..state.outcomes import load_made_copies
from .delete_objects import DeleteCounts, delete_classified, inspect_bucket, not_inspected
from .delete_side import BucketState, DeleteSide
from .deletion_candidates import classify, make_tables

_TO_ROLL_BACK = """
EXISTS (
    SELECT 1 FROM rollback.rollback_rows r
    WHERE r.obstacle IS NULL AND (r.reference, r.key, r.new_value) = (named_keys.reference, named_keys.key, value))
"""
LATE_S = 900
"""How long after a run's last sign of life a copy that it had begun may have been made: what is in flight is carried
out, workers of a cluster notice that they are alone, and clocks differ, by a quarter of an hour at most
(RequestTimeTooSkewed, S3 API reference)."""

_MADE = "EXISTS (SELECT 1 FROM made m WHERE m.suffix = o.suffix AND m.etag = o.etag)"
_MADE_UNTOLD = f"""
EXISTS (
    SELECT 1 FROM untold u WHERE u.suffix = o.suffix AND u.etag = o.etag AND u.etag <> ''
        AND epoch(try_cast(s.last_modified AS TIMESTAMPTZ)) <= epoch(try_cast(u.alive_at AS TIMESTAMPTZ)) + {LATE_S})
"""
"""It was not there when the run began, has the source's ETag of then, and is no younger than the run."""

_EXPECTED = """
SELECT suffix, max(alive_at) AS alive_at FROM untold u
WHERE etag IS NOT NULL AND epoch(try_cast(alive_at AS TIMESTAMPTZ)) > $oldest::DOUBLE
    AND NOT EXISTS (SELECT 1 FROM judged j WHERE j.suffix = u.suffix)
GROUP BY suffix
"""
"""Those that somebody else has made meanwhile are judged as any other."""

_REASONS = {
    "not_ours": f"NOT {_MADE} AND NOT EXISTS (SELECT 1 FROM untold u WHERE u.suffix = o.suffix)",
    "uncertain": f"NOT {_MADE} AND NOT {_MADE_UNTOLD}",
}


def inspect_target(settings: Settings, dry_run: bool) -> BucketState:
    """Check whether copies may be removed at all. Raises RefusedError with every finding."""
    findings = indistinct(settings) + (unconfirmed(settings, settings.target) if not dry_run else [])
    try:
        bucket = inspect_bucket(settings, settings.target)
    except S3Error as error:
        findings.append(not_inspected(settings.target, error))
    if findings:
        raise RefusedError(findings)
    return bucket


def plan_removal(run: Run, bucket: BucketState, dry_rollback: Path | None) -> DeleteCounts:
    """Put every object of the target in one class. Read-only. Raises S3Error and DatabaseError.

    Copies that a run had begun and that may still be made are counted besides.

    dry_rollback: the catalog of a dry run of the rollback, whose rows count as rolled back
    """
    catalog = run.catalog
    make_tables(catalog)
    load_made_copies(catalog, run.settings)
    with ExitStack() as stack:
        if dry_rollback is not None:
            stack.enter_context(catalog.attached(dry_rollback, "rollback"))
        ignored_rows = _TO_ROLL_BACK if dry_rollback is not None else "false"
        found = classify(run, DeleteSide.copies(run.settings), _REASONS, bucket, ignored_rows)
    catalog.run(schema.EXPECTED.create(_EXPECTED), {"oldest": time.time() - LATE_S})
    return DeleteCounts(*found, expected=catalog.count("FROM expected"))


def warnings_of(catalog: Catalog) -> list[str]:
    """Return that copies may still be made, and until when, if so."""
    count, alive_at = catalog.one("SELECT count(*), max(alive_at) FROM expected")
    if not count:
        return []
    until = datetime.fromisoformat(alive_at) + timedelta(seconds=LATE_S + 60)  # the minute that is begun, too
    text = (
        f"{count:,} copies that a run had begun are not in the target, and may still be made until {until:%H:%M} UTC, "
        "as its requests and workers may outlive it. Run the same command again after that: it removes those that are "
        "there"
    )
    return [marked(f"{text}.", Code.COPIES_EXPECTED)]


def remove_copies(run: Run, bucket: BucketState, counts: DeleteCounts) -> None:
    """Delete what `plan_removal` has found to be deletable. See `delete_classified`."""
    delete_classified(run, DeleteSide.copies(run.settings), bucket, counts, REMOVED)
