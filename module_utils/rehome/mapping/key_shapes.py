"""Key shapes: legal S3 keys that some services refuse, or store under the name of another key."""

from __future__ import annotations

import re
from enum import StrEnum

MAX_KEY_BYTES = 1024
"""The longest key that S3 takes, in UTF-8 bytes ("Naming Amazon S3 objects", S3 user guide)."""

LONGEST_SEGMENT = 255
"""The longest file name on Linux, in bytes (NAME_MAX), and so the limit of services that keep objects as files."""

_DOT_SEGMENT = re.compile(r"(?:\A|/)\.\.?(?:/|\Z)")
_CONTROL = re.compile(r"[\x01-\x09\x0b\x0c\x0e-\x1f\x7f]")


class KeyShape(StrEnum):
    """A property of a key that some services do not support."""

    DOT_SEGMENT = "dot_segment"
    EMPTY_SEGMENT = "empty_segment"
    FOLDER = "folder"
    BACKSLASH = "backslash"
    NUL = "nul"
    LINE_BREAK = "line_break"
    CONTROL = "control"
    LONG_SEGMENT = "long_segment"

    @property
    def words(self) -> str:
        """What a key of this shape has, to follow "the key has"."""
        return _WORDS[self]


_WORDS = {
    KeyShape.DOT_SEGMENT: "a segment that is `.` or `..`",
    KeyShape.EMPTY_SEGMENT: "an empty segment (`//`, or a leading `/`)",
    KeyShape.FOLDER: "a `/` at its end (a folder's marker)",
    KeyShape.BACKSLASH: "a backslash",
    KeyShape.NUL: "a NUL character",
    KeyShape.LINE_BREAK: "a line break",
    KeyShape.CONTROL: "a control character",
    KeyShape.LONG_SEGMENT: "a segment of more than 255 bytes",
}

UNTRIED_SHAPES = frozenset(KeyShape) - {KeyShape.FOLDER}
"""The shapes that are not sent to a target before it was probed. Folder markers are common, and no service stores one
under another object's name: if such a copy fails, it fails visibly."""


def shapes_of(key: str) -> frozenset[KeyShape]:
    """Return the shapes of a key. Most keys have none."""
    found = set()
    if _DOT_SEGMENT.search(key):
        found.add(KeyShape.DOT_SEGMENT)
    if "//" in key or key.startswith("/"):
        found.add(KeyShape.EMPTY_SEGMENT)
    if key.endswith("/"):
        found.add(KeyShape.FOLDER)
    if "\\" in key:
        found.add(KeyShape.BACKSLASH)
    if "\0" in key:
        found.add(KeyShape.NUL)
    if "\n" in key or "\r" in key:
        found.add(KeyShape.LINE_BREAK)
    if _CONTROL.search(key):
        found.add(KeyShape.CONTROL)
    # a character has four bytes at most, so that a short key cannot have a long segment
    if 4 * len(key) > LONGEST_SEGMENT and any(len(part) > LONGEST_SEGMENT for part in key.encode().split(b"/")):
        found.add(KeyShape.LONG_SEGMENT)
    return frozenset(found)
