"""Check of an SQL condition from the settings, as text: whether it can be put in parentheses in our statements."""

from __future__ import annotations

import re
from typing import NamedTuple

_SINGLE, _DOUBLE, _BACKTICKS = r"'(?:[^']|'')*'", r'"(?:[^"]|"")*"', r"`(?:[^`]|``)*`"
_COMMENTS = ("--", "/*", "*/")


class _Grammar(NamedTuple):
    """quoted: literals and quoted names; refused: what a condition may not have outside of them"""

    quoted: re.Pattern[str]
    refused: tuple[str, ...]


_MYSQL = _Grammar(
    re.compile(rf"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|{_BACKTICKS}""", re.DOTALL), (*_COMMENTS, "#", ";")
)
_GRAMMARS = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    # `$1` would be one of our parameters, and `$$` a quote
    "postgresql": _Grammar(
        re.compile(rf"(?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*'|{_SINGLE}|{_DOUBLE}", re.DOTALL), (*_COMMENTS, ";", "$")
    ),
    # `?` and names that begin with the other characters would be our parameters
    "sqlite": _Grammar(
        re.compile(rf"{_SINGLE}|{_DOUBLE}|{_BACKTICKS}|\[[^\]]*\]"), (*_COMMENTS, ";", "?", ":", "@", "$")
    ),
}


def objection(condition: str, engine: str) -> str | None:
    """Return why `condition` cannot be part of a statement, as the end of a sentence, or None if it can.

    engine: the database, one of `EngineName`
    Whether the condition is valid SQL, only the server can check.
    """
    grammar = _GRAMMARS[engine]
    bare = grammar.quoted.sub(" ", condition)
    if not condition.strip():
        return "is empty"
    if "\0" in condition or any(quote in bare for quote in ("'", '"')):
        return "has a quote that is not closed"
    found = [mark for mark in grammar.refused if mark in bare]
    if found:
        return f"has {' and '.join(found)} outside of quotes, which a condition has no use for here"
    depth = 0
    for mark in re.findall("[()]", bare):
        depth += 1 if mark == "(" else -1
        if depth < 0:
            break
    return "has parentheses that do not match" if depth else None
