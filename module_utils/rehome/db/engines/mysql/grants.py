"""Read the rights of a user from the lines of SHOW GRANTS. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_LINE: Final = re.compile(r"(GRANT|REVOKE) (.+?) ON (\*|`(?:[^`]|``)+`)\.\* (?:TO|FROM) ")
"""A right on all schemas or on one. A MySQL server lists its partial revokes as REVOKE."""


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
