"""Scratch objects under a prefix, for what can only be found out by trying. None is left behind.

Their names begin with `<prefix>.rehome-probe-` and 32 random digits, so that no application requests them and two
probes never meet. Each holds one line of text, and its metadata names the probe that made it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import compress
from typing import Any, NamedTuple

from ..client.client import Client
from ..client.pacing import Retry
from ..concurrency import run_all
from ..documents import http_time_of, time_of
from ..errors import S3Error, S3RequestError, read_error
from ..listing.page import Listed, parse_page
from ..objects.etags import content_md5
from ..support import Support, judge

SCRATCH_NAME = ".rehome-probe-"
"""How the first segment after the prefix begins, of scratch objects only."""

RETRY = Retry(attempts=4, cap=2.0)
"""For clients that probe: some services reply to an odd key with 500, which is a result and no reason to retry long."""

_MARKER = "x-amz-meta-rehome-probe"
_KEPT = "kept"
_DEAD_AFTER = timedelta(hours=1)
"""A probe takes seconds; even one that a service throttles is over by then."""
_MOST_STALE = 100
"""Removed by one probe at most: whatever made more of them has to be found, not hidden."""
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_MOST_VERSIONS = 20
"""Of one scratch object; a probe writes none more often."""
_WRITE_WAIT_S = 10.0
"""How long to wait for a write that was interrupted before its object is removed."""

_THROTTLED = (429, 503)


class TrialResponse(NamedTuple):
    """The response to one request, or its refusal.

    code, message: of a refusal; "" otherwise
    """

    status: int
    code: str
    message: str
    headers: Mapping[bytes, bytes]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return not self.code

    @property
    def denied(self) -> bool:
        """Whether a right is missing."""
        return self.support() is Support.DENIED

    @property
    def answer(self) -> str:
        """The refusal in the service's own words."""
        return f"{self.status} {self.code}: {self.message.rstrip('.')}"

    def support(self, *, kept: bool = True) -> Support:
        """Return what this says about the feature that was tried; as `judge`."""
        return judge(self.status, self.code, self.message, kept=kept)

    def etag(self) -> str:
        """Return the ETag with its quotes, as conditions take it; "" if the response has none."""
        return self.headers.get(b"etag", b"").decode()

    def error(self, key: str | None, verb: str) -> S3Error:
        """Return the refusal as an error."""
        return S3RequestError(self.status, self.code, self.message, key, verb=verb)


async def try_request(client: Client, method: str, key: str | None, **more: Any) -> TrialResponse:
    """Send a request, and return a refusal as well; otherwise as `Client.request`.

    Raises S3Error if there is no reply or the service throttles, and S3StopError.
    """
    try:
        reply = await client.request(method, key, **more)
    except S3RequestError as error:
        if not error.status or error.status in _THROTTLED:
            raise
        return TrialResponse(error.status, error.code, error.message, {}, b"")
    code, message = read_error(reply.status, reply.body) if reply.status >= 300 else ("", "")
    return TrialResponse(reply.status, code, message, reply.headers, reply.body)


async def list_first(client: Client, prefix: str, limit: int = 1000) -> list[Listed]:
    """Return the first `limit` objects under `prefix`.

    Raises S3Error, S3StopError, and ValueError if the page cannot be read.
    """
    query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(limit)), ("prefix", prefix)]
    response = await try_request(client, "GET", None, query=query)
    if not response.ok:
        raise response.error(None, "GET")
    return list(parse_page(response.body))


class Scratch:
    """The scratch objects of one probe: write through this, and always call `clean` in the end.

    If the credentials may not delete, the names are fixed (`<prefix>.rehome-probe-kept/…`): the few small objects stay,
    and the next probe writes the same ones again.

    storage_headers: those that copies will have as well, for encryption and access; sent with every write
    may_delete: whether the credentials may delete (`check_delete_right`)
    hides_versions: versions could not be removed, and stay under delete markers
    uploads: open multipart uploads: id → name
    unaborted: the refusal of an abort for which a right is missing
    """

    def __init__(self, client: Client, prefix: str, storage_headers: Mapping[str, str]) -> None:
        self._client = client
        self._prefix = prefix
        self.storage_headers = storage_headers
        self._label = secrets.token_hex(16)
        self._written: dict[str, set[str]] = {}
        self._unsure: set[str] = set()
        self._keeps_versions = False
        self.uploads: dict[str, str] = {}
        self._in_flight: set[asyncio.Future[TrialResponse]] = set()
        self._date = ""
        self.may_delete = True
        self.hides_versions = False
        self.unaborted: TrialResponse | None = None

    @property
    def folder(self) -> str:
        """The prefix of all keys of this probe."""
        return f"{self._prefix}{SCRATCH_NAME}{self._label}/"

    @property
    def pattern(self) -> str:
        """The pattern of the keys of all probes, for a policy."""
        return f"{self._prefix}{SCRATCH_NAME}*"

    @property
    def body(self) -> bytes:
        """The content of every scratch object, in bytes."""
        return f"A scratch object of Rehome's probe {self._label}. It can be deleted.\n".encode()

    @property
    def written(self) -> list[str]:
        """The keys under which an object may exist now."""
        return sorted(self._written)

    def has(self, name: str) -> bool:
        """Return whether an object may exist under a name now."""
        return self.folder + name in self._written

    async def check_delete_right(self) -> None:
        """Find out whether the credentials may delete here; if not, use the fixed names.

        Deletes a key that does not exist, under a condition that no object meets, so that a versioned bucket gets no
        delete marker either (DeleteObject's If-Match, S3 API reference; a service that ignores it deletes nothing).
        """
        response = await try_request(
            self._client, "DELETE", f"{self.folder}nothing", headers={"if-match": f'"{"0" * 32}"'}
        )
        self.may_delete = not response.denied
        if not self.may_delete:
            self._label = _KEPT
        if marker := response.headers.get(b"x-amz-version-id"):
            await self._delete(f"{self.folder}nothing", {marker.decode()})
        self._date = response.headers.get(b"date", b"").decode()

    async def put(
        self,
        name: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        digest_of: bytes | None = None,
        proven: bool = False,
    ) -> TrialResponse:
        """Send PutObject with `headers` besides the marker and `storage_headers`.

        body: None: the property `body`
        digest_of: the content of which to send the digest; None: of the body
        proven: as of `Client.request`
        """
        marked = {**self.storage_headers, _MARKER: self._label, **headers}
        if digest_of is not None:
            marked["content-md5"] = content_md5(digest_of)
        return await self.write("PUT", name, headers=marked, body=body, proven=proven)

    async def copy(self, name: str, headers: Mapping[str, str]) -> TrialResponse:
        """Send CopyObject with `headers`, which name its source."""
        return await self.write("PUT", name, headers={**self.storage_headers, **headers}, body=b"")

    async def create_upload(self, name: str, headers: Mapping[str, str]) -> tuple[TrialResponse, str | None]:
        """Send CreateMultipartUpload. Returns the upload's id as well; None if there is none.

        `clean` aborts it, also if it was completed meanwhile: a missing right shows nevertheless.
        """
        marked = {**self.storage_headers, _MARKER: self._label, **headers}
        created = await self.write("POST", name, query=[("uploads", "")], headers=marked, body=b"")
        return created, _upload_id(created.body)

    async def write(
        self,
        method: str,
        name: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str],
        body: bytes | None = None,
        proven: bool = False,
    ) -> TrialResponse:
        """Send a request that may create an object: `clean` removes it, even if the request is interrupted."""
        content = self.body if body is None else body
        if content:
            # A bucket with a default retention refuses content without its digest (PutObject, S3 API reference).
            headers = {"content-md5": content_md5(content), **headers}
        writing = asyncio.ensure_future(self._write(method, name, query, headers, content, proven=proven))
        self._in_flight.add(writing)
        # The server may finish what it has begun, so the request is not cancelled but waited for, and removed.
        response = await asyncio.shield(writing)
        self._in_flight.discard(writing)
        return response

    async def _write(
        self,
        method: str,
        name: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        *,
        proven: bool,
    ) -> TrialResponse:
        key = self.folder + name
        is_new = key not in self._written
        versions = self._written.setdefault(key, set())
        self._unsure.add(key)
        response = await try_request(self._client, method, key, query=query, headers=headers, body=body, proven=proven)
        if response.status < 500:
            self._unsure.discard(key)
        if version := response.headers.get(b"x-amz-version-id"):
            versions.add(version.decode())
            self._keeps_versions = True
        if upload := _upload_id(response.body):
            self.uploads[upload] = name
        if is_new and 400 <= response.status < 500:
            # Deleting an object that does not exist would leave a delete marker in a versioned bucket.
            self._written.pop(key, None)
        return response

    async def clean(self) -> None:
        """Remove everything written, each version of it. Never raises: a later probe removes what stays."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=_WRITE_WAIT_S)
            for writing in self._in_flight:
                if not writing.cancel() and not writing.cancelled():
                    writing.exception()  # retrieved, or asyncio warns that it never was
        if not self.may_delete:
            await self._abort_all()
            return
        sure = {
            key: versions
            for key, versions in self._written.items()
            if versions or not (self._keeps_versions or key in self._unsure)
        }
        listed, (deleted, _) = await run_all(
            self._listed(self.folder), run_all(self._delete_all(sure), self._abort_all())
        )
        # The service changed their keys, or it is not known whether they exist.
        others = {*self._unsure, *(one.key for one in listed)} - deleted
        if self._keeps_versions:
            # Ceph does not say which version a copy or a completed upload is
            others.update(self._written)
        await run_all(*(self._remove(key) for key in others))

    async def clean_stale(self) -> None:
        """Remove what killed probes left: objects with our name and our marker, more than an hour old."""
        if not self.may_delete:
            return
        ours = re.compile(re.escape(self._prefix + SCRATCH_NAME) + r"([0-9a-f]{32})/.+", re.DOTALL)
        if not (listed := await self._listed(self._prefix + SCRATCH_NAME)):
            return
        dead = (http_time_of(self._date) if self._date else datetime.now(UTC)) - _DEAD_AFTER
        old = [one.key for one in listed if _stored_at(one) < dead]
        found = [(key, match[1]) for key in old if (match := ours.fullmatch(key))]
        await run_all(*(self._remove(key, label) for key, label in found[:_MOST_STALE]))

    async def _remove(self, key: str, label: str | None = None) -> None:
        """Remove an object, version after version; if a label is given, those whose marker is that."""
        for _ in range(_MOST_VERSIONS):
            try:
                head = await try_request(self._client, "HEAD", key)
            except S3Error:
                return
            if not head.ok or (label is not None and head.headers.get(_MARKER.encode()) != label.encode()):
                return
            version = head.headers.get(b"x-amz-version-id")
            await self._delete(key, {version.decode()} if version else set())
            if not version:
                return

    async def _listed(self, prefix: str) -> list[Listed]:
        try:
            return await list_first(self._client, prefix)
        except (S3Error, ValueError):
            return []  # an odd key makes the listing unreadable; objects known by name are removed

    async def _abort_all(self) -> None:
        await run_all(*(self._abort_those_of(name) for name in {*self.uploads.values()}))

    async def _abort_those_of(self, name: str) -> None:
        # One by one: if two of one key are aborted at once, SeaweedFS 4.48 takes a second for it.
        for upload in [upload for upload, its_name in self.uploads.items() if its_name == name]:
            with suppress(S3Error):
                aborted = await try_request(self._client, "DELETE", self.folder + name, query=[("uploadId", upload)])
                if aborted.denied:
                    self.unaborted = aborted

    async def _delete_all(self, versions_of: Mapping[str, set[str]]) -> set[str]:
        """Delete these versions of keys. Returns the keys for which that succeeded."""
        succeeded = await run_all(*(self._delete(key, versions) for key, versions in versions_of.items()))
        return set(compress(versions_of, succeeded))

    async def _delete(self, key: str, versions: set[str]) -> bool:
        """Delete these versions; the object if there are none, or without the right (s3:DeleteObjectVersion).

        Returns whether that succeeded.
        """
        with suppress(S3Error):  # a later probe removes what stays
            responses = [await try_request(self._client, "DELETE", key, query=[("versionId", one)]) for one in versions]
            self.hides_versions |= any(response.denied for response in responses)
            if not responses or not all(response.ok for response in responses):
                return (await try_request(self._client, "DELETE", key)).ok
            return True
        return False


def _upload_id(body: bytes) -> str | None:
    found = _UPLOAD_ID.search(body)
    return unescape(found[1].decode()) if found else None


def _stored_at(listed: Listed) -> datetime:
    try:
        return time_of(listed.last_modified)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
