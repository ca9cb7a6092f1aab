"""Read the rows of the referencing columns that are under the map into a catalog, and count the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress

from ..catalog.catalog import Catalog
from ..config.settings import Reference
from ..db.dialect import Dialect, Key, TableFacts
from ..db.engines.open import connect
from ..db.work.keyset import read_by_keyset
from ..mapping.forms import form_detector
from ..mapping.row_key import key_to_json, keys_to_json
from ..mapping.value_map import ValueMap
from ..run import Run

MAX_FORMS = 20
"""Forms per column that are told apart; all further ones count as one."""
OTHER_FORMS = "in yet other URLs"
SHOWN_VALUE = 1_000
"""Characters of a value that a list or a message shows."""


def read_rows(run: Run) -> int:
    """Read every reference into the catalog. Returns how many rows are not under the map.

    Raises DatabaseError if a table cannot be read completely.
    """
    settings = run.settings
    detect_form = form_detector(settings.keymap, settings.source, settings.target)
    with connect(settings.database) as database, run.catalog.transaction():
        return sum(_read(run, database, reference, detect_form) for reference in settings.references)


def _read(run: Run, database: Dialect, reference: Reference, detect_form: Callable[[str], str | None]) -> int:
    facts = replace(database.describe(reference.table, reference.column), where=reference.where)
    value_map = run.settings.value_map(reference)
    run.progress.stage(f"read {reference.name}")
    read = kept = 0
    others = _OtherForms(run.catalog, reference.name, detect_form)
    with run.catalog.bulk_appender("reference_rows") as appender:
        for batch in read_by_keyset(database, facts):
            is_old, suffixes = _match(batch.values, value_map)
            is_covered = [suffix is not None for suffix in suffixes]
            count = sum(is_covered)
            if count:
                old, values = list(compress(is_old, is_covered)), list(compress(batch.values, is_covered))
                appender.append(
                    [reference.name] * count,
                    range(kept, kept + count),
                    keys_to_json(list(compress(batch.keys, is_covered))),
                    values,
                    list(compress(suffixes, is_covered)),
                    old,
                    _overflows(facts, value_map, values, old),
                )
            if count < len(batch):
                others.add(batch.keys, batch.values, is_covered)
            read, kept = read + len(batch), kept + count
            run.progress.at(read)
    return read - kept


def _match(values: Sequence[str | None], value_map: ValueMap) -> tuple[list[bool], Sequence[str | None]]:
    """Return for each value whether it is an old one, and its key's suffix if it is an old or a new one."""
    suffixes = value_map.suffixes_if_old(values) if value_map.moves else [None] * len(values)
    is_old = [suffix is not None for suffix in suffixes]
    if not any(is_old):
        suffixes = value_map.suffixes_if_new(values)
    elif not all(is_old):
        if_new = value_map.suffix_if_new
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


class _OtherForms:
    """Lists the rows of a reference that would be under the map if it had another form."""

    def __init__(self, catalog: Catalog, reference: str, detect_form: Callable[[str], str | None]) -> None:
        self._catalog = catalog
        self._reference = reference
        self._detect_form = detect_form
        self._forms: set[str] = set()
        self._sampled = False

    def add(self, keys: Sequence[Key], values: Sequence[str | None], is_covered: Sequence[bool]) -> None:
        """Look at those rows of a batch that are not under the map."""
        found = []
        for key, value, covered in zip(keys, values, is_covered, strict=True):
            if covered or not value:
                continue
            if not self._sampled and "/" in value[:SHOWN_VALUE]:
                # its folder only: what else a mistaken column holds is nobody's business
                self._catalog.append("foreign_samples", [("row", value[: value.index("/") + 1])])
                self._sampled = True
            if form := self._detect_form(value):
                found.append((self._reference, key_to_json(key), value[:SHOWN_VALUE], self._known(form)))
        self._catalog.append("other_forms", found)

    def _known(self, form: str) -> str:
        if form not in self._forms and len(self._forms) >= MAX_FORMS:
            return OTHER_FORMS
        self._forms.add(form)
        return form
