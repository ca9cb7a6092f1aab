"""What is known of a column after the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Standing = Literal["reference", "names", "may", "none", "not_searched"]
"""`reference`: the settings have it. `names`: its values name objects. `may`: what was found is most likely something
else, or cannot be told. `none`: nothing was found, in all rows or in a sample. `not_searched`: unknown."""


@dataclass(frozen=True, slots=True)
class FoundForm:
    """Values of one form. form: as the settings of a reference write it, None if there is none; words: for people"""

    form: str | None
    words: str
    rows: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column that the search has looked at, or has not.

    table: as a reference names it; column: empty for a whole table or schema that was not searched
    why: why it was not searched, or not to its end; what makes it a `may`
    forms: the most frequent one first
    rows_read: of the table; all of them if `whole`
    rows_total: of the table, by the server's statistics where not all were read; None: unknown
    compared, existing: of the values found, how many were looked up in the source's listing, and how many are there
    no_reference: why the settings cannot name it as a reference; empty if they can
    """

    table: str
    column: str
    type: str
    standing: Standing
    why: str = ""
    forms: tuple[FoundForm, ...] = ()
    rows_read: int = 0
    rows_total: int | None = None
    whole: bool = False
    compared: int = 0
    existing: int = 0
    no_reference: str = ""

    @property
    def name(self) -> str:
        """`table.column`, as references are named."""
        return f"{self.table}.{self.column}" if self.column else self.table

    @property
    def rows(self) -> int:
        """The rows found: exact if `whole`."""
        return sum(form.rows for form in self.forms)

    @property
    def estimated(self) -> int | None:
        """How many rows of the table name objects; None if that cannot be said."""
        if self.whole:
            return self.rows
        if not self.rows_total or not self.rows_read:
            return None
        return max(self.rows, round(self.rows * self.rows_total / self.rows_read))

    @property
    def form(self) -> str | None:
        """The most frequent form that settings can name; None if there is none, or the column can be no reference."""
        return None if self.no_reference else next((found.form for found in self.forms if found.form), None)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a file."""
        return {**asdict(self), "rows": self.rows, "estimated": self.estimated}

    @classmethod
    def of_dict(cls, given: Mapping[str, Any]) -> FoundColumn:
        """Return what `as_dict` has made a mapping of. Raises KeyError and TypeError for anything else."""
        fields = {name: given[name] for name in cls.__slots__}
        forms = tuple(FoundForm(**{**form, "examples": tuple(form["examples"])}) for form in fields.pop("forms"))
        return cls(**fields, forms=forms)
