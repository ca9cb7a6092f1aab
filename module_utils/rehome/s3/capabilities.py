"""What a service does of what the copy relies on: services that speak S3 differ, and ignore what they do not know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class KeyShape(StrEnum):
    """Keys that are legal in S3 and that some services refuse, rename or mix up with others."""

    DOT_SEGMENT = "dot_segment"
    """a segment that is `.` or `..`"""
    EMPTY_SEGMENT = "empty_segment"
    """`//`, or a leading `/`"""
    BACKSLASH = "backslash"
    CONTROL = "control"
    """a character below space, or DEL"""
    LONG_SEGMENT = "long_segment"
    """more than 255 bytes between two `/`"""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found out; the defaults are what Amazon's S3 does.

    missing_source: a copy of an object that is not there is refused (404)
    source_condition: `x-amz-copy-source-if-match` with another ETag is refused (412)
    target_condition: `If-None-Match: *` on a copy is refused where the target object exists (412)
    put_condition: the same on PutObject
    complete_condition: the same on CompleteMultipartUpload
    etag: a copy's reply has the ETag
    metadata, tags: a copy carries them
    refused_keys: shapes of keys that the target cannot take as they are
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


AMAZON = Capabilities()
"""What the documentation of Amazon's S3 promises."""
