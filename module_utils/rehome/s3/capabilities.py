"""What a service does of what the copy relies on: services that speak S3 differ, and ignore what they do not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found out; the defaults are what Amazon's S3 does.

    missing_source: a copy of an object that is not there is refused (404)
    source_condition: `x-amz-copy-source-if-match` with another ETag is refused (412); where the content is
        streamed, `If-Match` on GetObject of the source
    target_condition: `If-None-Match: *` on a copy is refused where the target object exists (412), and so is
        `If-Match` with another ETag
    put_condition: the same on PutObject
    complete_condition: the same on CompleteMultipartUpload
    etag: a copy's reply has the ETag
    metadata, tags: a copy carries them
    refused_keys: shapes of keys that the target cannot take as they are
    keys_tried: False where the credentials may not delete what a trial of keys leaves behind, so that
        `refused_keys` is caution, not knowledge
    """

    missing_source: bool = True
    source_condition: bool = True
    target_condition: bool = True
    put_condition: bool = True
    complete_condition: bool = True
    etag: bool = True
    metadata: bool = True
    tags: bool = True
    refused_keys: frozenset[KeyShape] = frozenset()
    keys_tried: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it; the same capabilities, the same text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "refused_keys": sorted(self.refused_keys)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Capabilities:
        """Read what `to_json` made. Raises ValueError where another version of Rehome made it."""
        names = {field.name for field in fields(cls)}
        shapes = value.get("refused_keys")
        flags: dict[str, Any] = {name: value.get(name) for name in names - {"refused_keys"}}
        known = isinstance(shapes, list) and all(isinstance(flag, bool) for flag in flags.values())
        if set(value) != names or not known:
            raise ValueError(f"not the capabilities that this version keeps: {sorted(value)}")
        return cls(**flags, refused_keys=frozenset(KeyShape(shape) for shape in shapes or ()))


AMAZON = Capabilities()
"""What the documentation of Amazon's S3 promises."""

_INSTEAD = {
    "missing_source": "the service makes an object of a copy whose source is not there: each source object is "
    "looked up first, which is slower, and one that is deleted at that moment leaves an empty target object",
    "source_condition": "the service ignores the condition on the source's ETag: each source object is looked up "
    "first, which is slower, and one that changes at that moment is found only after its copy is stored",
    "target_condition": "the service ignores If-None-Match or If-Match on copies: each target key is looked up first, "
    "which is slower and leaves a short race with other writers",
    "put_condition": "the service ignores If-None-Match on PutObject: each target key is looked up before it is "
    "written, which is slower and leaves a short race with other writers",
    "complete_condition": "the service ignores If-None-Match on CompleteMultipartUpload: the target key of each "
    "object that is copied in parts is looked up first, which leaves a short race with other writers",
    "etag": "the service does not tell the ETag of a copy: each target object is looked up once more, which is slower",
    "metadata": "the service does not carry metadata along with a copy: it is read from each source object and "
    "sent with the copy, which is slower",
    "tags": "the service does not carry tags along with a copy: they are read from each source object and stored "
    "with the target object, which is slower",
}


def describe(capabilities: Capabilities) -> list[str]:
    """What the services lack and what is done instead, in sentences (without their ends) for the operator."""
    told = [text for name, text in _INSTEAD.items() if not getattr(capabilities, name)]
    shapes = ", ".join(shape.words for shape in KeyShape if shape in capabilities.refused_keys)
    if shapes and capabilities.keys_tried:
        told.append(
            f"the target does not take keys as they are that have {shapes}: objects whose target key would be such "
            "a one are unroutable"
        )
    elif shapes:
        told.append(
            f"whether the target takes keys as they are that have {shapes} was not tried, as these credentials may "
            "not delete what the trial leaves: objects whose target key would be such a one count as unroutable"
        )
    return told
