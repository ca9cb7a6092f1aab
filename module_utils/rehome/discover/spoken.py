"""What the server is asked for: texts that each value that names an object of the source contains."""

from __future__ import annotations

import re

from ..db.search import Texts
from ..mapping.keymap import KeyMap
from ..mapping.spellings import plain_part

SHORTEST_NAME = 3
"""Characters that a glob must have beside its wildcards for bare names to be looked for: fewer select anything."""


def texts_for(keymap: KeyMap) -> Texts:
    """Return what to ask for. The hint is empty if neither prefix nor globs have a text that every name has."""
    prefix = keymap.source_prefix
    hint = plain_part(prefix) or _common_literal(keymap.include)
    return Texts(hint, tuple(hint + mark for mark in _after(prefix, hint)))


def _after(prefix: str, hint: str) -> tuple[str, ...]:
    """Return what may follow the hint in a name, however it is spelled; nothing if that may be anything.

    The character of the prefix itself; the backslash that escapes it or stands for it; or its percent-encoding.
    """
    following = prefix[prefix.find(hint) + len(hint) :][:1] if hint in prefix else ""
    return tuple(dict.fromkeys((following, "\\", "%"))) if hint and following else ()


def bare_name(keymap: KeyMap) -> str:
    """Return the glob of bare names to ask for; empty if there is none that is narrow enough."""
    globs = [glob for glob in keymap.include if len(re.sub(r"\[[^\]]*\]|[*?]", "", glob)) >= SHORTEST_NAME]
    return globs[0] if len(keymap.include) == 1 and globs else ""


def _common_literal(include: tuple[str, ...]) -> str:
    """Return a text that every suffix under the globs contains, if there is one glob only."""
    if len(include) != 1 or "[" in include[0]:
        return ""
    return max((plain_part(part) for part in re.split(r"[*?]", include[0])), key=len, default="")
