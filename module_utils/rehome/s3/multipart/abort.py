"""Abort multipart uploads that nobody will complete: S3 stores, and bills, their parts until then."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote_plus

from ...backoff import longest_pause
from ..client.client import Client
from ..client.replies import document_of
from ..documents import checksums_of, fields_of, local_name, time_of
from ..errors import S3Error, S3RequestError
from ..support import is_rejection
from .record import Upload, Uploads

_ABORT_ATTEMPTS = 6
_ABORT_PAUSE = 0.2
"""Seconds before the second attempt."""


class StoredPart(NamedTuple):
    """A part that an open upload has.

    size: bytes
    etag: without quotes
    checksums: in base64, by algorithm in lower case
    """

    size: int
    etag: str
    checksums: dict[str, str]


async def stored_parts(target: Client, key: str, upload_id: str) -> dict[int, StoredPart] | None:
    """Return the parts of an open upload by number (ListParts), or None if there is no such upload.

    Raises S3Error and S3StopError.
    """
    stored: dict[int, StoredPart] = {}
    marker = ""
    while True:
        query = [("uploadId", upload_id), *([("part-number-marker", marker)] if marker else [])]
        reply = await target.request("GET", key, query=query)
        if reply.status == 404:
            return None
        document = document_of(reply, "ListPartsResult", key, problem="the upload's parts cannot be listed")
        stored.update(_read_parts(document, key))
        seen, fields = marker, fields_of(document)
        marker = fields.get("NextPartNumberMarker", "")
        if fields.get("IsTruncated") != "true" or marker in ("", seen):
            return stored


def _read_parts(document: ET.Element, key: str) -> dict[int, StoredPart]:
    found = {}
    for element in document:
        if local_name(element) == "Part":
            part = fields_of(element)
            try:
                number, size, etag = int(part["PartNumber"]), int(part["Size"]), part["ETag"].strip('"')
            except (KeyError, ValueError):
                raise S3RequestError(
                    200, "InvalidReply", "a part is listed without number, size or ETag", key, verb="GET"
                ) from None
            found[number] = StoredPart(size, etag, checksums_of(part))
    return found


async def abort(target: Client, key: str, upload_id: str) -> None:
    """Abort an upload and check that it is gone (AbortMultipartUpload).

    Parts in flight may arrive after an abort and would stay, so it is repeated while the upload exists
    (AbortMultipartUpload, S3 API reference). Raises S3Error and S3StopError.
    """
    for attempt in range(1, _ABORT_ATTEMPTS + 1):
        reply = await target.request("DELETE", key, query=[("uploadId", upload_id)])
        if reply.status == 404:
            return
        try:
            if await stored_parts(target, key, upload_id) is None:
                return
        except S3RequestError as error:
            if error.status != 403:
                raise
            # The right to abort does not include the right to list parts.
            return
        await asyncio.sleep(longest_pause(attempt, _ABORT_PAUSE))
    raise S3RequestError(
        0, "UploadNotAborted", f"the upload {upload_id} still exists after aborting it", key, verb="DELETE"
    )


async def abort_recorded(target: Client, upload: Upload) -> None:
    """Abort a recorded upload, whether or not its id is known. Raises S3Error and S3StopError."""
    if upload.upload_id is None:
        await abort_unidentified(target, upload)
    else:
        await abort(target, upload.target_key, upload.upload_id)


async def abort_unidentified(target: Client, upload: Upload, except_id: str = "") -> None:
    """Abort all uploads to exactly this key that were created since `upload.began`, for one whose id was lost.

    except_id: of an upload that stays

    Raises S3Error and S3StopError.
    """
    found = [
        upload_id
        async for key, upload_id, initiated in _open_uploads(target, upload.target_key)
        if key == upload.target_key and upload_id != except_id and initiated >= upload.began
    ]
    for upload_id in found:
        await abort(target, upload.target_key, upload_id)


async def abort_unfinished(target: Client, uploads: Uploads) -> list[Upload]:
    """Abort the recorded uploads whose jobs did not come again.

    Call it at the end of a run that took all its jobs: after a run that stopped early it would abort uploads that the
    next run could resume.

    Returns those that could not be aborted, which stay recorded. Raises S3StopError.
    """
    bucket = target.endpoint.bucket
    left = []
    for upload in uploads.unfinished(bucket):
        try:
            await abort_recorded(target, upload)
        except S3RequestError:
            left.append(upload)
        else:
            uploads.remove(bucket, upload.target_key)
    return left


async def _open_uploads(target: Client, prefix: str) -> AsyncGenerator[tuple[str, str, float], None]:
    """Yield key, id and time (seconds since the epoch) of each open upload under `prefix` (ListMultipartUploads)."""
    markers: list[tuple[str, str]] = []
    while True:
        query = [("uploads", ""), ("prefix", prefix), ("encoding-type", "url"), *markers]
        try:
            reply = await target.request("GET", None, query=query)
        except S3Error as error:
            if is_rejection(error.status, error.code, error.message):
                return
            raise
        document = document_of(reply, "ListMultipartUploadsResult", None, problem="open uploads cannot be listed")
        fields = fields_of(document)
        # SeaweedFS 4.48 states this encoding without using it, which shows in the prefix that it repeats.
        encoded = fields.get("EncodingType") == "url" and fields.get("Prefix") != prefix
        for element in document:
            if local_name(element) == "Upload":
                upload = fields_of(element)
                key = upload.get("Key", "")
                # Ceph 20.2 encodes keys without stating it; every key begins with the prefix.
                yield (
                    unquote_plus(key) if encoded or not key.startswith(prefix) else key,
                    upload.get("UploadId", ""),
                    _timestamp(upload.get("Initiated")),
                )
        seen = markers
        markers = [
            (name, unquote_plus(fields[field]) if encoded else fields[field])
            for name, field in (("key-marker", "NextKeyMarker"), ("upload-id-marker", "NextUploadIdMarker"))
            if fields.get(field)
        ]
        if fields.get("IsTruncated") != "true" or not markers or markers == seen:
            return


def _timestamp(text: str | None) -> float:
    """Return seconds since the epoch; 0 for an unreadable time, which proves nothing about the upload's age."""
    with suppress(ValueError):
        return time_of(text or "").timestamp()
    return 0.0
