"""A planned catalog of invented objects, whose copies a server of the benchmark answers."""

from __future__ import annotations

from pathlib import Path

from rehome.catalog.catalog import Catalog
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan
from rehome.s3.capabilities import AMAZON
from rehome.s3.endpoint.resolve import resolve
from rehome.services.capabilities import keep_capabilities

from .null_replies import ETAG, SIZE
from .ours import CATALOG


def plan_catalog(folder: Path, settings: Settings, objects: int) -> None:
    """Make a catalog in `folder` of so many objects to copy, none of which the target has."""
    # a migration's preflight finds that out, but not about a server that says the same to everything
    keep_capabilities(settings, resolve(settings.source), resolve(settings.target), AMAZON)
    with Catalog.create(folder / CATALOG, {}) as catalog:
        catalog.run(
            "INSERT INTO source_objects (suffix, size, etag, last_modified, storage_class) "
            f"SELECT printf('avatar-%07d.png', i), {SIZE}, '{ETAG}', '2026-01-01T00:00:00.000Z', 'STANDARD' "
            f"FROM range({objects}) AS numbers(i)"
        )
        make_plan(catalog, settings)
