"""Which objects may be uploaded in parts, and what the controller records of them before a worker begins."""

from __future__ import annotations

import time

from ..s3.copier.stream_object import WHOLE_BYTES
from ..s3.multipart.record import Upload, Uploads
from ..s3.objects.job import MAX_COPY_BYTES, CopyJob, CopyOptions

CLOCK_MARGIN_S = 900.0
"""By how much the clocks of the controller and the service may differ: with more, S3 refuses our signatures."""


def may_upload(size: int, etag: str, options: CopyOptions) -> bool:
    """Return whether an object may be uploaded in parts: True for some that are not, never False for one that is."""
    if options.method == "stream":
        return "-" in etag or size > min(WHOLE_BYTES, options.multipart_threshold)
    return size >= min(options.multipart_threshold, MAX_COPY_BYTES + 1)


def intend(uploads: Uploads, bucket: str, job: CopyJob) -> Upload | None:
    """Record that a worker is about to upload an object. Return what an earlier run has recorded of it.

    The worker may die, and the id of its upload with it: what is recorded makes the next run abort every upload to
    this key that is younger.
    """
    known = uploads.find(bucket, job.target_key)
    began = time.time() - CLOCK_MARGIN_S
    if known is not None:
        began = min(began, known.began)
    uploads.add(Upload(bucket, job.target_key, None, job.etag, job.size, 0, "", began))
    return known


def settle(uploads: Uploads, bucket: str, target_key: str, left: Upload | None) -> None:
    """Record what a worker has left of an upload: nothing, or one that the next run resumes."""
    if left is None:
        uploads.remove(bucket, target_key)
    else:
        uploads.add(left)
