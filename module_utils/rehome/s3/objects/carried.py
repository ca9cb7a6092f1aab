"""The properties of a target object that we write ourselves: the source's metadata and tags, and the run's headers."""

from __future__ import annotations

from typing import NamedTuple

from ..client.client import Client
from ..transport.connection import Response
from .job import CopyJob, CopyOptions
from .properties import Properties, metadata_of, tags_of, with_tags
from .target_headers import TargetHeaders


class OtherProperties(NamedTuple):
    """The properties that no reply to GET or HEAD has.

    headers: class, encryption and access of the target object
    tags: of the source, encoded
    """

    headers: dict[str, str]
    tags: str


async def read_other_properties(
    source: Client, job: CopyJob, target_headers: TargetHeaders, options: CopyOptions
) -> OtherProperties:
    """Read the tags and the grants, as far as they are to be copied. Raises SourceChanged, S3Error, S3StopError."""
    return OtherProperties(await target_headers.for_job(job), await tags_of(source, job) if options.tags else "")


def carried_properties(job: CopyJob, reply: Response, others: OtherProperties, options: CopyOptions) -> Properties:
    """Return all properties, with the metadata from the reply to a GET or HEAD.

    Raises S3Error (MetadataNotReadable) if some of it is not in the reply, or as `with_tags`.
    """
    return with_tags(job, options.capabilities, {**metadata_of(job, reply), **others.headers}, others.tags)
