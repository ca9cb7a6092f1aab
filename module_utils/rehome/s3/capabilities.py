"""What a service does of what the copy relies on: services that speak S3 differ, and ignore what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..mapping.key_shapes import KeyShape


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
