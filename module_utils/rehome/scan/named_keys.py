"""Find the keys that any row may name. In doubt a key counts as named: a key that no row names may be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from ..catalog.schema import NAMED_KEYS
from ..config.settings import Reference
from ..db.dialect import Dialect
from ..db.engines.open import connect
from ..db.work.keyset import read_by_keyset
from ..mapping.row_key import key_to_json
from ..mapping.spellings import suffix_starts, suffixes_from
from ..mapping.value_map import ValueMap
from ..run import Run

_MAX_VALUE = 1_000
"""Characters of a value that a list shows."""


def read_named_keys(run: Run) -> None:
    """Replace the catalog's `named_keys` with the keys that the rows of every reference name, in whatever form.

    Reads every row of the tables, also those that a reference's `where` leaves out. Raises DatabaseError if a table
    cannot be read completely.
    """
    run.catalog.run(NAMED_KEYS.create())
    with connect(run.settings.database) as database:
        for reference in run.settings.references:
            _read_reference(run, database, reference)


def _read_reference(run: Run, database: Dialect, reference: Reference) -> None:
    facts, values = database.describe(reference.table, reference.column), run.settings.value_map(reference)
    run.progress.stage(f"read {reference.name}")
    read = 0
    for batch in read_by_keyset(database, facts):
        named = [
            (suffix, reference.name, key_to_json(key), value[:_MAX_VALUE])
            for key, value in batch
            if value is not None
            for suffix in named_suffixes(value, values)
        ]
        run.catalog.append("named_keys", named)
        read += len(batch)
        run.progress.at(read)


def named_suffixes(value: str, values: ValueMap) -> set[str]:
    """Return the suffixes of the source keys that a value may name, in whatever form and within whatever text.

    Rather returns too many than too few. The head of a new value is skipped: the new prefix may contain the old one.
    """
    if values.moves and (suffix := values.suffix_if_old(value)) is not None:
        return {suffix, *_texts_after_prefix(value, values)}
    if values.suffix_if_new(value) is not None:
        if not values.moves or not values.keymap.source_prefix:
            return set()
        value = values.after_target_head(value)
    return set(_texts_after_prefix(value, values))


def _texts_after_prefix(value: str, values: ValueMap) -> Iterator[str]:
    covers = values.keymap.covers
    # as it is, percent-decoded, and with the slashes that some JSON encoders escape
    for text in {value, unquote(value), value.replace("\\/", "/")}:
        for start in suffix_starts(text, values.keymap.source_prefix):
            yield from filter(covers, suffixes_from(text, start))
