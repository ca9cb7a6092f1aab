"""What the lines for a terminal are made of: sizes, times, labels, and keys and values that cannot spoil a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from ..codes import codes_in, unmarked

WIDTH: Final = 80
"""Columns of the smallest terminal that a text is made for. A command or a path is never broken, and may be longer."""
LABEL: Final = 9
"""Columns of the word that a line begins with, and the space after it."""

_SINGULAR: Final = {
    "objects": "object",
    "rows": "row",
    "copies": "copy",
    "conflicts": "conflict",
    "orphans": "orphan",
    "restores": "restore",
}
_NOUN: Final = re.compile(rf"\b({'|'.join(_SINGULAR)})\b")


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def elapsed(began: str, ended: str) -> str:
    """Return how long something took, between two times in ISO 8601."""
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    if seconds < 90:
        return f"{seconds:,.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60} min"


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, such as `1 row` and `2 rows`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def labelled(label: str, text: str) -> str:
    """Return a line that begins with a word to look for."""
    return f"{label:<{LABEL}}{text}"


def named(counts: Mapping[str, int], names: Mapping[str, str]) -> list[str]:
    """Return `<count> <words>` for each count that is not 0.

    names: count → its words, for several
    """
    return [f"{counts[name]:,} {_for(counts[name], words)}" for name, words in names.items() if counts.get(name)]


def _for(count: int, words: str) -> str:
    return words if count != 1 else _NOUN.sub(lambda noun: _SINGULAR[noun[0]], words, count=1)


def packed(items: Sequence[str], most: int, width: int = WIDTH - LABEL) -> list[str]:
    """Return lines of items, with `; ` between them. If `most` lines do not hold all, the last one is longer."""
    lines: list[str] = []
    for item in items:
        if lines and (len(lines) >= most or len(lines[-1]) + len(item) + 2 <= width):
            lines[-1] += f"; {item}"
        else:
            lines.append(item)
    return lines


def under(label: str, lines: Iterable[str]) -> list[str]:
    """Return lines of which the first has the label."""
    return [labelled(label if not place else "", line) for place, line in enumerate(lines)]


def visible(text: str) -> str:
    """Return a text without what would break a line or command a terminal: as in Python, such as `\\x1b`."""
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def shortened(text: str, longest: int) -> str:
    """Return a text with its middle left out if it is longer: keys differ at their ends."""
    text = visible(text)
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


def first_sentence(text: str, longest: int = 200) -> str:
    """Return what a message says first, which names setting, value and problem, with its code."""
    text = " ".join(text.split())
    code = "".join(codes_in(text)[-1:])
    head = unmarked(text).partition(". ")[0].rstrip(".")
    return marked_with(shortened(head, longest), code)


def marked_with(text: str, code: str) -> str:
    """Return a text with the code of the message that it is of."""
    return f"{text} [{code}]" if code else text
