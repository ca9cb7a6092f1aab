"""Which signs a terminal may be given. Pure."""

from __future__ import annotations

import re
from typing import Final

ASCII: Final = str.maketrans(
    {"·": "-", "→": "->", "…": "...", "≈": "~", "\u2013": "-", "\u2014": "-", "✓": "+", "\u00d7": "x"}
)
"""What stands for the signs of Rehome's texts where a terminal has ASCII only."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def readable(text: str, *, ascii_only: bool = False) -> str:
    """Return a text with its control characters spelled out: a key may hold what a terminal takes for a command."""
    text = text.replace("\r\n", "\n").expandtabs()
    text = _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
    return text.translate(ASCII) if ascii_only else text


def in_one_line(text: object) -> str:
    """Return a text without line breaks and control characters."""
    return readable(" ".join(str(text).split()))
