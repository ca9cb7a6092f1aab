"""Which objects any row names, read so that a doubt counts as yes: what no row names may be deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from ..catalog.catalog import Catalog
from ..catalog.schema import NAMED_KEYS
from ..config.settings import Reference, Settings
from ..db.dialect import Dialect
from ..db.engines.open import connect
from ..db.work.keyset import read_by_keyset
from ..mapping.key_shapes import MAX_KEY_BYTES
from ..mapping.row_key import key_to_json
from ..mapping.value_map import ValueMap
from ..progress import Progress

_MOST_VALUE = 1_000
"""Characters of a value that a list shows."""

_ENDS = re.compile(r"[?#\s\"'<>\\,;)\]}|&]")
"""What may end a key inside a longer text: a URL's query, a quote in JSON or HTML, a list's separator."""


def read_named_keys(settings: Settings, catalog: Catalog, progress: Progress) -> None:
    """Fill the catalog's table `named_keys` anew with what the rows of every reference name, whatever their form.

    Every row of the table is read, also those that a reference's own condition leaves out of the migration. Raises
    DatabaseError where one cannot be read.
    """
    catalog.run(NAMED_KEYS.create())
    with connect(settings.database) as database:
        for reference in settings.references:
            _read_reference(database, reference, settings.value_map(reference), catalog, progress)


def _read_reference(
    database: Dialect, reference: Reference, values: ValueMap, catalog: Catalog, progress: Progress
) -> None:
    facts = database.describe(reference.table, reference.column)
    progress.stage(f"read {reference.name}")
    read = 0
    for page in read_by_keyset(database, facts):
        named = [
            (rest, reference.name, key_to_json(key), value[:_MOST_VALUE])
            for key, value in page
            if value is not None
            for rest in named_rests(value, values)
        ]
        catalog.append("named_keys", named)
        read += len(page)
        progress.at(read)


def named_rests(value: str, values: ValueMap) -> set[str]:
    """What of the source's keys (without its prefix) a value may name, in whatever form and amid whatever text.

    The head of a new value names none: the same text may be part of the new prefix. It errs on the side of naming too
    much.
    """
    if values.moves and (rest := values.suffix_if_old(value)) is not None:
        return {rest, *_texts_after_prefix(value, values)}
    if values.suffix_if_new(value) is not None:
        if not values.moves or not values.keymap.source_prefix:
            return set()
        value = values.after_target_head(value)
    return set(_texts_after_prefix(value, values))


def _texts_after_prefix(value: str, values: ValueMap) -> Iterator[str]:
    covers = values.keymap.covers
    # as it stands, as URLs write it, and as some JSON does
    for text in {value, unquote(value), value.replace("\\/", "/")}:
        for start in _places(text, values.keymap.source_prefix):
            rest = text[start : start + MAX_KEY_BYTES]
            # the whole of what follows, and what comes before each character that may end a key
            for end in (*(match.start() for match in _ENDS.finditer(rest)), len(rest)):
                if covers(rest[:end]):
                    yield rest[:end]


def _places(text: str, prefix: str) -> Iterator[int]:
    """Where a key's rest may begin: behind each occurrence of the prefix; without one, behind each slash."""
    if not prefix:
        yield 0
    step = prefix or "/"
    at = text.find(step)
    while at >= 0:
        yield at + len(step)
        at = text.find(step, at + 1)
