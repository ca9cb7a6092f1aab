"""What a service's answer to a request says about a feature: has, ignores, rejects, denied or unknown. Pure.

S3-compatible services differ in what they leave out, and in how they say so. Read in their manuals and trackers:
Cloudflare R2 answers 501 NotImplemented ("Header 'x-amz-tagging' … not implemented"); Backblaze B2 400 InvalidArgument
("Unsupported header 'x-amz-tagging' received for this API call"); Alibaba OSS 501 to `If-None-Match`; Google's XML API
400 NotImplemented, or 400 InvalidArgument without a word about what it means; others 405 MethodNotAllowed.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Support(StrEnum):
    """Whether a service supports a feature. True in a condition only if it does."""

    HAS = "has"
    IGNORES = "ignores"
    """it takes the request, and does not do what the feature means"""
    REJECTS = "rejects"
    """it refuses the request because of the feature"""
    DENIED = "denied"
    """these credentials may not use it, so nobody knows"""
    UNKNOWN = "unknown"
    """the answer says nothing about it"""

    def __bool__(self) -> bool:
        return self is Support.HAS

    @property
    def may_be_sent(self) -> bool:
        """Whether a request may name the feature: what a service ignores does no harm."""
        return self in (Support.HAS, Support.IGNORES)


REJECTING_CODES = frozenset(
    {
        "AccessControlListNotSupported",
        "FeatureNotSupported",
        "InvalidAction",
        "InvalidEncryptionAlgorithmError",
        "InvalidStorageClass",
        "MethodNotAllowed",
        "NotImplemented",
        "NotSupported",
        "OperationNotSupported",
        "UnknownOperation",
        "UnsupportedArgument",
        "UnsupportedHeader",
        "UnsupportedOperation",
        "UnsupportedParameter",
        "XNotImplemented",
    }
)
"""Codes of a service that does not do what the request asks for (Amazon's, Ceph's, MinIO's, Garage's, Oracle's)."""

_REJECTING_STATUSES = frozenset({405, 501})

_REJECTING_WORDS = re.compile(
    r"not (?:yet )?(?:implemented|supported|recogni[sz]ed)|unsupported|unimplemented"
    r"|unknown (?:header|parameter|operation)|(?:does not|doesn't|cannot) support|unrecogni[sz]ed",
    re.IGNORECASE,
)

_NOTHING_THERE = frozenset({"NoSuchTagSet", "NoSuchTagSetError"})
"""404 codes of a feature that the service has, and the object does not use."""

_SAYS_NOTHING = frozenset({408, 425, 429})


def is_rejection(status: int, code: str, message: str = "") -> bool:
    """Return whether an error says by itself that the service does not support what the request asks for.

    A bare InvalidRequest or InvalidArgument may as well be about the one object.
    """
    if status in _REJECTING_STATUSES or code in REJECTING_CODES:
        return True
    return status in (400, 422) and _REJECTING_WORDS.search(message) is not None


def judge(status: int, code: str, message: str = "", *, kept: bool = True) -> Support:
    """Return what the answer to a trial says about the feature that was tried.

    The trial is a request that works without the feature, on an object that exists. If the feature is a condition, it
    is one that must fail: then `kept` is False, as a service that carries the request out did not look at it.

    code: "" if the request succeeded
    kept: whether a success has the effect of the feature, as read back
    """
    if not code and 200 <= status < 300:
        return Support.HAS if kept else Support.IGNORES
    if status in (304, 409, 412) or code in _NOTHING_THERE:
        return Support.HAS
    if is_rejection(status, code, message):
        return Support.REJECTS
    if status in (401, 403):
        return Support.DENIED
    # the same request works without the feature, so that is what an answer about the request is about
    return Support.REJECTS if 400 <= status < 500 and status not in _SAYS_NOTHING else Support.UNKNOWN
