"""What a service supports of what the copy relies on: S3-compatible services ignore what they do not support."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..mapping.key_shapes import KeyShape


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the probe found. The defaults are what Amazon's S3 supports.

    missing_source: a copy of an object that does not exist is refused (404)
    source_condition: `x-amz-copy-source-if-match` with another ETag is refused (412); if the content is streamed,
        `If-Match` on GetObject of the source
    target_condition: `If-None-Match: *` on a copy is refused if the target object exists (412), and so is `If-Match`
        with another ETag
    put_condition: the same on PutObject
    complete_condition: the same on CompleteMultipartUpload
    etag: the reply to a copy has the ETag
    metadata, tags: a copy carries them
    refused_keys: shapes of keys that the target does not store unchanged
    keys_tried: False if the credentials may not delete what a trial of keys would leave behind; `refused_keys` is
        then an assumption
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
        """Return the capabilities as JSON values, with lists sorted."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "refused_keys": sorted(self.refused_keys)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Capabilities:
        """Read what `to_json` returned. Raises ValueError if another version of Rehome wrote it."""
        names = {field.name for field in fields(cls)}
        shapes = value.get("refused_keys")
        flags: dict[str, Any] = {name: value.get(name) for name in names - {"refused_keys"}}
        known = isinstance(shapes, list) and all(isinstance(flag, bool) for flag in flags.values())
        if set(value) != names or not known:
            raise ValueError(f"not the capabilities that this version keeps: {sorted(value)}")
        return cls(**flags, refused_keys=frozenset(KeyShape(shape) for shape in shapes or ()))


AMAZON = Capabilities()
"""Amazon's S3, by its documentation."""

_WORKAROUNDS = {
    "missing_source": "the service creates an object if a copy has no source: each source object is read "
    "by HEAD first, which is slower, and one that is deleted at that moment leaves an empty target object",
    "source_condition": "the service ignores the condition on the source's ETag: each source object is read by HEAD "
    "first, which is slower, and one that changes at that moment is found only after its copy is stored",
    "target_condition": "the service ignores If-None-Match or If-Match on copies: each target key is read by HEAD "
    "first, which is slower and leaves a short race with other writers",
    "put_condition": "the service ignores If-None-Match on PutObject: each target key is read by HEAD before it is "
    "written, which is slower and leaves a short race with other writers",
    "complete_condition": "the service ignores If-None-Match on CompleteMultipartUpload: the target key of each "
    "object that is copied in parts is read by HEAD first, which leaves a short race with other writers",
    "etag": "the service does not return the ETag of a copy: each target object is read by HEAD afterwards, which is "
    "slower",
    "metadata": "the service does not carry metadata along with a copy: it is read from each source object and "
    "sent with the copy, which is slower",
    "tags": "the service does not carry tags along with a copy: they are read from each source object and stored "
    "with the target object, which is slower",
}


def describe(capabilities: Capabilities) -> list[str]:
    """Return what the services lack and what is done instead, for the operator: sentences without their full stops."""
    lines = [text for name, text in _WORKAROUNDS.items() if not getattr(capabilities, name)]
    shapes = ", ".join(shape.words for shape in KeyShape if shape in capabilities.refused_keys)
    if shapes and capabilities.keys_tried:
        lines.append(
            f"the target does not store keys unchanged that have {shapes}: objects with such a target key are "
            "unroutable"
        )
    elif shapes:
        lines.append(
            f"whether the target stores keys unchanged that have {shapes} was not tried, as these credentials may "
            "not delete what the trial would leave behind: objects with such a target key count as unroutable"
        )
    return lines
