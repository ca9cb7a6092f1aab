"""Read the rights of a user from the lines of SHOW GRANTS. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_LINE: Final = re.compile(r"(GRANT|REVOKE) (.+?) ON (\*|`(?:[^`]|``)+`)\.\* (?:TO|FROM) ")
"""A right on all schemas or on one. A MySQL server lists its partial revokes as REVOKE."""


_NAME: Final = r"(\*|`(?:[^`]|``)+`)"
_ANY_LINE: Final = re.compile(rf"GRANT (.+) ON (?:TABLE )?{_NAME}\.{_NAME} TO ")
_RIGHT: Final = re.compile(r"([A-Z][A-Z ]*?)( \((?:`(?:[^`]|``)+`(?:, )?)+\))?(?:, |$)")


class Held(NamedTuple):
    """Rights by what they are held on, each including the wider ones; ALL PRIVILEGES is `ALL`.

    on_columns: those on some column
    """

    everywhere: frozenset[str]
    on_schema: frozenset[str]
    on_table: frozenset[str]
    on_columns: frozenset[str]


def held_on(lines: Sequence[str], schema: str, table: str) -> Held:
    """Return the rights that matter for a table. lines: of SHOW GRANTS, which has those of the active roles, too"""
    everywhere, on_schema, on_table, on_columns = set[str](), set[str](), set[str](), set[str]()
    for found in filter(None, map(_ANY_LINE.match, lines)):
        rights, of_schema, of_table = found.groups()
        if of_table == "*" and of_schema == "*":
            everywhere |= _whole(rights)
        elif of_table == "*" and _covers(of_schema, schema):
            on_schema |= _whole(rights)
        elif (_plain(of_schema), _plain(of_table)) == (schema, table):
            on_table |= _whole(rights)
            on_columns |= {right for right, columns in _RIGHT.findall(rights) if columns}
    for line in lines:
        if (revoked := _LINE.match(line)) and revoked[1] == "REVOKE" and _covers(revoked[3], schema):
            everywhere -= _whole(revoked[2])
    on_schema |= everywhere
    return Held(*map(frozenset, (everywhere, on_schema, on_table | on_schema, on_columns)))


def _whole(rights: str) -> set[str]:
    words = {right for right, columns in _RIGHT.findall(rights) if not columns}
    return words | {"ALL"} if "ALL PRIVILEGES" in words else words


def _plain(name: str) -> str:
    return name if name == "*" else name[1:-1].replace("``", "`")


def holds_on_schema(lines: Sequence[str], right: str, schema: str) -> bool:
    """Return whether a right is held on all tables of a schema.

    lines: of SHOW GRANTS, which has those of the active roles, too
    """
    held = {"GRANT": False, "REVOKE": False}
    for found in filter(None, map(_LINE.match, lines)):
        verb, rights, place = found.groups()
        if _covers(place, schema) and {right, "ALL", "ALL PRIVILEGES"} & set(rights.split(", ")):
            held[verb] = True
    return held["GRANT"] and not held["REVOKE"]


def _covers(place: str, schema: str) -> bool:
    """Return whether a place of a GRANT means the schema: `%` and `_` are wildcards there unless escaped."""
    if place == "*":
        return True
    parts = re.findall(r"\\.|.", place[1:-1].replace("``", "`"), flags=re.DOTALL)
    wild = {"%": ".*", "_": "."}
    pattern = "".join(wild.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(pattern, schema, flags=re.DOTALL | re.IGNORECASE) is not None
