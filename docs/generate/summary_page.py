"""The page docs/summary.md: every field of summary.json, and how the counts add up."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from docs.generate.rendering import render_template
from docs.generate.typed_fields import classes, fields, tree

PATH = "docs/summary.md"

GROUPS = {
    "RunCounts": "Counts of every verb",
    "VerifyCounts": "Counts of a verification",
    "RetireCounts": "Counts of a retirement",
    "RemovalCounts": "Counts of the removal of copies",
    "SummaryFields": "What else it says",
}
"""Class of `report.fields` → the title of its table."""


def render() -> str:
    """Return the page, as Markdown."""
    return render_template("summary.md.j2", groups=list(_groups()), identities=list(_identities()))


def _groups() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the title of each group of fields, and its fields with what their docstrings say."""
    groups = classes("fields")
    for name, title in GROUPS.items():
        yield title, [(field.name, field.meaning) for field in fields(groups[name])]


def _identities() -> Iterator[tuple[str, str, str]]:
    """Yield what each equation of `report.identities` means, its sum, and its parts with their signs."""
    for node in ast.walk(tree("identities")):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Identity":
            whole, parts, says = (ast.literal_eval(argument) for argument in node.args)
            text = " ".join(f"- `{part[1:]}`" if part.startswith("-") else f"+ `{part}`" for part in parts)
            yield says, whole, text.removeprefix("+ ")
