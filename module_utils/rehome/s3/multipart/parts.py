"""How an object is divided into parts, and how the replies to the parts' requests are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..client.client import Client
from ..documents import checksums_of, fields_of, root_of
from ..errors import S3RequestError, read_error
from ..objects.compare import etag_of, head
from ..objects.job import MAX_COPY_BYTES, MAX_PARTS, MIN_PART_BYTES, CopyJob, SourceChanged
from ..transport.connection import Response

MAX_OBJECT_BYTES = MAX_PARTS * MAX_COPY_BYTES
"""The size of 10,000 parts of the largest size; Amazon's S3 takes 50 TB ("Amazon S3 multipart upload limits", S3 user
guide)."""

_MEBIBYTE = 1024**2
_PARTS_IN_ETAG = re.compile(r".*-(\d{1,5})")

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Part(NamedTuple):
    """A byte range of an object.

    number: from 1
    offset, size: bytes
    """

    number: int
    offset: int
    size: int


class SentPart(NamedTuple):
    """A part that the target has.

    etag: as UploadPart or UploadPartCopy replied, without quotes
    checksums: in base64, by algorithm in lower case (`crc64nvme`)
    attempts: requests sent; 0 if an earlier run sent the part
    """

    number: int
    etag: str
    checksums: Mapping[str, str] = _NOTHING
    attempts: int = 1


def check_size(job: CopyJob) -> None:
    """Raise S3RequestError (EntityTooLarge) if the object is larger than all parts of a multipart upload together."""
    if job.size > MAX_OBJECT_BYTES:
        message = f"the object has {job.size} bytes, and S3 takes {MAX_OBJECT_BYTES} at most"
        raise S3RequestError(400, "EntityTooLarge", message, job.source_key, attempts=0)


def even_parts(size: int, part_size: int) -> list[Part]:
    """Return parts of `part_size` bytes, the last one smaller; larger parts if there would be more than 10,000."""
    step = max(part_size, MIN_PART_BYTES)
    if -(-size // step) > MAX_PARTS:
        step = -(-size // (MAX_PARTS * _MEBIBYTE)) * _MEBIBYTE
    return _cut(size, step)


async def layout(source: Client, job: CopyJob, part_size: int) -> list[Part]:
    """Return the source's own parts if it was uploaded in parts of one size, or else even ones.

    The ETag of such an upload is a digest of its parts' digests: the same content in the same parts gets the same
    ETag, which proves the copy. HeadObject with part number 1 returns the size of the first part.

    part_size: bytes, for even parts

    Raises SourceChanged, S3Error and S3StopError.
    """
    found = _PARTS_IN_ETAG.fullmatch(job.etag)
    if found is not None:
        headers = {"if-match": f'"{job.etag}"'}
        reply = await source.request("HEAD", job.source_key, query=[("partNumber", "1")], headers=headers)
        if reply.status in (404, 412):
            # moto compares with the part's own ETag: only the object's says whether it has changed
            whole = await head(source, job.source_key, job.etag)
            if whole.status != 200:
                raise SourceChanged(read_error(whole.status, whole.body)[0])
            return even_parts(job.size, part_size)
        step = int(reply.headers.get(b"content-length", b"0"))
        count = int(found[1])
        fits = 0 < step <= MAX_COPY_BYTES and (step >= MIN_PART_BYTES or count == 1) and count <= MAX_PARTS
        if fits and -(-job.size // step) == count:
            return _cut(job.size, step)
    return even_parts(job.size, part_size)


def sent_part(part: Part, reply: Response, key: str) -> SentPart:
    """Read the reply to UploadPart or UploadPartCopy.

    key: of the target, for the message

    Raises SourceChanged if the reply's status is 404 or 412, and S3Error if the upload is gone or the reply invalid.
    """
    if reply.status != 200:
        code, message = read_error(reply.status, reply.body)
        if code == "NoSuchUpload":
            raise S3RequestError(reply.status, code, message, key, verb="PUT", attempts=reply.attempts)
        raise SourceChanged(code)
    fields = fields_of(root_of(reply.body)) if reply.body else {}
    etag = fields.get("ETag", "").strip('"') or etag_of(reply)
    if not etag:
        raise S3RequestError(200, "InvalidReply", f"part {part.number} was stored without an ETag", key, verb="PUT")
    header_checksums = {
        name.decode().removeprefix("x-amz-checksum-"): value.decode()
        for name, value in reply.headers.items()
        if name.startswith(b"x-amz-checksum-") and name != b"x-amz-checksum-type"
    }
    return SentPart(part.number, etag, header_checksums | checksums_of(fields), reply.attempts)


def _cut(size: int, step: int) -> list[Part]:
    starts = range(0, size, step)
    return [Part(number, start, min(step, size - start)) for number, start in enumerate(starts, 1)]
