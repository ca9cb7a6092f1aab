"""Look up in the source's last listing what may be names of objects: it tells them from what merely looks like them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from .. import duckdb_engine as duckdb
from ..catalog.catalog import Catalog
from ..config.settings import Settings
from ..errors import RehomeError
from .evidence import Exists
from .noted import SOURCE_LISTING, listing_of

CATALOGS: Final = ("catalog.duckdb", "verify.duckdb")
"""Those that may have a listing, the better one first: a verification may be older than the last migration."""

_EXISTING: Final = """
SELECT DISTINCT g.suffix FROM (SELECT unnest(?::VARCHAR[]) AS suffix) g
WHERE EXISTS (SELECT 1 FROM source_objects s WHERE s.suffix = g.suffix)
    OR EXISTS (SELECT 1 FROM target_objects t WHERE t.suffix = g.suffix)
"""
"""An object that was moved and retired is named as well: its row would be left dangling."""


class Listing(NamedTuple):
    """A listing that can be asked. exists: which names are in it; objects: how many it has"""

    exists: Exists
    objects: int


@contextmanager
def last_listing(settings: Settings) -> Iterator[Listing | None]:
    """Yield the newest listing of the source in the state folder; None if there is none of these settings."""
    for name in CATALOGS:
        if (catalog := _opened(settings, name)) is not None:
            with catalog:
                objects = catalog.count("FROM source_objects")
                if objects and catalog.metadata().get(SOURCE_LISTING) == listing_of(settings) != "":
                    yield Listing(_asking(catalog), objects)
                    return
    yield None


def _opened(settings: Settings, name: str) -> Catalog | None:
    path = settings.state_dir / name
    try:
        return Catalog.open(path) if path.exists() else None
    except (RehomeError, duckdb.Error):
        return None  # of another version, or left by a run that was killed: there are other ways to tell


def _asking(catalog: Catalog) -> Exists:
    def exists(groups: Sequence[Sequence[str]]) -> list[bool]:
        asked = sorted({suffix for group in groups for suffix in group})
        known = {suffix for (suffix,) in catalog.query(_EXISTING, [asked])}
        return [any(suffix in known for suffix in group) for group in groups]

    return exists
