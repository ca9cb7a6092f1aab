"""The controller knows of every upload in parts before a worker begins it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.fleet.uploads import in_parts, intend, settle
from rehome.s3.multipart.record import Upload, Uploads
from rehome.s3.objects.job import MAX_COPY_BYTES, CopyJob, CopyOptions

MEBIBYTE = 1024**2
JOB = CopyJob("image/a", "e1", 10, "avatar/a")


def may_upload(size: int, etag: str, options: CopyOptions) -> bool:
    """Whether an object may be uploaded in parts."""
    row = ("a", size, etag, None, "STANDARD")
    found = in_parts([row], options)
    assert found in ([], [row])
    return bool(found)


@given(st.integers(0, 6 * 1024**3), st.integers(1, 6 * 1024**3))
def test_a_server_side_copy_may_be_in_parts_from_the_threshold_on(size: int, threshold: int) -> None:
    options = CopyOptions(multipart_threshold=threshold)
    assert may_upload(size, "e", options) is (size >= min(threshold, MAX_COPY_BYTES + 1))


def test_a_stream_may_be_in_parts_above_16_mebibytes_or_if_its_source_is() -> None:
    options = CopyOptions(method="stream")
    assert not may_upload(16 * MEBIBYTE, "e", options)
    assert may_upload(16 * MEBIBYTE + 1, "e", options)
    assert may_upload(5, "e-1", options)


def test_what_is_intended_is_aborted_by_the_next_run_unless_it_is_settled() -> None:
    with Uploads(None) as uploads:
        assert intend(uploads, "production-s3", JOB) is None
        (upload,) = uploads.recorded("production-s3")
        assert (upload.target_key, upload.upload_id) == ("avatar/a", None)
        settle(uploads, "production-s3", JOB.target_key, None)
        assert uploads.recorded("production-s3") == []


def test_an_upload_of_an_earlier_run_is_handed_on_and_stays_covered() -> None:
    known = Upload("production-s3", "avatar/a", "u1", "e1", 10, 5, "s", 100.0)
    with Uploads(None) as uploads:
        uploads.add(known)
        assert intend(uploads, "production-s3", JOB) == known
        (upload,) = uploads.recorded("production-s3")
        assert (upload.upload_id, upload.began) == (None, 100.0)
        settle(uploads, "production-s3", JOB.target_key, known)
        assert uploads.recorded("production-s3") == [known]


def test_what_a_lost_worker_may_have_left_open_is_aborted_at_the_end() -> None:
    with Uploads(None) as uploads:
        intend(uploads, "production-s3", JOB)
        assert uploads.unfinished("production-s3") == []
        uploads.leave("production-s3", JOB.target_key)
        (upload,) = uploads.unfinished("production-s3")
        assert (upload.target_key, upload.upload_id) == ("avatar/a", None)
        uploads.remove("production-s3", JOB.target_key)
        assert uploads.unfinished("production-s3") == []
