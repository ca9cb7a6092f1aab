"""Ending uploads in parts that nobody will complete: S3 keeps, and bills, their parts until they are aborted."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote_plus

from ...backoff import longest_pause
from ..client.client import Client
from ..documents import checksums_of, fields_of, local_name, root_of
from ..errors import S3Error, S3StopError, read_error
from .record import Upload, Uploads

_ABORT_ATTEMPTS = 6
_ABORT_PAUSE = 0.2
"""Seconds before the second attempt."""


class StoredPart(NamedTuple):
    """A part that an upload has already. checksums: in base64, by algorithm in lower case"""

    size: int
    etag: str
    checksums: dict[str, str]


async def stored_parts(target: Client, key: str, upload_id: str) -> dict[int, StoredPart] | None:
    """The parts of an open upload by number (ListParts), or None where there is no such upload.

    Raises S3Error and S3StopError.
    """
    stored: dict[int, StoredPart] = {}
    marker = ""
    while True:
        query = [("uploadId", upload_id), *([("part-number-marker", marker)] if marker else [])]
        reply = await target.request("GET", key, query=query)
        if reply.status == 404:
            return None
        document = root_of(reply.body)
        if reply.status != 200 or document is None or local_name(document) != "ListPartsResult":
            raise S3Error(reply.status, "InvalidReply", "the upload's parts cannot be listed", key, verb="GET")
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
                raise S3Error(
                    200, "InvalidReply", "a part is listed without number, size or ETag", key, verb="GET"
                ) from None
            found[number] = StoredPart(size, etag, checksums_of(part))
    return found


async def abort(target: Client, key: str, upload_id: str) -> None:
    """Abort an upload until the service knows it no more (AbortMultipartUpload).

    Parts that are under way may land after an abort and would stay, which is why it is looked at again
    (AbortMultipartUpload, S3 API reference). Raises S3Error and S3StopError.
    """
    for attempt in range(1, _ABORT_ATTEMPTS + 1):
        reply = await target.request("DELETE", key, query=[("uploadId", upload_id)])
        if reply.status == 404:
            return
        try:
            if await stored_parts(target, key, upload_id) is None:
                return
        except S3StopError:
            raise
        except S3Error as error:
            if error.status != 403:
                raise
            # Who may abort need not have the right to list parts.
            return
        await asyncio.sleep(longest_pause(attempt, _ABORT_PAUSE))
    raise S3Error(
        0, "UploadNotAborted", f"the upload {upload_id} is there still, after aborting it", key, verb="DELETE"
    )


async def abort_unidentified(target: Client, upload: Upload, but: str = "") -> None:
    """Abort what was created for exactly this key since the intention was recorded, except `but`.

    It is for an upload whose id never reached us. Raises S3Error and S3StopError.
    """
    found = [
        upload_id
        async for key, upload_id, initiated in _open_uploads(target, upload.target_key)
        if key == upload.target_key and upload_id != but and initiated >= upload.began
    ]
    for upload_id in found:
        await abort(target, upload.target_key, upload_id)


async def abort_unfinished(target: Client, uploads: Uploads) -> list[Upload]:
    """Abort the recorded uploads whose jobs did not come again; for the end of a run that saw its whole queue.

    After a run that was stopped early it would end uploads that the next run could resume.

    Returns what could not be aborted, which stays recorded. Raises S3StopError.
    """
    bucket = target.endpoint.bucket
    left = []
    for upload in uploads.leftovers(bucket):
        try:
            if upload.upload_id is None:
                await abort_unidentified(target, upload)
            else:
                await abort(target, upload.target_key, upload.upload_id)
        except S3StopError:
            raise
        except S3Error:
            left.append(upload)
        else:
            uploads.forget(bucket, upload.target_key)
    return left


async def _open_uploads(target: Client, prefix: str) -> AsyncGenerator[tuple[str, str, float], None]:
    """Key, id and time (seconds since the epoch) of each open upload under `prefix` (ListMultipartUploads)."""
    markers: list[tuple[str, str]] = []
    while True:
        query = [("uploads", ""), ("prefix", prefix), ("encoding-type", "url"), *markers]
        try:
            reply = await target.request("GET", None, query=query)
        except S3Error as error:
            if error.status == 501:
                return
            raise
        document = root_of(reply.body)
        if reply.status != 200 or document is None or local_name(document) != "ListMultipartUploadsResult":
            code, message = read_error(reply.status, reply.body)
            raise S3Error(reply.status, code, f"open uploads cannot be listed: {message}", None, verb="GET")
        fields = fields_of(document)
        # SeaweedFS 4.48 says so and does not do it, which shows in the prefix that is repeated.
        encoded = fields.get("EncodingType") == "url" and fields.get("Prefix") != prefix
        for element in document:
            if local_name(element) == "Upload":
                upload = fields_of(element)
                key = upload.get("Key", "")
                yield unquote_plus(key) if encoded else key, upload.get("UploadId", ""), _time(upload.get("Initiated"))
        seen = markers
        markers = [
            (name, unquote_plus(fields[field]) if encoded else fields[field])
            for name, field in (("key-marker", "NextKeyMarker"), ("upload-id-marker", "NextUploadIdMarker"))
            if fields.get(field)
        ]
        if fields.get("IsTruncated") != "true" or not markers or markers == seen:
            return


def _time(text: str | None) -> float:
    """Seconds since the epoch; an unreadable time counts as ever so long ago, as it proves nothing."""
    with suppress(ValueError):
        found = datetime.fromisoformat(text or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return 0.0
