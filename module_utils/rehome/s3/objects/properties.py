"""What a copy carries besides the content: the source's metadata and tags, as headers for the target."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, unquote

from ..capabilities import Capabilities
from ..client.client import Client
from ..client.replies import document_of
from ..documents import fields_of, local_name
from ..errors import S3Error, S3RequestError, read_error
from ..support import is_rejection
from ..transport.connection import Response
from .compare import full_checksums, head
from .job import CopyJob, SourceChanged

_CARRIED = (
    b"cache-control",
    b"content-disposition",
    b"content-language",
    b"content-type",
    b"expires",
    b"x-amz-website-redirect-location",
)
_METADATA = b"x-amz-meta-"

_TAGGING_LIMIT = 2048
"""Bytes of encoded tags that go into a header; S3 takes 8 KiB of headers in all ("PUT requests", S3 user guide)."""

TAGS_NOT_KEPT = "TagsNotKept"
_TAGS_NOT_KEPT = (
    "the object has tags, and the target keeps none; set rehome_tags to none to copy the objects without their tags"
)

_NO_CHECKSUMS: Mapping[str, str] = MappingProxyType({})


class Properties(NamedTuple):
    """What goes with the content.

    headers: for PutObject, CopyObject and CreateMultipartUpload: the metadata, and the tags if they fit
    tags: encoded tags that are too long for a header; `put_tags` stores them once the object exists
    checksums: of the whole content in base64, by algorithm in lower case
    """

    headers: Mapping[str, str]
    tags: str
    checksums: Mapping[str, str] = _NO_CHECKSUMS


async def properties_of(
    source: Client, job: CopyJob, able: Capabilities, *, metadata: bool = True, tags: bool = True
) -> Properties:
    """Read a source object's properties (HeadObject under the condition of its ETag, and GetObjectTagging).

    metadata, tags: which to carry

    Raises SourceChanged, S3Error (MetadataNotReadable if some cannot be read as headers; as `with_tags`) and
    S3StopError.
    """
    reply = await head(source, job.source_key, job.etag)
    if reply.status != 200:
        raise SourceChanged(read_error(reply.status, reply.body)[0])
    headers = metadata_of(job, reply) if metadata else {}
    return with_tags(job, able, headers, await tags_of(source, job) if tags else "", full_checksums(reply))


def with_tags(
    job: CopyJob,
    able: Capabilities,
    headers: Mapping[str, str],
    tags: str,
    checksums: Mapping[str, str] = _NO_CHECKSUMS,
) -> Properties:
    """Return properties whose encoded tags are in a header if they fit, and the target takes such a header.

    Raises S3Error (TagsNotKept) if there are tags, and the target keeps none.
    """
    if not tags:
        return Properties(headers, "", checksums)
    if able.tag_header and len(tags) <= _TAGGING_LIMIT:
        return Properties({**headers, "x-amz-tagging": tags}, "", checksums)
    if able.tag_request:
        return Properties(headers, tags, checksums)
    raise S3RequestError(501, TAGS_NOT_KEPT, _TAGS_NOT_KEPT, job.source_key, verb="PUT", attempts=0)


async def put_tags(target: Client, key: str, encoded: str) -> None:
    """Store tags that did not fit into a header (PutObjectTagging). Raises S3Error and S3StopError."""
    pairs = [[escape(unquote(part), quote=False) for part in pair.partition("=")] for pair in encoded.split("&")]
    tags = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, _, value in pairs)
    body = f'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>{tags}</TagSet></Tagging>'
    try:
        reply = await target.request("PUT", key, query=[("tagging", "")], body=body.encode())
    except S3RequestError as error:
        raise _without_tags(key, error.status, error.code, error.message, error.attempts) from None
    if reply.status not in (200, 204):
        raise _without_tags(key, reply.status, *read_error(reply.status, reply.body), reply.attempts)


def _without_tags(key: str, status: int, code: str, message: str, attempts: int) -> S3Error:
    text = f"the object is copied, but without its tags: {message}"
    return S3RequestError(status, code, text, key, verb="PUT", attempts=attempts)


def metadata_of(job: CopyJob, reply: Response) -> dict[str, str]:
    """Return the metadata in a reply to HeadObject or GetObject as headers to send.

    Raises S3Error (MetadataNotReadable) if some of it is not in the reply.
    """
    if reply.headers.get(b"x-amz-missing-meta", b"0") != b"0":
        # Set through SOAP, with characters that no header can hold (HeadObject, S3 API reference).
        raise S3RequestError(
            200, "MetadataNotReadable", "some metadata cannot be read as headers", job.source_key, verb="HEAD"
        )
    headers = {
        name.decode(): _text(value)
        for name, value in reply.headers.items()
        if name in _CARRIED or name.startswith(_METADATA)
    }
    # Some services keep aws-chunked, which is how an upload was signed: sent again, it would announce such a body.
    encodings = _text(reply.headers.get(b"content-encoding", b"")).split(",")
    kept = ",".join(encoding for encoding in encodings if encoding.strip() not in ("", "aws-chunked")).strip()
    return headers | ({"content-encoding": kept} if kept else {})


def _text(value: bytes) -> str:
    """Decode a header's value; requests are written in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def tags_of(source: Client, job: CopyJob) -> str:
    """Return the source's tags encoded for `x-amz-tagging`, like a query string; "" if it has none.

    Sends a request for every object: HEAD leaves the tag count out if there are no tags, and also if the right to
    read them is missing. Raises SourceChanged, S3Error and S3StopError.
    """
    try:
        reply = await source.request("GET", job.source_key, query=[("tagging", "")])
    except S3RequestError as error:
        if is_rejection(error.status, error.code, error.message):
            return ""  # the service has no tags
        if error.status != 403:
            raise
        message = f"the source object's tags cannot be read (s3:GetObjectTagging is needed): {error.message}"
        raise S3RequestError(403, error.code, message, job.source_key, verb="GET", attempts=error.attempts) from None
    if reply.status == 404:
        code = read_error(reply.status, reply.body)[0]
        # some services that have no tags find nothing there although the object exists
        if code == "NoSuchTagSet" or (await head(source, job.source_key, job.etag)).status == 200:
            return ""
        raise SourceChanged(code)
    # S3 may return 200 and an error: it has no tags, and would pass for an object without any.
    document = document_of(reply, "Tagging", job.source_key, problem="the tags cannot be read")
    pairs = [fields_of(element) for element in document.iter() if local_name(element) == "Tag"]
    return "&".join(f"{quote(pair.get('Key', ''), safe='')}={quote(pair.get('Value', ''), safe='')}" for pair in pairs)
