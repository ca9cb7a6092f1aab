"""Objects deleted by the thousand or one by one, each only while it is still the one that was judged."""

from __future__ import annotations

import asyncio
import hashlib
import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Literal, NamedTuple

from ...backoff import longest_pause
from ..client.client import Client
from ..concurrency import run_all
from ..documents import fields_of, local_name, root_of
from ..errors import Meaning, S3Error, S3StopError, meaning_of, read_error
from ..objects.compare import head
from .versions import NO_VERSION_ID, Version

MAX_KEYS_PER_REQUEST = 1_000
"""Keys that one DeleteObjects takes (S3 API reference)."""

GONE_CODES = frozenset({"PreconditionFailed", "NoSuchKey"})
"""The object is another one by now, or none ("How to perform conditional deletes", S3 user guide)."""

_PLAIN = re.compile(r"[\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
"""Keys that go through XML, there and back, as they are; a parser may change line breaks, and refuses the rest."""

_ATTEMPTS = 5
_PAUSE_S = 0.4
"""Before the second attempt."""

DeleteMethod = Literal["together", "singly"]
"""By DeleteObjects with an ETag for each key, or by DeleteObject with If-Match behind a HEAD."""

DeleteResult = Literal["deleted", "changed", "failed"]

Sleep = Callable[[float], Awaitable[None]]


class DeleteJob(NamedTuple):
    """An object to delete. etag: the one it must have, without quotes"""

    key: str
    etag: str


class DeleteOutcome(NamedTuple):
    """What became of a job.

    result: `deleted` · `changed`: gone, or another object by now, and left alone · `failed`: refused, for `error`
    marker: the version id of the delete marker; None where the bucket keeps no versions, or did not say
    unsure: an attempt whose reply was lost may have deleted it
    """

    job: DeleteJob
    result: DeleteResult
    marker: str | None = None
    error: str | None = None
    message: str | None = None
    unsure: bool = False


async def delete_objects(
    client: Client, jobs: Sequence[DeleteJob], method: DeleteMethod, sleep: Sleep = asyncio.sleep
) -> list[DeleteOutcome]:
    """Delete up to `MAX_KEYS_PER_REQUEST` objects with distinct keys; one outcome for each, in any order.

    Needs s3:DeleteObject and s3:GetObject (for the conditions). Raises S3StopError where no request can succeed;
    then nobody knows what became of the jobs, as where this is killed.
    """
    together = [job for job in jobs if method == "together" and _PLAIN.fullmatch(job.key)]
    singly = [job for job in jobs if method == "singly" or not _PLAIN.fullmatch(job.key)]
    outcomes = await _delete_together(client, together, sleep) if together else []
    return outcomes + list(await run_all(*(_delete_one(client, job) for job in singly)))


async def undelete(
    client: Client, markers: Sequence[Version], sleep: Sleep = asyncio.sleep
) -> list[tuple[Version, str | None]]:
    """Delete exactly these delete markers, up to `MAX_KEYS_PER_REQUEST`; tells of each why it is there still, or None.

    Each is deleted by its version id, which takes nothing else away: what lies under a marker shows again. Needs
    s3:DeleteObjectVersion. Raises S3StopError.
    """
    left = {(one.key, one.version_id): (one, _SILENT) for one in markers if _PLAIN.fullmatch(one.key)}
    odd = [one for one in markers if not _PLAIN.fullmatch(one.key)]
    done: list[tuple[Version, str | None]] = list(
        zip(odd, await run_all(*(_remove_marker(client, one) for one in odd)), strict=True)
    )
    for attempt in range(_ATTEMPTS):
        if not left:
            break
        if attempt:
            await sleep(longest_pause(attempt, _PAUSE_S))
        try:
            document, _ = await _post(client, [{"Key": key, "VersionId": version} for key, version in left])
        except S3StopError:
            raise
        except S3Error as error:
            return done + [(one, str(error)) for one, _ in left.values()]
        for element in document:
            fields = fields_of(element)
            name = (fields.get("Key", ""), fields.get("VersionId", ""))
            if name not in left:
                continue
            one, _ = left.pop(name)
            if local_name(element) == "Deleted":
                done.append((one, None))
            elif _meaning(fields) in (Meaning.RETRY, Meaning.WAIT):
                left[name] = (one, f"{fields.get('Code')}: {fields.get('Message')}")
            else:
                done.append((one, f"{fields.get('Code')}: {fields.get('Message')}"))
    return done + list(left.values())


async def _remove_marker(client: Client, marker: Version) -> str | None:
    try:
        await client.request("DELETE", marker.key, query=[("versionId", marker.version_id)])
    except S3StopError:
        raise
    except S3Error as error:
        return str(error)
    return None


async def _delete_together(client: Client, jobs: Sequence[DeleteJob], sleep: Sleep) -> list[DeleteOutcome]:
    left = {job.key: DeleteOutcome(job, "failed", error="NotMentioned", message=_SILENT) for job in jobs}
    outcomes: list[DeleteOutcome] = []
    unsure = False
    for attempt in range(_ATTEMPTS):
        if attempt:
            await sleep(longest_pause(attempt, _PAUSE_S))
        try:
            asked = [{"Key": key, "ETag": f'"{last.job.etag}"'} for key, last in left.items()]
            document, repeated = await _post(client, asked)
        except S3StopError:
            raise
        except S3Error as error:
            # whatever S3 has against the request, it may have begun with it
            lost = error.repeated or unsure or not 400 <= error.status < 500
            return outcomes + [_failed(last.job, error.code, error.message, lost) for last in left.values()]
        unsure = unsure or repeated
        for element in document:
            fields = fields_of(element)
            last = left.pop(fields.get("Key", ""), None)
            if last is None:
                continue
            outcome = _outcome(last.job, local_name(element), fields, unsure)
            if outcome.result == "failed" and _meaning(fields) in (Meaning.RETRY, Meaning.WAIT):
                left[last.job.key] = outcome
            else:
                outcomes.append(outcome)
        if not left:
            return outcomes
        # what a whole reply does not mention, or had trouble with, may have been done
        unsure = True
    return outcomes + [last._replace(unsure=True) for last in left.values()]


_SILENT = "S3's reply does not mention this key"


def _outcome(job: DeleteJob, kind: str, fields: Mapping[str, str], unsure: bool) -> DeleteOutcome:
    if kind == "Deleted":
        is_marker = fields.get("DeleteMarker") == "true"
        return DeleteOutcome(job, "deleted", _marker(fields.get("DeleteMarkerVersionId", "")) if is_marker else None)
    code, message = fields.get("Code", ""), fields.get("Message", "")
    if code in GONE_CODES:
        return DeleteOutcome(job, "changed", error=code, message=message, unsure=unsure)
    return _failed(job, code, message, unsure)


def _failed(job: DeleteJob, code: str, message: str, unsure: bool) -> DeleteOutcome:
    return DeleteOutcome(job, "failed", error=code, message=message, unsure=unsure)


def _meaning(fields: Mapping[str, str]) -> Meaning:
    return meaning_of(0, fields.get("Code", ""))


async def _post(client: Client, objects: Sequence[Mapping[str, str]]) -> tuple[ET.Element, bool]:
    """One DeleteObjects; its DeleteResult, and whether an earlier attempt may have taken effect."""
    entries = "".join(
        f"<Object>{''.join(f'<{name}>{escape(value, quote=False)}</{name}>' for name, value in one.items())}</Object>"
        for one in objects
    )
    body = f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}</Delete>'.encode()
    # S3 takes the request only with a digest of it (DeleteObjects, S3 API reference)
    digest = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    reply = await client.request("POST", None, query=[("delete", "")], headers={"content-md5": digest}, body=body)
    document = root_of(reply.body)
    if reply.status != 200 or document is None or local_name(document) != "DeleteResult":
        code, message = read_error(reply.status, reply.body)
        raise S3Error(reply.status, code, message, None, verb="POST", attempts=reply.attempts, repeated=True)
    return document, reply.repeated


async def _delete_one(client: Client, job: DeleteJob) -> DeleteOutcome:
    try:
        there = await head(client, job.key, job.etag)
        if there.status != 200:
            return DeleteOutcome(job, "changed", error=read_error(there.status, b"")[0])
        reply = await client.request("DELETE", job.key, headers={"if-match": f'"{job.etag}"'})
    except S3StopError:
        raise
    except S3Error as error:
        return _failed(job, error.code, error.message, error.repeated)
    if reply.status in (404, 412):
        code, message = read_error(reply.status, reply.body)
        return DeleteOutcome(job, "changed", error=code, message=message, unsure=reply.repeated)
    is_marker = reply.headers.get(b"x-amz-delete-marker") == b"true"
    return DeleteOutcome(
        job, "deleted", _marker(reply.headers.get(b"x-amz-version-id", b"").decode()) if is_marker else None
    )


def _marker(version_id: str) -> str | None:
    """A marker without an id of its own has taken the place of what it covers (`versions.Versioning`)."""
    return None if version_id in ("", NO_VERSION_ID) else version_id
