"""TODO-DOC."""

from __future__ import annotations

import re
from enum import StrEnum


class KeyShape(StrEnum):
    """Keys that are legal in S3 and that some services refuse, rename or mix up with others."""

    DOT_SEGMENT = "dot_segment"
    """a segment that is `.` or `..`"""
    EMPTY_SEGMENT = "empty_segment"
    """`//`, or a leading `/`"""
    FOLDER = "folder"
    """a `/` at its end, as what consoles make of a new folder"""
    BACKSLASH = "backslash"
    NUL = "nul"
    LINE_BREAK = "line_break"
    """a line feed or a carriage return"""
    CONTROL = "control"
    """another character below space, or DEL"""
    LONG_SEGMENT = "long_segment"
    """more than 255 bytes between two `/`"""

    @property
    def words(self) -> str:
        """What a key of this shape has."""
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
"""Shapes to keep away from a target that was not tried. Markers of folders are common, and never stored under the
name of another object: where such a copy fails it does so for all to see."""


MAX_KEY_BYTES = 1024
"""Longest key that S3 takes, in UTF-8 bytes ("Naming Amazon S3 objects", user guide)."""


LONGEST_SEGMENT = 255
"""Bytes of a file's name that Linux takes (NAME_MAX), and with it services that keep objects as files."""


_DOT_SEGMENT = re.compile(r"(?:\A|/)\.\.?(?:/|\Z)")


_CONTROL = re.compile(r"[\x01-\x09\x0b\x0c\x0e-\x1f\x7f]")


def shapes_of(key: str) -> frozenset[KeyShape]:
    """The shapes that a key has; most keys have none."""
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
    # A character has four bytes at most, so a short key cannot have a long segment.
    if 4 * len(key) > LONGEST_SEGMENT and any(len(part) > LONGEST_SEGMENT for part in key.encode().split(b"/")):
        found.add(KeyShape.LONG_SEGMENT)
    return frozenset(found)
