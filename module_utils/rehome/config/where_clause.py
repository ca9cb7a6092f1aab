"""An SQL condition of the user's own, read as text: whether it can stand in parentheses inside our statements."""

from __future__ import annotations

import re
from typing import NamedTuple

_SINGLE, _DOUBLE, _BACKTICKS = r"'(?:[^']|'')*'", r'"(?:[^"]|"")*"', r"`(?:[^`]|``)*`"
_COMMENTS = ("--", "/*", "*/")


class _Grammar(NamedTuple):
    """quoted: what a server takes for a literal or a name; refused: marks that a condition has no use for outside"""

    quoted: re.Pattern[str]
    refused: tuple[str, ...]


_MYSQL = _Grammar(
    re.compile(rf"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|{_BACKTICKS}""", re.DOTALL), (*_COMMENTS, "#", ";")
)
_GRAMMARS = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    # `$1` would be a parameter of ours, and `$$` a quote
    "postgresql": _Grammar(
        re.compile(rf"(?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*'|{_SINGLE}|{_DOUBLE}", re.DOTALL), (*_COMMENTS, ";", "$")
    ),
    # `?` and the names that begin with the others would be parameters of ours
    "sqlite": _Grammar(
        re.compile(rf"{_SINGLE}|{_DOUBLE}|{_BACKTICKS}|\[[^\]]*\]"), (*_COMMENTS, ";", "?", ":", "@", "$")
    ),
}


def objection(condition: str, engine: str) -> str | None:
    """Why `condition` cannot be part of a statement to `engine`, as a sentence without its end, or None where it can.

    Whether it makes sense is the server's to say.
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
