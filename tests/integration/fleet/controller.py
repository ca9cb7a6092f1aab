"""A copy in a process of its own, which a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import ROOT, FleetOfTest, keys_of
from tests.integration.fleet.work import settings_of
from tests.integration.migration import Migration

COPY = """
import json, sys
from pathlib import Path
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.progress import Progress
from rehome.run import Run
from rehome.fleet import shards
from rehome.stages.copy_objects import CopyCounts, copy_planned
shards.SHARD_OBJECTS = 40
settings = read_settings(json.loads(sys.argv[1]))
with Catalog.open(Path(sys.argv[2])) as catalog:
    copy_planned(Run(settings, catalog, Progress(settings.state_dir)), CopyCounts())
"""


@contextmanager
def running_copy(
    settings: Mapping[str, object], catalog: Path, store: S3Server, errors: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the copy of this catalog in a process group of its own, which is killed at the end.

    errors: where its error output goes
    """
    controller = subprocess.Popen(
        [sys.executable, "-c", COPY, json.dumps(settings), str(catalog)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "module_utils"), **keys_of(store, "migrate")},
        start_new_session=True,
        stderr=errors,
    )
    try:
        yield controller
    finally:
        controller.kill()
        controller.wait()


def given(migration: Migration, store: S3Server, fleet: FleetOfTest | None, **more: Any) -> dict[str, object]:
    """Return what `settings_of` makes settings of."""
    changes: dict[str, object] = {}
    taken = migration.settings

    def take(**changed: object) -> object:
        changes.update(changed)
        return taken(**changed)

    migration.settings = take  # type: ignore[method-assign, assignment]
    settings = settings_of(migration, store, fleet, **more)
    migration.settings = taken  # type: ignore[method-assign]
    return {
        "name": "test",
        "include": ["avatar-*.png"],
        "exclude": [],
        "database": {"engine": "sqlite", "path": settings.database.path},
        "references": [{"table": "avatars", "column": "path", "form": "key"}],
        "on_conflict": "fail",
        "on_dangling": "fail",
        "journal_schema": "rehome",
        "state_dir": str(settings.state_dir),
        **changes,
    }
