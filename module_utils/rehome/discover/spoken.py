"""What the server is asked for: texts that each value that names an object of the source contains."""

from __future__ import annotations

import re
from urllib.parse import quote

from ..db.search import Texts
from ..mapping.keymap import KeyMap
from ..mapping.spellings import plain_part

SHORTEST_NAME = 3
"""Characters that a glob must have beside its wildcards for bare names to be looked for: fewer select anything."""


def texts_for(keymap: KeyMap) -> Texts:
    """Return what to ask for. The hint is empty if neither prefix nor globs have a text that every name has."""
    prefix = keymap.source_prefix
    hint = plain_part(prefix) or _common_literal(keymap.include)
    # a prefix that is its own hint needs no closer look
    spelled = () if prefix in ("", hint) else spellings_of(prefix)
    return Texts(hint, spelled)


def bare_name(keymap: KeyMap) -> str:
    """Return the glob of bare names to ask for; empty if there is none that is narrow enough."""
    globs = [glob for glob in keymap.include if len(re.sub(r"\[[^\]]*\]|[*?]", "", glob)) >= SHORTEST_NAME]
    return globs[0] if len(keymap.include) == 1 and globs else ""


def spellings_of(prefix: str) -> tuple[str, ...]:
    """Return how texts spell a prefix: as it is, escaped in JSON, with backslashes, percent-encoded once and twice."""
    once = [quote(prefix, safe="/"), quote(prefix, safe="")]
    once += [re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), text) for text in once]
    found = [prefix, prefix.replace("/", "\\/"), prefix.replace("/", "\\"), *once, *(quote(text) for text in once)]
    return tuple(dict.fromkeys(found))


def _common_literal(include: tuple[str, ...]) -> str:
    """Return a text that every suffix under the globs contains, if there is one glob only."""
    if len(include) != 1 or "[" in include[0]:
        return ""
    return max((plain_part(part) for part in re.split(r"[*?]", include[0])), key=len, default="")
