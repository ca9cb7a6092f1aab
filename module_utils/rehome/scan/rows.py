"""Read the referencing columns into a catalog, and tell what is under the map from what is not. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import compress

from ..catalog.catalog import Catalog
from ..config.settings import Reference, Settings
from ..db.dialect import Dialect, TableFacts
from ..db.engines.open import connect
from ..db.work.keyset import read_by_keyset
from ..mapping.forms import form_detector
from ..mapping.row_key import keys_to_json
from ..mapping.value_map import ValueMap
from ..progress import Progress

MOST_FORMS = 20
"""Forms that are told apart in a column; the rest of them count as one."""
OTHER_FORMS = "yet other URLs"


def read_rows(settings: Settings, catalog: Catalog, progress: Progress) -> int:
    """Read every reference into the catalog; answers how many rows are not under the map.

    Raises DatabaseError where a table cannot be read whole.
    """
    detect_form = form_detector(settings.keymap, settings.source, settings.target)
    with connect(settings.database) as database:
        return sum(
            _read(database, settings, reference, detect_form, catalog, progress) for reference in settings.references
        )


def _read(
    database: Dialect,
    settings: Settings,
    reference: Reference,
    detect_form: Callable[[str], str | None],
    catalog: Catalog,
    progress: Progress,
) -> int:
    facts = replace(database.describe(reference.table, reference.column), where=reference.where)
    value_map = settings.value_map(reference)
    progress.stage(f"read {reference.name}")
    read = kept = 0
    others: Counter[str] = Counter()
    for page in read_by_keyset(database, facts):
        is_old, rests = _sorted_out(page.values, value_map)
        meant = [rest is not None for rest in rests]
        count = sum(meant)
        if count:
            old, values = list(compress(is_old, meant)), list(compress(page.values, meant))
            columns = (
                [reference.name] * count,
                range(kept, kept + count),
                keys_to_json(list(compress(page.keys, meant))),
                values,
                list(compress(rests, meant)),
                old,
                _overflows(facts, value_map, values, old),
            )
            catalog.append_columns("reference_rows", columns)
        if count < len(page):
            _count_forms(compress(page.values, [not one for one in meant]), detect_form, others)
        read, kept = read + len(page), kept + count
        progress.at(read)
    catalog.append("other_forms", [(reference.name, form, count) for form, count in others.items()])
    return read - kept


def _sorted_out(values: Sequence[str | None], value_map: ValueMap) -> tuple[list[bool], list[str | None]]:
    """For each value whether it is an old one, and the rest of its key where it is under the map, old or new."""
    if_old, if_new = value_map.suffix_if_old, value_map.suffix_if_new
    rests = [None if value is None or not value_map.moves else if_old(value) for value in values]
    is_old = [rest is not None for rest in rests]
    if not all(is_old):
        rests = [
            if_new(value) if rest is None and value is not None else rest
            for value, rest in zip(values, rests, strict=True)
        ]
    return is_old, rests


def _overflows(
    facts: TableFacts, value_map: ValueMap, values: Sequence[str | None], is_old: Sequence[bool]
) -> list[bool]:
    """For each value whether it is an old one whose new value does not fit into the column."""
    if facts.safe_length is None:
        return [False] * len(values)
    fits = facts.safe_length - value_map.growth
    return [
        old and value is not None and len(value) > fits and facts.overflows(value_map.to_target(value) or "")
        for value, old in zip(values, is_old, strict=True)
    ]


def _count_forms(values: Iterable[str | None], detect_form: Callable[[str], str | None], counts: Counter[str]) -> None:
    """Count by form those values, none of them under the map, that would be in another form."""
    for value in values:
        form = detect_form(value) if value else None
        if form is not None:
            counts[form if form in counts or len(counts) < MOST_FORMS else OTHER_FORMS] += 1
