"""The page docs/summary.md: every field of summary.json, and how the counts add up."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from docs.generate.rendering import render_template
from docs.generate.settings import ROOT

PATH = "docs/summary.md"

REPORT = ROOT / "module_utils" / "rehome" / "report"

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
    classes = {node.name: node for node in _tree("fields").body if isinstance(node, ast.ClassDef)}
    for name, title in GROUPS.items():
        yield title, list(_fields(classes[name]))


def _fields(group: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for node, after in zip(group.body, [*group.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            text = after.value if isinstance(after, ast.Expr) else None
            meaning = text.value if isinstance(text, ast.Constant) else ""
            yield ast.unparse(node.target), " ".join(str(meaning).split()).replace("|", "\\|")


def _identities() -> Iterator[tuple[str, str, str]]:
    """Yield what each equation of `report.identities` means, its sum, and its parts with their signs."""
    for node in ast.walk(_tree("identities")):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Identity":
            whole, parts, says = (ast.literal_eval(argument) for argument in node.args)
            text = " ".join(f"- `{part[1:]}`" if part.startswith("-") else f"+ `{part}`" for part in parts)
            yield says, whole, text.removeprefix("+ ")


def _tree(module: str) -> ast.Module:
    return ast.parse((REPORT / f"{module}.py").read_text(encoding="utf-8"))
