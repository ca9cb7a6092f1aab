"""Scratch objects under the target's prefix, for what can only be found out by trying. None is left behind.

Their names begin `<prefix>.rehome-probe-`, followed by 32 random digits, so that no application asks for them and two
probes never meet. Each holds one line of text and says in its metadata which probe made it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, NamedTuple

from ..client.client import Client
from ..client.pacing import Retry
from ..concurrency import run_all
from ..errors import S3Error, S3StopError, read_error
from ..listing.page import Listed, parse_page
from ..transport.connection import Response

SCRATCH_NAME = ".rehome-probe-"
"""What the first segment after the prefix begins with, of scratch objects only."""

RETRY = Retry(attempts=4, cap=2.0)
"""For the clients that probe: some services answer an odd key with 500, which is an answer and no trouble."""

_MARKER = "x-amz-meta-rehome-probe"
_KEPT = "kept"
_DEAD_AFTER = timedelta(hours=1)
"""A probe takes seconds; even one that waits out a throttling service is over by then."""
_MOST_LEFTOVERS = 100
"""Removed by one probe at most: whatever made more of them must be looked at, not hidden."""
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_PATIENCE_S = 10.0
"""How long a write that was interrupted may still be under way before its object is removed."""

_THROTTLED = (429, 503)


class TrialResponse(NamedTuple):
    """What came of one request.

    code, message: why it is no success; empty where it is
    """

    status: int
    code: str
    message: str
    headers: Mapping[bytes, bytes]
    body: bytes

    @property
    def ok(self) -> bool:
        return not self.code

    @property
    def denied(self) -> bool:
        return self.status == 403


async def try_request(client: Client, method: str, key: str | None, **more: Any) -> TrialResponse:
    """`Client.request`, whose refusals are an answer as well. Raises S3Error where the service gave none."""
    try:
        reply = await client.request(method, key, **more)
    except S3StopError:
        raise
    except S3Error as error:
        if not error.status or error.status in _THROTTLED:
            raise
        return TrialResponse(error.status, error.code, error.message, {}, b"")
    return _answer(reply)


async def list_first(client: Client, prefix: str, most: int = 1000) -> list[Listed]:
    """The first `most` objects under `prefix`. Raises S3Error and S3StopError, and ValueError for no whole page."""
    query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(most)), ("prefix", prefix)]
    answer = await try_request(client, "GET", None, query=query)
    if not answer.ok:
        raise S3Error(answer.status, answer.code, answer.message, None, verb="GET")
    return list(parse_page(answer.body))


def _answer(reply: Response) -> TrialResponse:
    refused = reply.status >= 300
    code, message = read_error(reply.status, reply.body) if refused else ("", "")
    return TrialResponse(reply.status, code, message, reply.headers, reply.body)


class Scratch:
    """The scratch objects of one probe: write through this, and `clean` in the end, whatever happened.

    Where the credentials may not delete, the names are fixed ones (`<prefix>.rehome-probe-kept/…`): the few small
    objects stay, and the next probe writes the same ones again.

    storing: headers that the copies are going to have too, for encryption and access
    hides_versions: versions could not be removed, and stay under delete markers
    """

    def __init__(self, client: Client, prefix: str, storing: Mapping[str, str]) -> None:
        self._client = client
        self._prefix = prefix
        self._storing = storing
        self._label = secrets.token_hex(16)
        self._written: dict[str, set[str]] = {}
        self._unsure: set[str] = set()
        self.uploads: dict[str, str] = {}
        self._under_way: set[asyncio.Future[TrialResponse]] = set()
        self._server_time = datetime.now(UTC)
        self.may_delete = True
        self.hides_versions = False

    @property
    def folder(self) -> str:
        """What all keys of this probe begin with."""
        return f"{self._prefix}{SCRATCH_NAME}{self._label}/"

    @property
    def pattern(self) -> str:
        """What the keys of all probes are, for a policy."""
        return f"{self._prefix}{SCRATCH_NAME}*"

    @property
    def body(self) -> bytes:
        """The content of every scratch object."""
        return f"A scratch object of Rehome's probe {self._label}. It can be deleted.\n".encode()

    @property
    def written(self) -> list[str]:
        """The keys that may have an object now."""
        return sorted(self._written)

    async def check_delete_right(self) -> None:
        """Learn whether the credentials may delete here, and if not, use the fixed names.

        Asks for a key that nobody has, under a condition that no object meets, so that a versioned bucket gets no
        delete marker either (DeleteObject's If-Match, S3 API reference; a service that ignores it deletes nothing).
        """
        answer = await try_request(
            self._client, "DELETE", f"{self.folder}nothing", headers={"if-match": f'"{"0" * 32}"'}
        )
        self.may_delete = not answer.denied
        if not self.may_delete:
            self._label = _KEPT
        if marker := answer.headers.get(b"x-amz-version-id"):
            await self._delete(f"{self.folder}nothing", {marker.decode()})
        if date := answer.headers.get(b"date"):
            self._server_time = parsedate_to_datetime(date.decode())

    async def put(self, name: str, headers: Mapping[str, str]) -> TrialResponse:
        """PutObject of `body`, with `headers` besides the marker and `storing`."""
        return await self.write("PUT", name, headers={**self._storing, _MARKER: self._label, **headers})

    async def copy(self, name: str, headers: Mapping[str, str]) -> TrialResponse:
        """CopyObject with `headers`, the copy's source among them."""
        return await self.write("PUT", name, headers={**self._storing, **headers}, body=b"")

    async def create_upload(self, name: str, headers: Mapping[str, str]) -> TrialResponse:
        """CreateMultipartUpload; its id is in `uploads` then."""
        marked = {**self._storing, _MARKER: self._label, **headers}
        return await self.write("POST", name, query=[("uploads", "")], headers=marked, body=b"")

    async def abort_upload(self, name: str) -> TrialResponse:
        """AbortMultipartUpload of the one upload to a name that is in `uploads`."""
        upload = self.uploads.pop(name)
        return await try_request(self._client, "DELETE", self.folder + name, query=[("uploadId", upload)])

    async def write(
        self,
        method: str,
        name: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> TrialResponse:
        """A request that may leave an object: its key is cleaned, also where the request is interrupted."""
        content = self.body if body is None else body
        if content:
            # A bucket with a default retention refuses a content without its digest (PutObject, S3 API reference).
            digest = b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
            headers = {**headers, "content-md5": digest}
        writing = asyncio.ensure_future(self._write(method, name, query, headers, content))
        self._under_way.add(writing)
        # What the server has begun it may finish, so it must not be cancelled but waited for and removed.
        answer = await asyncio.shield(writing)
        self._under_way.discard(writing)
        return answer

    async def _write(
        self, method: str, name: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], body: bytes
    ) -> TrialResponse:
        key = self.folder + name
        is_new = key not in self._written
        versions = self._written.setdefault(key, set())
        self._unsure.add(key)
        answer = await try_request(self._client, method, key, query=query, headers=headers, body=body)
        if answer.status < 500:
            self._unsure.discard(key)
        if version := answer.headers.get(b"x-amz-version-id"):
            versions.add(version.decode())
        if upload := _UPLOAD_ID.search(answer.body):
            self.uploads[name] = unescape(upload[1].decode())
        if is_new and 400 <= answer.status < 500:
            # To delete what is not there would leave a delete marker in a versioned bucket.
            self._written.pop(key, None)
        return answer

    async def clean(self) -> None:
        """Remove what was written, each version of it. Never raises: what stays is removed by a later probe."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_PATIENCE_S)
            for writing in self._under_way:
                if not writing.cancel() and not writing.cancelled():
                    writing.exception()  # asked for, or asyncio complains that nobody did
        for name in list(self.uploads):
            with suppress(S3Error):
                await self.abort_upload(name)
        if self.may_delete:
            sure = [(key, versions) for key, versions in self._written.items() if versions or key not in self._unsure]
            await run_all(*(self._delete(key, versions) for key, versions in sure))
            # The rest came back under another name, or nobody knows whether it is there.
            others = {*self._unsure, *(one.key for one in await self._listed(self.folder))}
            await run_all(*(self._remove(key) for key in others))

    async def clean_stale(self) -> None:
        """Remove what probes left that were killed: by our name and our marker, and more than an hour old."""
        if not self.may_delete:
            return
        ours = re.compile(re.escape(self._prefix + SCRATCH_NAME) + r"([0-9a-f]{32})/.+", re.DOTALL)
        dead = self._server_time - _DEAD_AFTER
        old = [one.key for one in await self._listed(self._prefix + SCRATCH_NAME) if _moment(one.last_modified) < dead]
        found = [(key, match[1]) for key in old if (match := ours.fullmatch(key))]
        await run_all(*(self._remove(key, label) for key, label in found[:_MOST_LEFTOVERS]))

    async def _remove(self, key: str, label: str | None = None) -> None:
        """Remove the current version of an object; where a label is given, only if its marker has it."""
        try:
            head = await try_request(self._client, "HEAD", key)
        except S3Error:
            return
        if head.ok and (label is None or head.headers.get(_MARKER.encode()) == label.encode()):
            version = head.headers.get(b"x-amz-version-id")
            await self._delete(key, {version.decode()} if version else set())

    async def _listed(self, prefix: str) -> list[Listed]:
        try:
            return await list_first(self._client, prefix)
        except (S3Error, ValueError):
            return []  # one of the odd keys spoils it; what is known by name is removed all the same

    async def _delete(self, key: str, versions: set[str]) -> None:
        """Delete the named versions. Without any, or without the right to (s3:DeleteObjectVersion), the object."""
        with suppress(S3Error):  # what stays is a later probe's leftover
            answers = [await try_request(self._client, "DELETE", key, query=[("versionId", one)]) for one in versions]
            self.hides_versions |= any(answer.denied for answer in answers)
            if not answers or not all(answer.ok for answer in answers):
                await try_request(self._client, "DELETE", key)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
