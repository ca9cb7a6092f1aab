"""List ranges of keys: what a worker does with a shard of them. Its objects come back as the rows of a table.

The place is of two sides, the source and the target.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

from ..catalog.catalog import Catalog
from ..mapping.key_shapes import KeyShape
from ..mapping.keymap import KeyMap
from ..object_rows import ObjectRows, SourceRows, TargetRows
from ..s3.listing.listing import Listing
from .ranges import MOST_RANGES, packed, unpacked
from .reader import Place

TABLES = "source_objects", "target_objects"
"""By side: the table of its objects."""


class Ask(NamedTuple):
    """A shard: what to list, as plain values.

    side: 0 the source, 1 the target
    left: the ranges (`ranges.packed`)
    globs: to include, and to exclude
    refused_keys: the shapes of keys that the target does not store unchanged
    most_keys, most_characters: leave what is left once so many objects are listed, or their keys are as long
    """

    side: int
    left: tuple[Any, ...]
    globs: tuple[tuple[str, ...], tuple[str, ...]]
    refused_keys: tuple[str, ...]
    page_size: int
    most_keys: int
    most_characters: int


class Given(NamedTuple):
    """What a shard gave.

    file: a file with the rows of the objects under the map
    listed, foreign, samples: of `ObjectRows`
    left: what is left of the ranges
    """

    file: bytes
    listed: int
    foreign: int
    samples: list[str]
    left: tuple[Any, ...]


async def list_shard(place: Place, shard: Sequence[Any]) -> tuple[Any, ...]:
    """List a shard (`Ask`), and return what it gave (`Given`). Raises S3Error and S3StopError."""
    ask = Ask(*shard)
    client, prefix = place.clients[ask.side], place.sides[ask.side].prefix
    listing = Listing(client, prefix, ask.page_size, parallel=MOST_RANGES, begun=unpacked(ask.left))
    table = TABLES[ask.side]
    with Catalog.in_memory(table) as catalog, tempfile.TemporaryDirectory(prefix="listing-") as folder:
        characters = 0
        with _rows(catalog, place, ask) as rows:
            async with aclosing(listing.pages()) as pages:
                async for page in pages:
                    rows.add(page)
                    characters += sum(map(len, page.keys))
                    if rows.listed >= ask.most_keys or characters >= ask.most_characters:
                        listing.leave()
        file = _exported(catalog, table, Path(folder, "objects.parquet"))
        return tuple(Given(file, rows.listed, rows.foreign, rows.samples, packed(listing.left)))


def _exported(catalog: Catalog, table: str, path: Path) -> bytes:
    catalog.export(table, path)
    return path.read_bytes()


def _rows(catalog: Catalog, place: Place, ask: Ask) -> ObjectRows:
    source, target = place.sides
    keymap = KeyMap(source.prefix, target.prefix, *ask.globs)
    if ask.side:
        return TargetRows(catalog, keymap)
    return SourceRows(catalog, keymap, frozenset(map(KeyShape, ask.refused_keys)))
