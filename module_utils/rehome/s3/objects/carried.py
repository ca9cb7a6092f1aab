"""What goes with content that we write ourselves: the source's metadata and tags, and the run's own headers."""

from __future__ import annotations

from typing import NamedTuple

from ..client.client import Client
from ..errors import S3Error, S3StopError
from ..transport.connection import Response
from .job import CopyJob
from .properties import TAGGING_LIMIT, metadata_of, tags_of
from .target_headers import TargetHeaders

_NO_TAGS = frozenset({405, 501})
"""Statuses of services that know no tags."""


class Apart(NamedTuple):
    """What has to be asked for apart from the content.

    headers: class, encryption and access of the target object
    tags: of the source, encoded
    """

    headers: dict[str, str]
    tags: str


class Carried(NamedTuple):
    """What goes with the content.

    headers: for PutObject and CreateMultipartUpload
    tags: encoded tags that are too long for a header; `store_late` stores them
    """

    headers: dict[str, str]
    tags: str


async def read_other_properties(source: Client, job: CopyJob, target_headers: TargetHeaders) -> Apart:
    """Ask for the tags, and for the grants where they are to be copied. Raises SourceChanged, S3Error, S3StopError."""
    return Apart(await target_headers.of(job), await _tags_of(source, job))


def carry(job: CopyJob, reply: Response, apart: Apart) -> Carried:
    """All of it, with the metadata from the reply to a GET or HEAD. Raises S3Error (MetadataNotReadable)."""
    headers = {**metadata_of(job, reply), **apart.headers}
    if len(apart.tags) > TAGGING_LIMIT:
        return Carried(headers, apart.tags)
    return Carried({**headers, "x-amz-tagging": apart.tags} if apart.tags else headers, "")


async def _tags_of(source: Client, job: CopyJob) -> str:
    try:
        return await tags_of(source, job)
    except S3StopError:
        raise
    except S3Error as error:
        if error.status in _NO_TAGS or error.code == "NotImplemented":
            return ""
        if error.status != 403:
            raise
        message = f"the source object's tags cannot be read, which takes the right s3:GetObjectTagging: {error.message}"
        raise S3Error(403, error.code, message, job.source_key, verb="GET", attempts=error.attempts) from None
