"""Look into the database: which columns hold paths of the objects that move, and how values of a form would change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import yaml
from rehome.codes import Code
from rehome.config.settings import Database, Side
from rehome.db.dialect import DatabaseError, Dialect, UnknownColumnError, UnknownTableError, UnusableTableError
from rehome.discover.columns import FoundColumn, FoundForm
from rehome.discover.recognise import Recogniser
from rehome.discover.search import discover_columns
from rehome.errors import Finding, RefusedError
from rehome.mapping.forms import NAMES, read_form
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import ValueMap

from .bucket_listing import Measured

SAMPLE = 500
"""Values that are looked at of a column that the search does not see."""


class Column(NamedTuple):
    """A column by its names."""

    table: str
    column: str

    @property
    def name(self) -> str:
        """`table.column`, as messages name it."""
        return f"{self.table}.{self.column}"


def parse_column(text: str) -> Column | None:
    """Return the column of `table.column` (or `schema.table.column`); None if it is none."""
    table, dot, column = text.strip().rpartition(".")
    return Column(table, column) if dot and table and column else None


class Columns:
    """The columns of a database, seen from a migration.

    listed: what is under the source's prefix, to tell names of objects from others, if it is all of it
    """

    def __init__(self, database: Database, source: Side, target: Side, keymap: KeyMap, listed: Measured | None) -> None:
        self._database = database
        self._source = source
        self._target = target
        self._keymap = keymap
        self._listed = listed

    def search(self) -> list[FoundColumn]:
        """Return every column that may hold texts, and what could not be searched.

        Raises DatabaseError if the database does not say what it has.
        """
        keymap, source = self._keymap, self._source
        return discover_columns(
            self._database, source, source.prefix, keymap.include, keymap.exclude, exists=self._exists()
        )

    def _exists(self) -> Callable[[Sequence[Sequence[str]]], Sequence[bool]] | None:
        if self._listed is None or self._listed.more:
            return None
        known = frozenset(self._listed.suffixes)
        return lambda candidates: [not known.isdisjoint(suffixes) for suffixes in candidates]

    def problem_of(self, database: Dialect, column: Column) -> Finding | None:
        """Return why a column cannot be rewritten, by the engine's own words."""
        try:
            database.describe(column.table, column.column)
        except (UnknownTableError, UnknownColumnError, UnusableTableError, DatabaseError) as error:
            return Finding(
                "rehome_references",
                column.name,
                str(error).rstrip("."),
                "Name another column",
                error.trouble or Code.NO_TABLE,
            )
        return None

    def sample(self, database: Dialect, column: Column) -> FoundColumn:
        """Look at some values of a column that can be rewritten. Raises DatabaseError."""
        facts = database.describe(column.table, column.column)
        source, keymap = self._source, self._keymap
        recognise = Recogniser(source, source.prefix, keymap.include, keymap.exclude)
        batch = database.read_batch(facts, None, SAMPLE)
        found: dict[tuple[str | None, str], list[str]] = {}
        for value in batch.values:
            named = recognise(value) if value is not None else None
            if named is not None:
                found.setdefault((named.form, named.words), []).append(str(value))
        forms = [FoundForm(form, words, len(values), tuple(values[:1])) for (form, words), values in found.items()]
        return FoundColumn(
            *column,
            type="",
            standing="names" if forms else "none",
            forms=tuple(sorted(forms, key=lambda form: -form.rows)),
            rows_read=len(batch),
        )

    def value_map(self, form: object) -> ValueMap:
        """Return how values of this form change. Raises RefusedError if it is no form, or lacks something here."""
        return ValueMap(self._keymap, read_form("rehome_references[].form", form, self._source, self._target))

    def forms(self) -> list[str]:
        """Return the names of the forms that can be used between source and target."""
        usable = []
        for name in NAMES:
            try:
                self.value_map(name)
            except RefusedError:
                continue
            usable.append(name)
        return usable


def form_of(text: str) -> Any:
    """Return a form as settings have it, from its text: a name, or a mapping in YAML."""
    try:
        return text if text in NAMES else yaml.safe_load(text)
    except yaml.YAMLError:
        return text
