"""One object to copy, how to copy it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..capabilities import AMAZON, Capabilities
from .compare import Evidence

MAX_COPY_BYTES = 5 * 1024**3
"""Largest object that one CopyObject takes (CopyObject, S3 API reference)."""

MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * 1024**2
"""Bounds of multipart uploads ("Amazon S3 multipart upload limits", S3 user guide)."""

CopyResult = Literal["copied", "present", "conflict", "changed", "archived", "failed"]
Acl = Literal["none", "bucket-owner-full-control", "copy"]
Encryption = Literal["bucket", "SSE-S3", "SSE-KMS"]
CopyMethod = Literal["server_side", "stream"]


class CopyJob(NamedTuple):
    """One object to copy.

    etag, size: of the source, as listed (ETag without quotes, bytes)
    replace_etag: overwrite exactly the target object that has this ETag; None: there must be no target object
    storage_class: of the source, as listed
    """

    source_key: str
    etag: str
    size: int
    target_key: str
    replace_etag: str | None = None
    storage_class: str = "STANDARD"


class CopyOutcome(NamedTuple):
    """What became of a job.

    result: `copied`: made by this job, content proven · `present`: the target was there with the same
        content · `conflict`: the target is there with other content · `changed`: the source is gone or not
        the listed one · `archived`: the source must be restored before it can be read · `failed`
    target_etag: of the target object where there is one that we know
    evidence: what proved the content, for `copied` and `present`
    attempts: copying requests sent
    error, message: S3's code and what it said, where it is neither `copied` nor `present`
    duration_s: from taking the job to its outcome
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
    """How objects are copied, the same for all of a run.

    method: let the service copy, or read from one service and write to another
    storage_class: `keep`, or the class that every target object gets
    encryption, kms_key_id: `bucket` leaves it to the target bucket's default
    acl: `none` sends none (the object is private to its owner), `copy` carries the source's grants
    multipart_threshold: bytes from which an object is copied in parts
    part_size: bytes of a part, at least
    objects_per_second: taken up, at most; None: as fast as the services take
    capabilities: what the services lack is done another, slower way
    """

    method: CopyMethod = "server_side"
    storage_class: str = "keep"
    encryption: Encryption = "bucket"
    kms_key_id: str | None = None
    acl: Acl = "none"
    multipart_threshold: int = 1024**3
    part_size: int = 128 * 1024**2
    objects_per_second: float | None = None
    capabilities: Capabilities = AMAZON


class SourceChanged(Exception):  # noqa: N818 - an outcome, not an error
    """The source object is gone, or not the one that was listed.

    code: S3's, of the reply that said so
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
