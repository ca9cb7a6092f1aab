"""Multipart uploads: many parts sent at once, completed under a condition, and resumed by a later run."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType, TracebackType
from typing import NamedTuple

from ..client.client import Client
from ..concurrency import run_all
from ..documents import fields_of, full_checksums_of, http_time_of, local_name, root_of
from ..errors import TEMPORARY_CODES, S3Error, S3RequestError, S3StopError, read_error
from ..objects.compare import head
from ..objects.etags import composite_etag
from ..objects.job import CopyJob, CopyOptions, SourceChanged, target_conflicts
from ..objects.target_headers import TargetHeaders
from ..objects.target_proof import TargetProof
from ..support import is_rejection
from ..transport.connection import Response
from .abort import StoredPart, abort, abort_recorded, abort_unidentified, stored_parts
from .parts import Part, SentPart
from .record import Upload, Uploads

_CLOCK_MARGIN = 60.0
"""Seconds by which the clocks of two machines of one service may differ."""
_UNKNOWN_CLOCK_MARGIN = 900.0
"""Seconds by which our clock may be off: with more, S3 refuses our signatures (RequestTimeTooSkewed)."""
_COMPLETE_TIMEOUT = 900.0
"""Seconds; completing may take several minutes (CompleteMultipartUpload, S3 API reference)."""
_COMPLETE_ATTEMPTS = 3

_NOTHING: Mapping[str, str] = MappingProxyType({})


SendPart = Callable[[str, Part], Awaitable[SentPart]]
"""Takes the upload's id and one part, and stores the part; many run at once. Reads the reply with `sent_part`.

Raises SourceChanged, S3Error and S3StopError.
"""


class UploadResult(NamedTuple):
    """How an upload ended.

    status: 200; 412 or 404 if it was not completed, or if that is not known
    etag: of the object, without quotes; if the status is not 200, the ETag that ours would have ("": unknown)
    checksums: of the whole content in base64, by algorithm, if the reply has them
    attempts: requests sent for parts and completion
    repeated: an earlier attempt to complete may have taken effect although its reply was lost
    parts: all of them, in order
    """

    status: int
    etag: str
    checksums: Mapping[str, str] = _NOTHING
    attempts: int = 0
    repeated: bool = False
    parts: Sequence[SentPart] = ()


class Gate:
    """Limits how many parts are in flight, of all objects together. Used as a context manager.

    slots: how many
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = asyncio.Semaphore(slots)
        self._closed: S3StopError | None = None

    def close(self, reason: S3StopError) -> None:
        """Let no further part in: entering raises `reason`."""
        self._closed = reason

    async def __aenter__(self) -> None:
        await self._free.acquire()
        if self._closed is not None:
            self._free.release()
            raise self._closed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.release()


@dataclass(frozen=True, slots=True)
class CopyContext:
    """What all jobs of one run share.

    uploads: where multipart uploads are recorded while they are open
    gate: for parts
    headers: class, encryption and access of target objects
    proof: which content the target proves
    """

    source: Client
    target: Client
    options: CopyOptions
    uploads: Uploads
    gate: Gate
    headers: TargetHeaders
    proof: TargetProof = field(default_factory=TargetProof)


@dataclass
class MultipartUpload:
    """Creates one job's target object from parts.

    headers: for CreateMultipartUpload (metadata, tags, class, encryption, access, checksum)
    parts: all of them, in order
    complete_headers: for CompleteMultipartUpload, such as the checksum that the object must have
    source_state: what tells the source object from others with its ETag; an upload that began with another is not
        resumed
    before_complete: called when the target has all parts; may raise what `send` raises
    etag: that the ETags of the parts must give, without quotes; if they do not, the upload is aborted, with
        S3RequestError ContentDiffers. "": whatever they give
    """

    context: CopyContext
    job: CopyJob
    headers: Mapping[str, str]
    parts: Sequence[Part]
    send: SendPart
    complete_headers: Mapping[str, str] = field(default_factory=dict)
    source_state: str = ""
    before_complete: Callable[[], Awaitable[None]] | None = None
    etag: str = ""
    _id: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._target = self.context.target
        self._uploads = self.context.uploads
        self._bucket = self._target.endpoint.bucket
        able = self.context.options.capabilities
        self._condition = self.job.condition(able.complete_condition, able.complete_match)

    async def run(self) -> UploadResult:
        """Send the parts that no earlier run has sent, and complete the upload.

        If the target key is taken, no part is sent. An upload that cannot be completed is aborted. After a stop, a
        cancellation or a transient error it stays recorded in `uploads`, and the next run of the same job resumes it.
        Raises SourceChanged, S3Error, S3StopError, and what `send` raises.
        """
        existing = await head(self._target, self.job.target_key)
        if target_conflicts(existing, self.job):
            await self._drop_recorded()
            return UploadResult(412, "")
        stored = await self._open(_server_time(existing))
        try:
            return await self._finish(await self._send_missing(stored))
        except S3RequestError as error:
            if not _is_transient(error):
                await self._discard()
            raise
        except SourceChanged:
            await self._discard()
            raise

    async def _open(self, began: float) -> Mapping[int, StoredPart]:
        """Resume the recorded upload or create one, and return the parts that it has."""
        job = self.job
        began_with = repr(sorted(self.headers.items())) + self.source_state
        settings = hashlib.sha256(began_with.encode()).hexdigest()
        wanted = Upload(self._bucket, job.target_key, None, job.etag, job.size, self.parts[0].size, settings, began)
        known = self._uploads.find(self._bucket, job.target_key)
        if known is not None and known._replace(upload_id=None, began=began) == wanted and known.upload_id:
            stored = await self._stored(known.upload_id)
            if stored is not None:
                self._id = known.upload_id
                return stored
        await self._drop_recorded()
        self._uploads.add(wanted)
        try:
            reply = await self._target.request("POST", job.target_key, query=[("uploads", "")], headers=self.headers)
        except S3Error as error:
            if error.repeated or error.status == 0:
                # Best effort: an upload that cannot be aborted now stays recorded for the next run.
                with suppress(S3Error):
                    await self._drop_recorded()
            else:
                self._uploads.remove(self._bucket, job.target_key)
            raise
        self._id = fields_of(root_of(reply.body)).get("UploadId", "")
        if reply.status != 200 or not self._id:
            code, message = read_error(reply.status, reply.body)
            raise S3RequestError(reply.status, code, message, job.target_key, verb="POST", attempts=reply.attempts)
        self._uploads.set_id(self._bucket, job.target_key, self._id)
        if reply.repeated:
            await abort_unidentified(self._target, wanted, except_id=self._id)
        return {}

    async def _stored(self, upload_id: str) -> Mapping[int, StoredPart] | None:
        """Return the parts that the upload has; None without it, or if they cannot be listed, now or ever."""
        try:
            return await stored_parts(self._target, self.job.target_key, upload_id)
        except S3RequestError as error:
            unreadable = error.status == 200 and error.code not in TEMPORARY_CODES
            if error.status == 403 or unreadable or is_rejection(error.status, error.code, error.message):
                return None
            raise

    async def _send_missing(self, stored: Mapping[int, StoredPart]) -> list[SentPart]:
        """Send the parts that are missing, and return all. The first error cancels the parts in flight."""
        sent = {
            part.number: SentPart(part.number, stored[part.number].etag, stored[part.number].checksums, 0)
            for part in self.parts
            if part.number in stored and stored[part.number].size == part.size
        }
        self._uploads.bytes_sent[self.job.target_key] = sum(part.size for part in self.parts if part.number in sent)
        missing = [part for part in self.parts if part.number not in sent]
        queue = iter(missing)
        await run_all(*(self._send_from(queue, sent) for _ in missing[: self.context.gate.slots]))
        return [sent[part.number] for part in self.parts]

    async def _send_from(self, queue: Iterator[Part], sent: dict[int, SentPart]) -> None:
        for part in queue:
            async with self.context.gate:
                sent[part.number] = await self.send(self._id, part)
                self._uploads.bytes_sent[self.job.target_key] += part.size

    async def _finish(self, sent: Sequence[SentPart]) -> UploadResult:
        """Complete the upload if the target key still is as the job expects it."""
        ours = composite_etag([part.etag for part in sent])
        attempts = sum(part.attempts for part in sent)
        if self.etag and ours != self.etag:
            message = "the parts that the target received are not those of the source's ETag"
            raise S3RequestError(400, "ContentDiffers", message, self.job.target_key, verb="POST", attempts=attempts)
        if self.before_complete is not None:
            await self.before_complete()
        if not self._condition and await self._conflicts():
            # Between this check and the completion somebody else may store the object, and lose it: that is the
            # price of a service that ignores the condition.
            await self._discard()
            return UploadResult(412, ours, attempts=attempts, parts=sent)
        try:
            reply = await self._complete(sent)
        except S3RequestError as error:
            if not (error.repeated or error.status in (0, 200)) or not await self._conflicts():
                raise
            await self._discard()
            return UploadResult(412, ours, _NOTHING, attempts + error.attempts, repeated=True, parts=sent)
        attempts += reply.attempts
        if reply.status != 200:
            await self._discard()
            return UploadResult(reply.status, ours, _NOTHING, attempts, reply.repeated, sent)
        self._uploads.remove(self._bucket, self.job.target_key)
        fields = fields_of(root_of(reply.body))
        etag = fields.get("ETag", "").strip('"')
        return UploadResult(200, etag, full_checksums_of(fields), attempts, reply.repeated, sent)

    async def _conflicts(self) -> bool:
        return target_conflicts(await head(self._target, self.job.target_key), self.job)

    async def _complete(self, sent: Sequence[SentPart]) -> Response:
        """Send CompleteMultipartUpload; again if a reply of status 200 is an error or is cut short."""
        job = self.job
        headers = {
            **job.target_condition(self._condition),
            "x-amz-mp-object-size": str(job.size),
            **self.complete_headers,
        }
        body = _complete_document(sent, self.headers.get("x-amz-checksum-algorithm", "").lower())
        code, message = "", ""
        for attempt in range(1, _COMPLETE_ATTEMPTS + 1):
            reply = await self._target.request(
                "POST",
                job.target_key,
                query=[("uploadId", self._id)],
                headers=headers,
                body=body,
                read_timeout=_COMPLETE_TIMEOUT,
            )
            document = root_of(reply.body)
            if reply.status != 200 or (
                document is not None and local_name(document) == "CompleteMultipartUploadResult"
            ):
                return reply._replace(attempts=reply.attempts + attempt - 1, repeated=reply.repeated or attempt > 1)
            code, message = read_error(reply.status, reply.body.strip())
        raise S3RequestError(
            200, code, message, job.target_key, verb="POST", attempts=_COMPLETE_ATTEMPTS, repeated=True
        )

    async def _drop_recorded(self) -> None:
        """Abort the upload that is recorded for the target key, if there is one."""
        known = self._uploads.find(self._bucket, self.job.target_key)
        if known is not None:
            await abort_recorded(self._target, known)
            self._uploads.remove(self._bucket, known.target_key)

    async def _discard(self) -> None:
        """Abort this upload. If that fails it stays recorded, and the original error is reported."""
        with suppress(S3Error):
            await abort(self._target, self.job.target_key, self._id)
            self._uploads.remove(self._bucket, self.job.target_key)


def _is_transient(error: S3Error) -> bool:
    """Return whether the same upload may succeed later: no reply, throttling, or an error of S3's own."""
    if error.status == 200:
        return error.code in TEMPORARY_CODES
    return error.status in (0, 408, 429) or error.status >= 500


def _server_time(reply: Response) -> float:
    """Return the service's time, or a little less; seconds since the epoch."""
    with suppress(ValueError):
        return http_time_of(reply.headers.get(b"date", b"").decode()).timestamp() - _CLOCK_MARGIN
    return time.time() - _UNKNOWN_CLOCK_MARGIN


def _complete_document(sent: Sequence[SentPart], algorithm: str) -> bytes:
    """Return the body of CompleteMultipartUpload.

    algorithm: that the upload was created with; S3 takes the parts' checksums of no other
    """
    parts = []
    for part in sent:
        value = part.checksums.get(algorithm) if algorithm else None
        checksum = (
            f"<Checksum{algorithm.upper()}>{escape(value, quote=False)}</Checksum{algorithm.upper()}>" if value else ""
        )
        etag = escape(part.etag, quote=False)
        parts.append(f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>{checksum}</Part>")
    return (
        '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{''.join(parts)}</CompleteMultipartUpload>"
    ).encode()
