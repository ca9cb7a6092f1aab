"""Ask for archived objects to be made readable again, so that a later run copies them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

from ..catalog.catalog import Catalog
from ..config.settings import Restore, Settings
from ..errors import RehomeError
from ..progress import Progress
from ..s3.errors import S3StopError
from ..s3.objects.restore import ArchivedObject, RestoreResult, request_restores
from ..services.clients import open_client

_ARCHIVED = """
SELECT rest, storage_class FROM objects WHERE class = 'archived' AND restore <> 'in_progress'
UNION ALL
SELECT o.rest, p.storage_class FROM outcomes o JOIN objects p ON p.rest = o.rest WHERE o.result = 'archived'
"""

_IN_PROGRESS = "SELECT count(*) FROM objects WHERE class = 'archived' AND restore = 'in_progress'"


@dataclass(slots=True)
class RestoreCounts:
    """How far archived objects are.

    requested: asked for just now
    in_progress: asked for before, and not readable yet
    restored: readable by now, for a later run
    failed: refused by S3
    """

    requested: int = 0
    in_progress: int = 0
    restored: int = 0
    failed: int = 0

    def counts(self) -> dict[str, int]:
        """The counts by the names that summaries use."""
        return {
            "objects_restoring": self.requested + self.in_progress,
            "objects_not_restored": self.failed,
        }


def restore_archived(settings: Settings, catalog: Catalog, progress: Progress) -> RestoreCounts:
    """Ask for every archived object of the plan, and those that the copy met, as `rehome_restore` says.

    What S3 refuses goes into the catalog's table `unrestored`. Raises RehomeError where going on is useless.
    """
    (under_way,) = catalog.query(_IN_PROGRESS)[0]
    counts = RestoreCounts(in_progress=under_way)
    (total,) = catalog.query(f"SELECT count(*) FROM ({_ARCHIVED})")[0]
    if settings.restore is not None and total:
        progress.stage("request restores", total)
        try:
            uvloop.run(_request(settings, settings.restore, catalog, progress, counts))
        except S3StopError as error:
            raise RehomeError(f"rehome_restore: the archived objects cannot be asked for: {error}") from error
    return counts


async def _request(
    settings: Settings, restore: Restore, catalog: Catalog, progress: Progress, counts: RestoreCounts
) -> None:
    prefix = settings.source.prefix
    done = 0

    def note(result: RestoreResult) -> None:
        nonlocal done
        done += 1
        setattr(counts, result.state, getattr(counts, result.state) + 1)
        if result.state == "failed":
            catalog.append("unrestored", [(result.key[len(prefix) :], result.error, result.message)])
        progress.at(done, failed=counts.failed)

    async with open_client(settings, settings.source) as source:
        await request_restores(source, _archived(catalog, prefix), restore.days, restore.tier, note)


def _archived(catalog: Catalog, prefix: str) -> Iterator[ArchivedObject]:
    for batch in catalog.stream(_ARCHIVED):
        for rest, storage_class in batch:
            yield ArchivedObject(prefix + rest, storage_class)
