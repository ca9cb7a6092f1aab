"""Read the classes of the engine's room `report` whose fields are documented: names, types, and what docstrings say."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from docs.generate.settings import ROOT

REPORT = ROOT / "module_utils" / "rehome" / "report"


class Field(NamedTuple):
    """A field of a class. `meaning` is empty if its name says it all."""

    name: str
    type: str
    meaning: str


def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module of the room."""
    return ast.parse((REPORT / f"{module}.py").read_text(encoding="utf-8"))


def classes(module: str) -> Mapping[str, ast.ClassDef]:
    """Return the classes of a module of the room, in their order."""
    return {node.name: node for node in tree(module).body if isinstance(node, ast.ClassDef)}


def fields(group: ast.ClassDef) -> Iterator[Field]:
    """Yield the fields of a class, fit for a table."""
    for node, after in zip(group.body, [*group.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            text = after.value if isinstance(after, ast.Expr) else None
            meaning = text.value if isinstance(text, ast.Constant) else ""
            yield Field(ast.unparse(node.target), _cell(ast.unparse(node.annotation)), _cell(str(meaning)))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
