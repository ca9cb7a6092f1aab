"""What a copy carries besides the content: metadata and tags of the source, as headers for the target."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import NamedTuple
from urllib.parse import quote, unquote

from ..client.client import Client
from ..documents import fields_of, local_name, root_of
from ..errors import S3Error, S3StopError, read_error
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

TAGGING_LIMIT = 2048
"""Bytes of encoded tags that go into a header; S3 takes 8 KiB of headers in all ("PUT requests", S3 user guide)."""


class Properties(NamedTuple):
    """A source object's own properties.

    headers: metadata, and the tags where they fit, for CreateMultipartUpload, PutObject and CopyObject
    tags: encoded tags that are too long for a header; `put_tags` stores them once the object is there
    checksums: of the whole content in base64, by algorithm in lower case
    """

    headers: Mapping[str, str]
    tags: str
    checksums: Mapping[str, str]


async def properties_of(source: Client, job: CopyJob, *, metadata: bool = True, tags: bool = True) -> Properties:
    """Read a source object's properties (HeadObject under the condition of its ETag, and GetObjectTagging).

    metadata, tags: which to carry

    Raises SourceChanged, S3Error (MetadataNotReadable where some cannot be read as headers) and S3StopError.
    """
    reply = await head(source, job.source_key, job.etag)
    if reply.status != 200:
        raise SourceChanged(read_error(reply.status, reply.body)[0])
    headers = metadata_of(job, reply) if metadata else {}
    encoded = await tags_of(source, job) if tags else ""
    fits = len(encoded) <= TAGGING_LIMIT
    if encoded and fits:
        headers["x-amz-tagging"] = encoded
    return Properties(headers, "" if fits else encoded, full_checksums(reply))


async def put_tags(target: Client, key: str, encoded: str) -> None:
    """Store tags that no header took, once the object is there (PutObjectTagging). Raises S3Error and S3StopError."""
    pairs = [[escape(unquote(part), quote=False) for part in pair.partition("=")] for pair in encoded.split("&")]
    tags = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, _, value in pairs)
    body = f'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>{tags}</TagSet></Tagging>'
    try:
        reply = await target.request("PUT", key, query=[("tagging", "")], body=body.encode())
    except S3StopError:
        raise
    except S3Error as error:
        raise _without_tags(key, error.status, error.code, error.message, error.attempts) from None
    if reply.status not in (200, 204):
        raise _without_tags(key, reply.status, *read_error(reply.status, reply.body), reply.attempts)


def _without_tags(key: str, status: int, code: str, message: str, attempts: int) -> S3Error:
    text = f"the object is copied, but without its tags: {message}"
    return S3Error(status, code, text, key, verb="PUT", attempts=attempts)


def metadata_of(job: CopyJob, reply: Response) -> dict[str, str]:
    """The metadata in a reply to HeadObject or GetObject, as it is sent again.

    Raises S3Error MetadataNotReadable where some is not in the reply.
    """
    if reply.headers.get(b"x-amz-missing-meta", b"0") != b"0":
        # Set through SOAP, with characters that no header can hold (HeadObject, S3 API reference).
        raise S3Error(
            200, "MetadataNotReadable", "some metadata cannot be read as headers", job.source_key, verb="HEAD"
        )
    headers = {
        name.decode(): _text(value)
        for name, value in reply.headers.items()
        if name in _CARRIED or name.startswith(_METADATA)
    }
    # How an upload was signed, which some services keep: sent again, it would announce such a body.
    encodings = _text(reply.headers.get(b"content-encoding", b"")).split(",")
    kept = ",".join(encoding for encoding in encodings if encoding.strip() not in ("", "aws-chunked")).strip()
    return headers | ({"content-encoding": kept} if kept else {})


def _text(value: bytes) -> str:
    """A header's value; requests are written in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def tags_of(source: Client, job: CopyJob) -> str:
    """The tags as `x-amz-tagging` wants them: like a query string.

    They are always asked for: the count in HEAD is left out where there are none, and also where the right
    to read them is missing. Raises SourceChanged, S3Error and S3StopError.
    """
    try:
        reply = await source.request("GET", job.source_key, query=[("tagging", "")])
    except S3StopError:
        raise
    except S3Error as error:
        if error.status == 501:
            return ""
        raise
    code = read_error(reply.status, reply.body)[0] if reply.status == 404 else ""
    if code == "NoSuchTagSet":
        return ""
    if code:
        raise SourceChanged(code)
    document = root_of(reply.body)
    # S3 may answer 200 and an error: it names no tags, and would pass for an object that has none.
    if reply.status != 200 or document is None or local_name(document) != "Tagging":
        raise S3Error(reply.status, "InvalidReply", "the tags cannot be read", job.source_key, verb="GET")
    pairs = [fields_of(element) for element in document.iter() if local_name(element) == "Tag"]
    return "&".join(f"{quote(pair.get('Key', ''), safe='')}={quote(pair.get('Value', ''), safe='')}" for pair in pairs)
