"""The properties of a target object that we write ourselves: the source's metadata and tags, and the run's headers."""

from __future__ import annotations

from typing import NamedTuple

from ..client.client import Client
from ..errors import S3RequestError
from ..transport.connection import Response
from .job import CopyJob
from .properties import Properties, metadata_of, tags_of, with_tags
from .target_headers import TargetHeaders

_NO_TAGS = frozenset({405, 501})
"""Statuses of services that do not support tags."""


class OtherProperties(NamedTuple):
    """The properties that no reply to GET or HEAD has.

    headers: class, encryption and access of the target object
    tags: of the source, encoded
    """

    headers: dict[str, str]
    tags: str


async def read_other_properties(source: Client, job: CopyJob, target_headers: TargetHeaders) -> OtherProperties:
    """Read the tags, and the grants if they are to be copied. Raises SourceChanged, S3Error, S3StopError."""
    return OtherProperties(await target_headers.for_job(job), await _tags_of(source, job))


def carried_properties(job: CopyJob, reply: Response, others: OtherProperties) -> Properties:
    """Return all properties, with the metadata from the reply to a GET or HEAD.

    Raises S3Error (MetadataNotReadable) if some of it is not in the reply.
    """
    return with_tags({**metadata_of(job, reply), **others.headers}, others.tags)


async def _tags_of(source: Client, job: CopyJob) -> str:
    try:
        return await tags_of(source, job)
    except S3RequestError as error:
        if error.status in _NO_TAGS or error.code == "NotImplemented":
            return ""
        if error.status != 403:
            raise
        message = f"the source object's tags cannot be read (s3:GetObjectTagging is needed): {error.message}"
        raise S3RequestError(403, error.code, message, job.source_key, verb="GET", attempts=error.attempts) from None
