"""Which objects may be uploaded in parts, and what the controller records of them before a worker begins."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..s3.copier.stream_object import WHOLE_BYTES
from ..s3.multipart.record import Upload, Uploads
from ..s3.objects.job import MAX_COPY_BYTES, CopyJob, CopyOptions
from .shards import Row

CLOCK_MARGIN_S = 900.0
"""By how much the clocks of the controller and the service may differ: with more, S3 refuses our signatures."""


def in_parts(rows: Iterable[Row], options: CopyOptions) -> list[Row]:
    """Return those whose objects may be uploaded in parts: some that are not, but each that is."""
    if options.method == "stream":
        whole = min(WHOLE_BYTES, options.multipart_threshold)
        return [row for row in rows if "-" in row[2] or row[1] > whole]
    least = min(options.multipart_threshold, MAX_COPY_BYTES + 1)
    return [row for row in rows if row[1] >= least]


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
