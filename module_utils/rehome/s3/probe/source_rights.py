"""Whether the credentials that will read the source's objects can, tried on the first of them. Writes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ...errors import Finding
from ..client.client import Client
from .scratch import RETRY, TrialResponse, list_first, try_request

_ARCHIVED = "InvalidObjectState"


class Reading(NamedTuple):
    """What reading one object showed.

    findings: missing rights
    condition: whether `If-Match` with another ETag is refused
    """

    findings: tuple[Finding, ...] = ()
    condition: bool = True


async def check_reading(source: Client, prefix: str, target: Client | None, acl: bool = False) -> Reading:
    """Read the first object under `prefix` and its tags, and its ACL if the copies get that.

    target: whose credentials read the object, as in a copy inside the service; None: the source's own
    acl: whether to read the ACL, with the source's own credentials

    A right is missing only if S3 denies it (403): an archived object, or one that is gone by now, shows nothing.
    Raises S3Error if the service does not reply, S3StopError if no request can succeed.
    """
    try:
        first = await list_first(source, prefix, 1)
    except ValueError:
        first = []  # the scan reports it, as it needs the listing
    if not first:
        return Reading()
    key = first[0].key
    if acl:
        grants = await try_request(source, "GET", key, query=[("acl", "")])
        if grants.denied:
            return Reading((_finding(source, prefix, "rehome_source", grants, "s3:GetObjectAcl", "read the ACL of"),))
    if target is None:
        return await _read(source, key, prefix, "rehome_source")
    endpoint = replace(source.endpoint, credentials=target.endpoint.credentials, renew=target.endpoint.renew)
    async with Client(endpoint, 4, retry=RETRY) as reader:
        return await _read(reader, key, prefix, "rehome_target")


async def _read(reader: Client, key: str, prefix: str, setting: str) -> Reading:
    content = await try_request(reader, "GET", key, headers={"range": "bytes=0-0"})
    if content.denied and content.code != _ARCHIVED:
        return Reading((_finding(reader, prefix, setting, content, "s3:GetObject", "read"),))
    tags = await try_request(reader, "GET", key, query=[("tagging", "")])
    if tags.denied:
        return Reading((_finding(reader, prefix, setting, tags, "s3:GetObjectTagging", "read the tags of"),))
    other = await try_request(reader, "GET", key, headers={"range": "bytes=0-0", "if-match": f'"{"0" * 32}"'})
    return Reading(condition=not other.ok)


def _finding(reader: Client, prefix: str, setting: str, response: TrialResponse, action: str, doing: str) -> Finding:
    bucket = reader.endpoint.bucket
    return Finding(
        setting,
        None,
        f"S3 does not let its credentials {doing} the source's objects at s3://{bucket}/{prefix} "
        f"({response.code}: {response.message.rstrip('.')})",
        f"Grant {action} on arn:aws:s3:::{bucket}/{prefix}* to them",
    )
