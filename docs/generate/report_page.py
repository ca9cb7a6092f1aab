"""The page docs/report.md: what the report of a run has, and every fact of report.json."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from docs.generate.rendering import render_template
from docs.generate.typed_fields import Field, classes, fields

PATH = "docs/report.md"

_WHOLE = "Report"
_PARTS = "KeptFacts"
"""What the whole has beside its own fields."""


def render() -> str:
    """Return the page, as Markdown."""
    groups = classes("facts")
    whole = [*fields(groups[_WHOLE]), *fields(groups[_PARTS])]
    return render_template("report.md.j2", whole=whole, groups=list(_groups()))


def _groups() -> Iterator[tuple[str, str, list[Field]]]:
    """Yield each other class, with what it is and its fields."""
    for name, group in classes("facts").items():
        if name not in (_WHOLE, _PARTS):
            yield name, " ".join((ast.get_docstring(group) or "").split()), list(fields(group))
