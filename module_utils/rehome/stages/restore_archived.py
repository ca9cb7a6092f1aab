"""Request the restore of archived objects, so that a later run can copy them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

from ..codes import Code
from ..config.settings import Restore
from ..errors import RehomeError
from ..run import Run
from ..s3.concurrency import end_in_time
from ..s3.errors import S3StopError
from ..s3.objects.restore import ArchivedObject, RestoreResult, request_restores
from ..services.clients import metered, open_client
from ..services.pace import paced

_ARCHIVED = """
SELECT suffix, storage_class FROM objects WHERE class = 'archived' AND restore <> 'in_progress'
UNION ALL
SELECT o.suffix, p.storage_class FROM outcomes o JOIN objects p ON p.suffix = o.suffix WHERE o.result = 'archived'
"""

_IN_PROGRESS = "FROM objects WHERE class = 'archived' AND restore = 'in_progress'"


@dataclass(slots=True)
class RestoreCounts:
    """How far the restore of archived objects is.

    requested: requested just now
    in_progress: requested before, and not readable yet
    restored: readable by now, for a later run
    failed: refused by S3
    """

    requested: int = 0
    in_progress: int = 0
    restored: int = 0
    failed: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts by the names of the summary."""
        return {"objects_restoring": self.requested + self.in_progress, "objects_not_restored": self.failed}


def restore_archived(run: Run) -> RestoreCounts:
    """Request the restore of every archived object of the plan, and of those that the copy found archived.

    Without `rehome_restore`, it only counts those whose restore is in progress.
    What S3 refuses goes into the catalog's table `unrestored`. Raises RehomeError if continuing is useless.
    """
    counts = RestoreCounts(in_progress=run.catalog.count(_IN_PROGRESS))
    total = run.catalog.count(_ARCHIVED)
    restore = run.settings.restore
    if restore is not None and total and not run.stopping():
        run.progress.stage("request restores", total)
        try:
            uvloop.run(_request(run, restore, counts))
        except S3StopError as error:
            raise RehomeError(
                f"rehome_restore: restores cannot be requested: {error}", code=Code.RESTORE_STOPPED
            ) from error
    return counts


async def _request(run: Run, restore: Restore, counts: RestoreCounts) -> None:
    settings = run.settings
    prefix = settings.source.prefix
    done = 0

    def note(result: RestoreResult) -> None:
        nonlocal done
        done += 1
        setattr(counts, result.state, getattr(counts, result.state) + 1)
        if result.state == "failed":
            run.catalog.append("unrestored", [(result.key[len(prefix) :], result.error, result.message)])
        run.progress.at(done, failed=counts.failed)

    async with (
        open_client(settings, settings.source) as source,
        metered(run.progress, source),
        paced(run, source),
    ):
        work = request_restores(source, _archived(run, prefix), restore.days, restore.tier, note)
        await end_in_time(work, run.stopping)


def _archived(run: Run, prefix: str) -> Iterator[ArchivedObject]:
    for batch in run.catalog.stream(_ARCHIVED):
        for suffix, storage_class in batch:
            if run.stopping():
                return
            yield ArchivedObject(prefix + suffix, storage_class)
