"""Whether the source's objects can be read as a copy will read them, tried on the first of them. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from ...codes import Code
from ...errors import Finding
from ..client.client import Client
from ..concurrency import run_all
from ..listing.page import Listed
from ..support import Support
from .scratch import RETRY, TrialResponse, list_first, try_request

_ARCHIVED = "InvalidObjectState"
_TAG = re.compile(rb"<Tag[\s>]")
_FIRST_BYTE: Mapping[str, str] = MappingProxyType({"range": "bytes=0-0"})
SAMPLE = 20
"""Objects whose tags are read if the target keeps none."""


class Reading(NamedTuple):
    """What reading one object showed.

    findings: missing rights, and what the service does not have although the settings ask for it
    condition: `If-Match` with another ETag is refused
    tags: GetObjectTagging
    was_read: the content was sent, or is in an archive, of which only those who may read it are told
    """

    findings: tuple[Finding, ...] = ()
    condition: Support = Support.HAS
    tags: Support = Support.HAS
    was_read: bool = False


async def check_reading(
    source: Client, prefix: str, target: Client | None, *, acl: bool = False, tags: bool = True
) -> Reading:
    """Read the first object under `prefix`; as `check_reading_of`."""
    first = await list_source(source, prefix, 1)
    return await check_reading_of(source, first, prefix, target, acl=acl, tags=tags)


async def list_source(source: Client, prefix: str, limit: int) -> list[Listed]:
    """Return the first objects under `prefix`; none if the page cannot be read: the scan reports that.

    Raises S3Error and S3StopError.
    """
    try:
        return await list_first(source, prefix, limit)
    except ValueError:
        return []


async def check_reading_of(
    source: Client,
    listed: Sequence[Listed],
    prefix: str,
    target: Client | None,
    *,
    acl: bool,
    tags: bool,
) -> Reading:
    """Read the first of the listed objects and its tags, and its ACL if the copies get that.

    prefix: for messages
    target: whose credentials read the object, as in a copy inside the service; None: the source's own
    acl: whether to read the ACL, with the source's own credentials
    tags: whether to read the tags

    A right is missing only if S3 denies it (403): an archived object, or one that is gone by now, shows nothing.
    Raises S3Error if the service does not reply, S3StopError if no request can succeed.
    """
    if not listed:
        return Reading()
    key = listed[0].key
    if acl:
        grants = await try_request(source, "GET", key, query=[("acl", "")])
        if grants.denied:
            return Reading((_finding(source, prefix, "rehome_source", grants, "s3:GetObjectAcl", "read the ACL of"),))
        if grants.support() is Support.REJECTS:
            return Reading((no_acls("source", grants),))
    if target is None:
        return await _read(source, key, prefix, "rehome_source", tags)
    endpoint = replace(source.endpoint, credentials=target.endpoint.credentials, renew=target.endpoint.renew)
    async with Client(endpoint, 4, retry=RETRY) as reader:
        return await _read(reader, key, prefix, "rehome_target", tags)


def no_acls(place: str, response: TrialResponse) -> Finding:
    """Return the finding for a service without ACLs. `place` is `source` or `target`."""
    return Finding(
        "rehome_acl",
        None,
        f"the {place}'s service has no access control lists, which is no missing right ({response.answer})",
        "Set it to none",
        Code.S3_LACKS,
    )


async def has_tags(source: Client, listed: Sequence[Listed]) -> str | None:
    """Return the key of an object with tags, of the first `SAMPLE`; None if those have none, or do not say."""
    for one in listed[:SAMPLE]:
        response = await try_request(source, "GET", one.key, query=[("tagging", "")])
        if response.ok and _TAG.search(response.body):
            return one.key
    return None


async def _read(reader: Client, key: str, prefix: str, setting: str, tags: bool) -> Reading:
    content, other, *tagging = await run_all(
        try_request(reader, "GET", key, headers=_FIRST_BYTE),
        try_request(reader, "GET", key, headers={**_FIRST_BYTE, "if-match": f'"{"0" * 32}"'}),
        *([try_request(reader, "GET", key, query=[("tagging", "")])] if tags else []),
    )
    if content.denied and content.code != _ARCHIVED:
        return Reading((_finding(reader, prefix, setting, content, "s3:GetObject", "read"),))
    keeps = Support.HAS
    for found in tagging:
        if found.denied:
            return Reading((_finding(reader, prefix, setting, found, "s3:GetObjectTagging", "read the tags of"),))
        # with 404 the object may be gone, and the tags of the others would be left behind
        keeps = found.support() if found.status != 404 else Support.HAS
    was_read = content.ok or content.code == _ARCHIVED
    return Reading(condition=Support.IGNORES if other.ok else Support.HAS, tags=keeps, was_read=was_read)


def _finding(reader: Client, prefix: str, setting: str, response: TrialResponse, action: str, doing: str) -> Finding:
    bucket = reader.endpoint.bucket
    return Finding(
        setting,
        None,
        f"S3 does not let its credentials {doing} the source's objects at s3://{bucket}/{prefix} ({response.answer})",
        f"Grant {action} on arn:aws:s3:::{bucket}/{prefix}* to them",
        Code.S3_DENIED,
    )
