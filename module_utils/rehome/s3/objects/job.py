"""A copy job, its options, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ...config.settings import Acl, CopyMethod, Encryption
from ..capabilities import AMAZON, Capabilities
from ..support import Support
from ..transport.connection import Response
from .compare import Evidence, etag_of

MAX_COPY_BYTES = 5 * 1024**3
"""Largest object that one CopyObject takes (CopyObject, S3 API reference)."""

MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * 1024**2
"""Limits of multipart uploads ("Amazon S3 multipart upload limits", S3 user guide)."""

CopyResult = Literal["copied", "present", "conflict", "changed", "archived", "failed"]


class CopyJob(NamedTuple):
    """One object to copy.

    etag, size: of the source, as listed (ETag without quotes, bytes)
    replace_etag: overwrite the target object only if it has this ETag; None: no target object may exist
    storage_class: of the source, as listed
    """

    source_key: str
    etag: str
    size: int
    target_key: str
    replace_etag: str | None = None
    storage_class: str = "STANDARD"

    def condition(self, absent: Support, match: Support) -> Support:
        """Return whether the service honours the condition of this job on its target object.

        absent, match: of `If-None-Match: *` and of `If-Match` by the request
        """
        return absent if self.replace_etag is None else match

    def target_condition(self, support: Support) -> dict[str, str]:
        """Return the headers that let S3 refuse to write over another target object than `replace_etag`'s.

        support: what `condition` returned; none is sent where it is rejected
        """
        if not support.may_be_sent:
            return {}
        return {"if-none-match": "*"} if self.replace_etag is None else {"if-match": f'"{self.replace_etag}"'}


@dataclass(slots=True)
class CopyOutcome:
    """The outcome of a job.

    result: `copied`: made by this job, content proven · `present`: the target existed with the same content ·
        `conflict`: the target exists with other content · `changed`: the source is gone or not the listed one ·
        `archived`: the source must be restored before it can be read · `failed`
    target_etag: of the target object, if one exists and its ETag is known
    evidence: what proved the content, for `copied` and `present`
    attempts: copy requests sent
    error, message: S3's code and message, if the result is neither `copied` nor `present`
    duration_s: seconds from taking the job to its outcome; the copier sets it last
    """

    job: CopyJob
    result: CopyResult
    target_etag: str | None = None
    evidence: Evidence | None = None
    attempts: int = 1
    error: str | None = None
    message: str | None = None
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How objects are copied; the same for all of a run.

    method: `server_side`: the service copies · `stream`: read from the source and write to the target
    storage_class: of every target object; `keep`: the source's
    encryption, kms_key_id: of every target object; `bucket`: the target bucket's default
    acl: `none` sends no ACL (the object is private to its owner), `copy` carries the source's grants
    tags: whether the source's tags are carried
    multipart_threshold: bytes from which an object is copied in parts
    part_size: bytes of a part, at least
    objects_per_second: started per second, at most; None: no limit
    capabilities: what the services do not support is done in a slower way
    """

    method: CopyMethod = "server_side"
    storage_class: str = "keep"
    encryption: Encryption = "bucket"
    kms_key_id: str | None = None
    acl: Acl = "none"
    tags: bool = True
    multipart_threshold: int = 1024**3
    part_size: int = 128 * 1024**2
    objects_per_second: float | None = None
    capabilities: Capabilities = AMAZON


class SourceChanged(Exception):  # noqa: N818 - an outcome, not an error
    """The source object is gone, or not the one that was listed.

    code: S3's error code
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def target_conflicts(existing: Response, job: CopyJob) -> bool:
    """Return whether the target object is not the one that the job expects.

    existing: the reply to a HEAD of the target key
    """
    return etag_of(existing) != job.replace_etag if existing.status == 200 else job.replace_etag is not None
