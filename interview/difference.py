"""Show how a file would change, without the secrets that an old one may hold. Pure."""

from __future__ import annotations

import difflib
import re

_NAME = r"""(?P<name>\b[\w"']*(?:secret_key|session_token|password|passwd)["']?\s*[:=]\s*)"""
_SECRET = re.compile(_NAME + r"""(?P<value>"[^"]*"|'[^']*'|[^\s,}#]+)""", re.IGNORECASE)
_BLOCK = re.compile(rf"(?P<indent>\s*){_NAME}[|>][-+\d]*\s*(?:#.*)?", re.IGNORECASE)
_LOGIN = re.compile(r"(://[^\s:/@]*:)[^\s@]+@")
MASK = "********"


def masked(text: str) -> str:
    """Return the text of a file of settings without its passwords and secret keys."""
    lines, inside = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if inside is not None and (indent > inside or not line.strip()):
            lines.append(" " * indent + MASK)
            continue
        found = _BLOCK.fullmatch(line)
        inside = len(found["indent"]) if found else None
        lines.append(line if found else _LOGIN.sub(rf"\g<1>{MASK}@", _SECRET.sub(_mask, line)))
    return "\n".join(lines)


def difference(name: str, old: str, new: str) -> str:
    """Return a unified diff for the terminal; empty if nothing changes."""
    lines = difflib.unified_diff(
        masked(old).splitlines(), masked(new).splitlines(), f"{name} (as it is)", f"{name} (new)", lineterm="", n=2
    )
    return "\n".join(lines)


def _mask(found: re.Match[str]) -> str:
    value = found["value"]
    is_template = value.lstrip("\"'").startswith("{{")
    return found[0] if is_template else found["name"] + MASK
