"""The expressions in the information schema of MariaDB and MySQL: what they name, and their SQL. Text only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .session import Product
from .statements import identifier

_ESCAPED: Final = {"0": "\0", "n": "\n", "r": "\r", "Z": "\x1a"}


def as_sql(text: str, product: Product) -> str:
    """Return the SQL of an expression. MySQL shows it escaped as within a text (`_utf8mb4\\'x\\'`), MariaDB plainly."""
    if product == "MariaDB":
        return text
    return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), text, flags=re.DOTALL)


def mentions(expression: str, name: str) -> bool:
    """Return whether an expression mentions the column. A text that holds the name counts, too."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", expression, re.IGNORECASE) is not None


def computed_from(column: str, expressions: Mapping[str, str | None]) -> list[str]:
    """Return the generated columns that are computed from the column, or from another one that is.

    expressions: of the columns of the table, by name; empty for those that are not generated
    """
    found: list[str] = []
    sources = [column]
    while sources:
        source = sources.pop()
        more = [name for name, text in expressions.items() if text and name not in found and mentions(text, source)]
        found += more
        sources += more
    return [name for name in expressions if name in found]


def in_place(made: Mapping[str, str], sql: str) -> str:
    """Return an expression with the SQL of generated columns in place of their names, which are always quoted.

    made: the SQL of the columns, by name
    """
    for name, of_column in made.items():
        sql = sql.replace(identifier(name), of_column)
    return sql


def in_collation(sql: str, collation: str | None) -> str:
    """Return an expression as a column of this collation holds it; None: a column that holds no text."""
    if collation is None:
        return sql
    return f"CONVERT({sql} USING {collation.partition('_')[0]}) COLLATE {collation}"
