"""What the values of one column add up to. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..report.samples import shown
from .columns import FoundForm, Standing
from .recognise import BARE, MEDIA_TYPE, Named

MAX_FORMS = 20
"""Forms of a column that are told apart."""
OTHER_FORMS = "in yet other forms"
MAX_COMPARED = 1_000
"""Different values of a column that are looked up in the source's listing."""
MAX_EXAMPLES = 3
SHOWN = 200
"""Characters of an example."""

AROUND = 60
"""Characters on either side of a name in a text that an example shows: the rest is nobody's business."""

_QUERY = re.compile(r"\?[^\s\"'<>()#]*")

DOUBTFUL = frozenset({BARE, MEDIA_TYPE})
"""What is most likely no name of an object."""
UNCLEAR = "in values too long to be told"

Exists = Callable[[Sequence[Sequence[str]]], Sequence[bool]]
"""Returns of each value's possible suffixes whether one is an object's."""


@dataclass(slots=True)
class Evidence:
    """Counts and examples of one column's values, and what to look up in a listing."""

    counts: dict[str, int] = field(default_factory=dict)
    forms: dict[str, str | None] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    suffixes: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, value: str, named: Named | None, *, cut: bool) -> None:
        """Take in a value that the server found."""
        if named is None:
            if not cut:
                return
            named = Named(None, UNCLEAR, ())
        words, form = named.words, named.form
        if words not in self.counts and len(self.counts) >= MAX_FORMS:
            words, form = OTHER_FORMS, None
        self.counts[words] = self.counts.get(words, 0) + 1
        self.forms[words] = form
        examples = self.examples.setdefault(words, [])
        if len(examples) < MAX_EXAMPLES and (example := _example(value, named)) not in examples:
            examples.append(example)
        known = self.suffixes.setdefault(words, {})
        if named.suffixes and len(known) < MAX_COMPARED:
            known.setdefault(named.suffixes[0], list(named.suffixes))

    @property
    def found(self) -> bool:
        """Whether there is more than a doubt."""
        return any(words not in DOUBTFUL for words in self.counts)

    def judged(self, exists: Exists | None) -> tuple[Standing, str, int, int]:
        """Return the standing, what makes it a `may`, how many values were compared, and how many are objects' names.

        exists: None if there is no listing
        """
        if not self.counts:
            return "none", "", 0, 0
        known = [suffixes for group in self.suffixes.values() for suffixes in group.values()]
        existing = sum(exists(known)) if exists and known else 0
        compared = len(known) if exists else 0
        if existing:
            return "names", "", compared, existing
        if exists and known and UNCLEAR not in self.counts and BARE not in self.counts:
            why = f"of {compared:,} different values none is in the source's listing"
            return "may", why, compared, 0
        if self.found and set(self.counts) - DOUBTFUL - {UNCLEAR}:
            return "names", "", compared, 0
        return "may", " and ".join(words for words in self.counts), compared, 0

    def found_forms(self) -> tuple[FoundForm, ...]:
        """Return the forms, the most frequent one first."""
        by_rows = sorted(self.counts.items(), key=lambda pair: -pair[1])
        return tuple(
            FoundForm(self.forms[words], words, rows, tuple(self.examples.get(words, ()))) for words, rows in by_rows
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for the file of an unfinished search."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of_dict(cls, given: Mapping[str, Any]) -> Evidence:
        """Return what `as_dict` has made a mapping of. Raises KeyError for anything else."""
        return cls(**{name: dict(given[name]) for name in cls.__slots__})


def _example(value: str, named: Named) -> str:
    """Return a value, or what is around the name in a text, without what may be secret in a URL."""
    text = _QUERY.sub("?…", value)
    at = text.find(named.suffixes[0]) if named.form is None and named.suffixes else -1
    if at > AROUND or len(text) > SHOWN:
        begin, end = max(at - AROUND, 0), at + len(named.suffixes[0]) + AROUND if at >= 0 else SHOWN
        text = f"{'… ' * (begin > 0)}{text[begin:end]}{' …' * (end < len(text))}"
    return shown(text, SHOWN)
