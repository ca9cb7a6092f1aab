"""What a service supports of what the copy relies on, and what is done where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..mapping.key_shapes import KeyShape
from .support import Support

_HAS = Support.HAS


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the probe found. The defaults are what Amazon's S3 supports, except for `content_md5`.

    copy: CopyObject
    missing_source: a copy of an object that does not exist is refused (404)
    source_condition: `x-amz-copy-source-if-match` with another ETag is refused (412); if the content is streamed,
        `If-Match` on GetObject of the source
    target_condition, target_match: `If-None-Match: *` on a copy is refused if the target object exists (412), and
        `If-Match` if it has another ETag
    put_condition, put_match: the same on PutObject
    complete_condition, complete_match: the same on CompleteMultipartUpload
    content_md5: PutObject takes a payload that is not signed, and refuses one that is not what Content-MD5 says: then
        content need not be digested here to be proven. Nothing relies on it that was not tried
    uploads: CreateMultipartUpload
    part_copy: UploadPartCopy
    part_condition: `x-amz-copy-source-if-match` with another ETag is refused by UploadPartCopy
    etag: the reply to a copy has the ETag
    metadata, tags: a copy carries them
    tag_header: `x-amz-tagging` is stored with an object; on copies, with `x-amz-tagging-directive: REPLACE`
    tag_request: PutObjectTagging
    source_tags: the source says which tags an object has (GetObjectTagging)
    refused_keys: shapes of keys that the target does not store unchanged
    keys_tried: False if the credentials may not delete what a trial of keys would leave behind; `refused_keys` is
        then an assumption
    """

    copy: Support = _HAS
    missing_source: Support = _HAS
    source_condition: Support = _HAS
    target_condition: Support = _HAS
    target_match: Support = _HAS
    put_condition: Support = _HAS
    put_match: Support = _HAS
    complete_condition: Support = _HAS
    complete_match: Support = _HAS
    content_md5: Support = Support.UNKNOWN
    uploads: Support = _HAS
    part_copy: Support = _HAS
    part_condition: Support = _HAS
    etag: Support = _HAS
    metadata: Support = _HAS
    tags: Support = _HAS
    tag_header: Support = _HAS
    tag_request: Support = _HAS
    source_tags: Support = _HAS
    refused_keys: frozenset[KeyShape] = frozenset()
    keys_tried: bool = True

    @property
    def keep_tags(self) -> bool:
        """Whether tags reach a target object in any way."""
        return bool(self.tags or self.tag_header or self.tag_request)

    def to_json(self) -> dict[str, Any]:
        """Return the capabilities as JSON values, with lists sorted."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "refused_keys": sorted(self.refused_keys)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Capabilities:
        """Read what `to_json` returned. Raises ValueError if another version of Rehome wrote it."""
        names = {field.name for field in fields(cls)}
        shapes, tried = value.get("refused_keys"), value.get("keys_tried")
        if set(value) != names or not isinstance(shapes, list) or not isinstance(tried, bool):
            raise ValueError(f"not the capabilities that this version keeps: {sorted(value)}")
        found = {name: Support(value[name]) for name in names - {"refused_keys", "keys_tried"}}
        return cls(**found, refused_keys=frozenset(KeyShape(shape) for shape in shapes), keys_tried=tried)


AMAZON = Capabilities()
"""Amazon's S3, by its documentation."""

UNTRIED = Capabilities(
    missing_source=Support.IGNORES,
    source_condition=Support.IGNORES,
    target_condition=Support.IGNORES,
    target_match=Support.IGNORES,
    put_condition=Support.IGNORES,
    put_match=Support.IGNORES,
    complete_condition=Support.IGNORES,
    complete_match=Support.IGNORES,
    part_condition=Support.IGNORES,
)
"""What is assumed of another service that nobody has tried: conditions are sent, and nothing relies on them."""

_WORKAROUNDS = {
    "copy": (
        "CopyObject",
        "the objects are streamed through this machine, which is slower and takes its bandwidth",
    ),
    "missing_source": (
        "the error for a copy without a source",
        "each source object is read by HEAD first, which is slower, and one that is deleted at that moment leaves an "
        "empty target object",
    ),
    "source_condition": (
        "the condition on the source's ETag",
        "each source object is looked at first, which is slower, and one that changes at that moment is found only "
        "after its copy is stored",
    ),
    "uploads": (
        "multipart uploads",
        "an object is copied in one request, and one that is too large for that (5 GiB; if it is streamed, 96 MiB, or "
        "rehome_multipart_threshold where the target proves content) fails",
    ),
    "part_copy": (
        "UploadPartCopy",
        "an object is copied in one request up to 5 GiB, and a larger one is streamed through this machine",
    ),
    "part_condition": (
        "the condition on the source's ETag in UploadPartCopy",
        "the source object is read by HEAD before each part and before the copy is completed, which is slower: if it "
        "has changed, no copy comes into existence",
    ),
    "etag": ("the ETag in the reply to a copy", "each target object is read by HEAD afterwards, which is slower"),
    "metadata": (
        "metadata that goes along with a copy",
        "it is read from each source object and sent with the copy, which is slower",
    ),
}
"""By capability: what the service lacks, and what is done instead."""

_TARGET_WORKAROUNDS = {
    "target": (
        "copies",
        "each target key is read by HEAD first, which is slower and leaves a short race with other writers",
    ),
    "put": (
        "PutObject",
        "each target key is read by HEAD before it is written, which is slower and leaves a short race with other "
        "writers",
    ),
    "complete": (
        "CompleteMultipartUpload",
        "the target key of each object that is copied in parts is read by HEAD first, which leaves a short race with "
        "other writers",
    ),
}
"""By request: its name, and what is done instead of a condition on the target object."""

_VERBS = {
    Support.IGNORES: "the service ignores",
    Support.REJECTS: "the service rejects",
    Support.DENIED: "these credentials may not try",
    Support.UNKNOWN: "it could not be found out whether the service has",
}


def describe(capabilities: Capabilities) -> list[str]:
    """Return what the services lack and what is done instead, for the operator: sentences without their full stops."""
    lines = [
        f"{_VERBS[support]} {what}: {instead}"
        for name, (what, instead) in _WORKAROUNDS.items()
        if not (support := getattr(capabilities, name))
    ]
    for request in _TARGET_WORKAROUNDS:
        lines += _about_target(capabilities, request)
    if tags := _about_tags(capabilities):
        lines.append(tags)
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


def about_content_md5(support: Support) -> str:
    """Return what a target costs that is not known to compare streamed content with its Content-MD5."""
    return (
        f"{_VERBS[support]} a comparison of content with its Content-MD5: what is streamed is digested and signed by "
        "this machine, which takes up to four times the CPU"
    )


def _about_target(able: Capabilities, request: str) -> list[str]:
    what, instead = _TARGET_WORKAROUNDS[request]
    absent: Support = getattr(able, f"{request}_condition")
    match: Support = getattr(able, f"{request}_match")
    if absent is match:
        named = [("If-None-Match and If-Match", absent)]
    else:
        named = [("If-None-Match", absent), ("If-Match", match)]
    return [f"{_VERBS[support]} {condition} on {what}: {instead}" for condition, support in named if not support]


def _about_tags(able: Capabilities) -> str:
    if able.tags or able.source_tags is Support.REJECTS:
        return ""
    what = f"{_VERBS[able.tags]} tags that go along with a copy"
    if able.tag_header or able.tag_request:
        return f"{what}: they are read from each source object and stored with the target object, which is slower"
    return (
        f"{what}, and keeps none in any other way: they are read from each source object, and one that has tags is not "
        "copied. Set rehome_tags to none to copy the objects without their tags"
    )
