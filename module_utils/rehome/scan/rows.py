"""Read the rows of the referencing columns that are under the map into a catalog, and count the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import compress

from ..config.settings import Reference
from ..db.dialect import Dialect, TableFacts
from ..db.engines.open import connect
from ..db.work.keyset import read_by_keyset
from ..mapping.forms import form_detector
from ..mapping.row_key import keys_to_json
from ..mapping.value_map import ValueMap
from ..run import Run

MAX_FORMS = 20
"""Forms per column that are counted separately; all further ones count as one."""
OTHER_FORMS = "yet other URLs"


def read_rows(run: Run) -> int:
    """Read every reference into the catalog. Returns how many rows are not under the map.

    Raises DatabaseError if a table cannot be read completely.
    """
    settings = run.settings
    detect_form = form_detector(settings.keymap, settings.source, settings.target)
    with connect(settings.database) as database:
        return sum(_read(run, database, reference, detect_form) for reference in settings.references)


def _read(run: Run, database: Dialect, reference: Reference, detect_form: Callable[[str], str | None]) -> int:
    facts = replace(database.describe(reference.table, reference.column), where=reference.where)
    value_map = run.settings.value_map(reference)
    run.progress.stage(f"read {reference.name}")
    read = kept = 0
    others: Counter[str] = Counter()
    for batch in read_by_keyset(database, facts):
        is_old, suffixes = _match(batch.values, value_map)
        is_covered = [suffix is not None for suffix in suffixes]
        count = sum(is_covered)
        if count:
            old, values = list(compress(is_old, is_covered)), list(compress(batch.values, is_covered))
            columns = (
                [reference.name] * count,
                range(kept, kept + count),
                keys_to_json(list(compress(batch.keys, is_covered))),
                values,
                list(compress(suffixes, is_covered)),
                old,
                _overflows(facts, value_map, values, old),
            )
            run.catalog.append_columns("reference_rows", columns)
        if count < len(batch):
            _count_forms(compress(batch.values, [not covered for covered in is_covered]), detect_form, others)
        read, kept = read + len(batch), kept + count
        run.progress.at(read)
    run.catalog.append("other_forms", [(reference.name, form, count) for form, count in others.items()])
    return read - kept


def _match(values: Sequence[str | None], value_map: ValueMap) -> tuple[list[bool], list[str | None]]:
    """Return for each value whether it is an old one, and its key's suffix if it is an old or a new one."""
    if_old, if_new = value_map.suffix_if_old, value_map.suffix_if_new
    suffixes = [None if value is None or not value_map.moves else if_old(value) for value in values]
    is_old = [suffix is not None for suffix in suffixes]
    if not all(is_old):
        suffixes = [
            if_new(value) if suffix is None and value is not None else suffix
            for value, suffix in zip(values, suffixes, strict=True)
        ]
    return is_old, suffixes


def _overflows(
    facts: TableFacts, value_map: ValueMap, values: Sequence[str | None], is_old: Sequence[bool]
) -> list[bool]:
    """Return for each value whether it is an old one whose new value does not fit into the column."""
    if facts.safe_length is None:
        return [False] * len(values)
    fits = facts.safe_length - value_map.growth
    return [
        old and value is not None and len(value) > fits and facts.overflows(value_map.to_target(value) or "")
        for value, old in zip(values, is_old, strict=True)
    ]


def _count_forms(values: Iterable[str | None], detect_form: Callable[[str], str | None], counts: Counter[str]) -> None:
    """Count, by form, the values that would be under the map if the reference had another form."""
    for value in values:
        form = detect_form(value) if value else None
        if form is not None:
            counts[form if form in counts or len(counts) < MAX_FORMS else OTHER_FORMS] += 1
