"""Delete objects, up to 1,000 in one request or one by one, each only if it is still the one that was checked."""

from __future__ import annotations

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Literal, NamedTuple

from ...backoff import longest_pause
from ..client.client import Client
from ..client.replies import document_of
from ..concurrency import run_all
from ..documents import fields_of, local_name
from ..errors import Meaning, S3RequestError, meaning_of, read_error
from ..objects.compare import head
from ..objects.etags import content_md5
from ..support import Support, judge
from .versions import NO_VERSION_ID, Version

MAX_KEYS_PER_REQUEST = 1_000
"""Keys that one DeleteObjects takes (S3 API reference)."""

GONE_CODES = frozenset({"PreconditionFailed", "NoSuchKey"})
"""The object is another one by now, or gone ("How to perform conditional deletes", S3 user guide)."""

_PLAIN = re.compile(r"[\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
"""Keys that pass through XML, there and back, unchanged; a parser may change line breaks, and refuses the rest."""

_ATTEMPTS = 5
_PAUSE_S = 0.4
"""Before the second attempt."""

_NOT_IN_REPLY = "S3's reply does not mention this key"

DeleteMethod = Literal["together", "singly"]
"""By DeleteObjects with an ETag for each key, or by a HEAD and a DeleteObject with If-Match for each."""

DeleteResult = Literal["deleted", "changed", "failed"]

Sleep = Callable[[float], Awaitable[None]]


class DeleteJob(NamedTuple):
    """An object to delete.

    etag: that it must have, without quotes
    """

    key: str
    etag: str


class DeleteOutcome(NamedTuple):
    """The outcome of a job.

    result: `deleted` · `changed`: gone, or another object by now, which stays · `failed`: refused with `error`
    marker: the version id of the delete marker; None if the bucket keeps no versions, or the service does not say
    unsure: an attempt whose reply was lost may have deleted the object
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
    """Delete up to `MAX_KEYS_PER_REQUEST` objects with distinct keys; return one outcome for each, in any order.

    Needs s3:DeleteObject, and s3:GetObject for the conditions. Raises S3StopError if no request can succeed; the
    outcomes of the jobs are unknown then, as they are if the process is killed.
    """
    together = [job for job in jobs if method == "together" and _PLAIN.fullmatch(job.key)]
    singly = [job for job in jobs if method == "singly" or not _PLAIN.fullmatch(job.key)]
    outcomes = await _delete_together(client, together, sleep) if together else []
    return outcomes + list(await run_all(*(_delete_one(client, job) for job in singly)))


class Refusal(NamedTuple):
    """Why a delete marker remains: S3's code and message."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


async def undelete(
    client: Client, markers: Sequence[Version], sleep: Sleep = asyncio.sleep
) -> list[tuple[Version, Refusal | None]]:
    """Remove exactly these delete markers, up to `MAX_KEYS_PER_REQUEST`; return with each why it remains, or None.

    Each is removed by its version id, which removes nothing else: the version under a marker becomes current again.
    A service without DeleteObjects (Google's, for one) gets a request for each. Needs s3:DeleteObjectVersion. Raises
    S3StopError.
    """
    unmentioned = Refusal("NotMentioned", _NOT_IN_REPLY)
    left = {(one.key, one.version_id): (one, unmentioned) for one in markers if _PLAIN.fullmatch(one.key)}
    odd = [one for one in markers if not _PLAIN.fullmatch(one.key)]
    done = await _remove_singly(client, odd)
    for attempt in range(_ATTEMPTS):
        if not left:
            break
        if attempt:
            await sleep(longest_pause(attempt, _PAUSE_S))
        try:
            document, _ = await _post(client, [{"Key": key, "VersionId": version} for key, version in left])
        except S3RequestError as error:
            if judge(error.status, error.code, error.message) is Support.REJECTS:
                return done + await _remove_singly(client, [one for one, _ in left.values()])
            return done + [(one, Refusal(error.code, error.message)) for one, _ in left.values()]
        for element in document:
            fields = fields_of(element)
            name = (fields.get("Key", ""), fields.get("VersionId", ""))
            if name not in left:
                continue
            one, _ = left.pop(name)
            problem = Refusal(fields.get("Code", ""), fields.get("Message", ""))
            if local_name(element) == "Deleted":
                done.append((one, None))
            elif _is_temporary(fields):
                left[name] = (one, problem)
            else:
                done.append((one, problem))
    return done + list(left.values())


async def _remove_singly(client: Client, markers: Sequence[Version]) -> list[tuple[Version, Refusal | None]]:
    return list(zip(markers, await run_all(*(_remove_marker(client, one) for one in markers)), strict=True))


async def _remove_marker(client: Client, marker: Version) -> Refusal | None:
    try:
        await client.request("DELETE", marker.key, query=[("versionId", marker.version_id)])
    except S3RequestError as error:
        return Refusal(error.code, error.message)
    return None


async def _delete_together(client: Client, jobs: Sequence[DeleteJob], sleep: Sleep) -> list[DeleteOutcome]:
    left = {job.key: DeleteOutcome(job, "failed", error="NotMentioned", message=_NOT_IN_REPLY) for job in jobs}
    outcomes: list[DeleteOutcome] = []
    unsure = False
    for attempt in range(_ATTEMPTS):
        if attempt:
            await sleep(longest_pause(attempt, _PAUSE_S))
        try:
            entries = [{"Key": key, "ETag": f'"{last.job.etag}"'} for key, last in left.items()]
            document, repeated = await _post(client, entries)
        except S3RequestError as error:
            # Even if S3 then refused the request, it may have begun to carry it out.
            lost = error.repeated or unsure or not 400 <= error.status < 500
            return outcomes + [_failed(last.job, error.code, error.message, lost) for last in left.values()]
        unsure = unsure or repeated
        for element in document:
            fields = fields_of(element)
            last = left.pop(fields.get("Key", ""), None)
            if last is None:
                continue
            outcome = _outcome(last.job, local_name(element), fields, unsure)
            if outcome.result == "failed" and _is_temporary(fields):
                left[last.job.key] = outcome
            else:
                outcomes.append(outcome)
        if not left:
            return outcomes
        # A key that the reply does not mention, or reports with a temporary error, may have been deleted.
        unsure = True
    return outcomes + [last._replace(unsure=True) for last in left.values()]


def _outcome(job: DeleteJob, element: str, fields: Mapping[str, str], unsure: bool) -> DeleteOutcome:
    if element == "Deleted":
        is_marker = fields.get("DeleteMarker") == "true"
        return DeleteOutcome(job, "deleted", _marker(fields.get("DeleteMarkerVersionId", "")) if is_marker else None)
    code, message = fields.get("Code", ""), fields.get("Message", "")
    if code in GONE_CODES:
        return DeleteOutcome(job, "changed", error=code, message=message, unsure=unsure)
    return _failed(job, code, message, unsure)


def _failed(job: DeleteJob, code: str, message: str, unsure: bool) -> DeleteOutcome:
    return DeleteOutcome(job, "failed", error=code, message=message, unsure=unsure)


def _is_temporary(fields: Mapping[str, str]) -> bool:
    return meaning_of(0, fields.get("Code", "")) in (Meaning.RETRY, Meaning.WAIT)


async def _post(client: Client, objects: Sequence[Mapping[str, str]]) -> tuple[ET.Element, bool]:
    """Send one DeleteObjects; return its DeleteResult, and whether an earlier attempt may have taken effect."""
    entries = "".join(
        f"<Object>{''.join(f'<{name}>{escape(value, quote=False)}</{name}>' for name, value in one.items())}</Object>"
        for one in objects
    )
    body = f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}</Delete>'.encode()
    # S3 takes the request only with its digest (DeleteObjects, S3 API reference).
    headers = {"content-md5": content_md5(body)}
    reply = await client.request("POST", None, query=[("delete", "")], headers=headers, body=body)
    return document_of(reply, "DeleteResult", None, verb="POST", repeated=True), reply.repeated


async def _delete_one(client: Client, job: DeleteJob) -> DeleteOutcome:
    try:
        found = await head(client, job.key, job.etag)
        if found.status != 200:
            return DeleteOutcome(job, "changed", error=read_error(found.status, b"")[0])
        reply = await client.request("DELETE", job.key, headers={"if-match": f'"{job.etag}"'})
    except S3RequestError as error:
        return _failed(job, error.code, error.message, error.repeated)
    if reply.status in (404, 412):
        code, message = read_error(reply.status, reply.body)
        return DeleteOutcome(job, "changed", error=code, message=message, unsure=reply.repeated)
    is_marker = reply.headers.get(b"x-amz-delete-marker") == b"true"
    return DeleteOutcome(
        job, "deleted", _marker(reply.headers.get(b"x-amz-version-id", b"").decode()) if is_marker else None
    )


def _marker(version_id: str) -> str | None:
    """Return the id of a marker; None if it has none of its own and has replaced the version (`Versioning`)."""
    return None if version_id in ("", NO_VERSION_ID) else version_id
