"""Uploads in parts: laid out, sent many at once, completed under a condition, and resumed after a kill."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from html import escape
from types import MappingProxyType, TracebackType
from typing import NamedTuple

from ..client.client import Client
from ..concurrency import run_all
from ..documents import fields_of, full_checksums_of, local_name, root_of
from ..errors import TEMPORARY_CODES, S3Error, S3StopError, read_error
from ..objects.compare import etag_of, head
from ..objects.etags import composite_etag
from ..objects.job import CopyJob, CopyOptions, SourceChanged
from ..objects.target_headers import TargetHeaders
from ..transport.connection import Response
from .abort import StoredPart, abort, abort_unidentified, stored_parts
from .parts import Part, SentPart
from .record import Upload, Uploads

_CLOCK_MARGIN = 60.0
"""Seconds that two machines of one service may be apart."""
_UNKNOWN_CLOCK_MARGIN = 900.0
"""Seconds that our clock may be off: more, and S3 refuses our signatures (RequestTimeTooSkewed)."""
_COMPLETE_TIMEOUT = 900.0
"""Seconds; completing may take several minutes (CompleteMultipartUpload, S3 API reference)."""
_COMPLETE_ATTEMPTS = 3

_NOTHING: Mapping[str, str] = MappingProxyType({})


SendPart = Callable[[str, Part], Awaitable[SentPart]]
"""Gets the upload's id and one part, and stores it; many run at once. Reads the reply with `sent_part`.

Raises SourceChanged, S3Error and S3StopError.
"""


class UploadResult(NamedTuple):
    """How an upload ended.

    status: 200; or 412 or 404: it was not completed, or that is not known: `server_side.explain` tells
    etag: of the object, without quotes; if the status is not 200, the one that ours would have (empty: unknown)
    checksums: of the whole content in base64, by algorithm, where the reply has them
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
    """Lets so many parts be under way at once, of all objects together. Used as a context manager.

    places: how many
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._free = asyncio.Semaphore(places)
        self._closed: S3StopError | None = None

    def close(self, reason: S3StopError) -> None:
        """Let no further part in: whoever asks gets `reason` raised."""
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
class Shared:
    """What all the jobs of one run share.

    gate: for parts
    headers: what every target object gets: class, encryption, access
    """

    gate: Gate
    headers: TargetHeaders


async def upload_in_parts(
    target: Client,
    job: CopyJob,
    options: CopyOptions,
    headers: Mapping[str, str],
    parts: Sequence[Part],
    send: SendPart,
    uploads: Uploads,
    gate: Gate,
    complete_headers: Mapping[str, str] = _NOTHING,
) -> UploadResult:
    """Make `job`'s target object out of parts, of which those that an earlier run sent are not sent again.

    headers: for CreateMultipartUpload (metadata, tags, class, encryption, access, checksum)
    complete_headers: for CompleteMultipartUpload, such as the checksum that the object must have

    A target key that is taken is found before the first part is sent. An upload that cannot be completed is
    aborted; one that a stop, a cancellation or a passing failure ended stays recorded in `uploads`, and the next
    call with the same job resumes it. Raises SourceChanged, S3Error, S3StopError, and what `send` raises.
    """
    upload = _Upload(target, job, options, headers, parts, send, uploads, gate, complete_headers)
    there = await head(target, job.target_key)
    if target_conflicts(there, job):
        await upload.drop_recorded()
        return UploadResult(412, "")
    stored = await upload.open(_server_time(there))
    try:
        return await upload.finish(await upload.send_all(stored))
    except S3StopError:
        raise
    except S3Error as error:
        if not _is_passing(error):
            await upload.discard()
        raise
    except SourceChanged:
        await upload.discard()
        raise


class _Upload:
    """One call of `upload_in_parts`."""

    def __init__(
        self,
        target: Client,
        job: CopyJob,
        options: CopyOptions,
        headers: Mapping[str, str],
        parts: Sequence[Part],
        send: SendPart,
        uploads: Uploads,
        gate: Gate,
        complete_headers: Mapping[str, str],
    ) -> None:
        self._target = target
        self._job = job
        self._options = options
        self._headers = headers
        self._parts = parts
        self._send = send
        self._uploads = uploads
        self._gate = gate
        self._complete_headers = complete_headers
        self._bucket = target.endpoint.bucket
        self._id = ""

    async def open(self, began: float) -> Mapping[int, StoredPart]:
        """Resume the recorded upload or create one; returns the parts that it has."""
        job = self._job
        settings = hashlib.sha256(repr(sorted(self._headers.items())).encode()).hexdigest()
        wanted = Upload(self._bucket, job.target_key, None, job.etag, job.size, self._parts[0].size, settings, began)
        known = self._uploads.find(self._bucket, job.target_key)
        if known is not None and known._replace(upload_id=None, began=began) == wanted and known.upload_id:
            stored = await self._stored(known.upload_id)
            if stored is not None:
                self._id = known.upload_id
                return stored
        await self.drop_recorded()
        self._uploads.intend(wanted)
        try:
            reply = await self._target.request("POST", job.target_key, query=[("uploads", "")], headers=self._headers)
        except S3Error as error:
            if error.repeated or error.status == 0:
                # Best effort: what cannot be cleared up now stays recorded for the next run.
                with suppress(S3Error):
                    await self.drop_recorded()
            else:
                self._uploads.forget(self._bucket, job.target_key)
            raise
        self._id = fields_of(root_of(reply.body)).get("UploadId", "")
        if reply.status != 200 or not self._id:
            code, message = read_error(reply.status, reply.body)
            raise S3Error(reply.status, code, message, job.target_key, verb="POST", attempts=reply.attempts)
        self._uploads.opened(self._bucket, job.target_key, self._id)
        if reply.repeated:
            await abort_unidentified(self._target, wanted, but=self._id)
        return {}

    async def _stored(self, upload_id: str) -> Mapping[int, StoredPart] | None:
        """The parts that can be built on; without the right to list them that is none."""
        try:
            return await stored_parts(self._target, self._job.target_key, upload_id)
        except S3StopError:
            raise
        except S3Error as error:
            if error.status != 403:
                raise
            return None

    async def send_all(self, stored: Mapping[int, StoredPart]) -> list[SentPart]:
        """Send what is missing; the first failure ends the others that are under way."""
        sent = {
            part.number: SentPart(part.number, stored[part.number].etag, stored[part.number].checksums, 0)
            for part in self._parts
            if part.number in stored and stored[part.number].size == part.size
        }
        missing = [part for part in self._parts if part.number not in sent]
        queue = iter(missing)
        await run_all(*(self._send_from(queue, sent) for _ in missing[: self._gate.places]))
        return [sent[part.number] for part in self._parts]

    async def _send_from(self, queue: Iterator[Part], sent: dict[int, SentPart]) -> None:
        for part in queue:
            async with self._gate:
                sent[part.number] = await self._send(self._id, part)

    async def finish(self, sent: Sequence[SentPart]) -> UploadResult:
        """Complete the upload, if the target's condition still holds."""
        target, key = self._target, self._job.target_key
        ours = composite_etag([part.etag for part in sent])
        attempts = sum(part.attempts for part in sent)
        if not self._options.capabilities.complete_condition and target_conflicts(await head(target, key), self._job):
            # Between this look and the completion somebody else may store the object, and lose it: that is
            # the price of a service without the condition.
            await self.discard()
            return UploadResult(412, ours, attempts=attempts, parts=sent)
        try:
            reply = await self._complete(sent)
        except S3StopError:
            raise
        except S3Error as error:
            if not (error.repeated or error.status in (0, 200)) or not target_conflicts(
                await head(target, key), self._job
            ):
                raise
            await self.discard()
            return UploadResult(412, ours, _NOTHING, attempts + error.attempts, repeated=True, parts=sent)
        attempts += reply.attempts
        if reply.status != 200:
            await self.discard()
            return UploadResult(reply.status, ours, _NOTHING, attempts, reply.repeated, sent)
        self._uploads.forget(self._bucket, key)
        fields = fields_of(root_of(reply.body))
        etag = fields.get("ETag", "").strip('"')
        return UploadResult(200, etag, full_checksums_of(fields), attempts, reply.repeated, sent)

    async def _complete(self, sent: Sequence[SentPart]) -> Response:
        """CompleteMultipartUpload; asked again where a 200 turns out to be an error or is cut short."""
        job = self._job
        condition = {"if-none-match": "*"} if job.replace_etag is None else {"if-match": f'"{job.replace_etag}"'}
        headers = {**condition, "x-amz-mp-object-size": str(job.size), **self._complete_headers}
        body = _complete_document(sent, self._headers.get("x-amz-checksum-algorithm", "").lower())
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
        raise S3Error(200, code, message, job.target_key, verb="POST", attempts=_COMPLETE_ATTEMPTS, repeated=True)

    async def drop_recorded(self) -> None:
        """Abort what is recorded for the target key, if anything is."""
        known = self._uploads.find(self._bucket, self._job.target_key)
        if known is None:
            return
        if known.upload_id is None:
            await abort_unidentified(self._target, known)
        else:
            await abort(self._target, known.target_key, known.upload_id)
        self._uploads.forget(self._bucket, known.target_key)

    async def discard(self) -> None:
        """Abort this upload; if that fails it stays recorded, and what made it fail is told all the same."""
        with suppress(S3Error):
            await abort(self._target, self._job.target_key, self._id)
            self._uploads.forget(self._bucket, self._job.target_key)


def target_conflicts(there: Response, job: CopyJob) -> bool:
    """Whether what is at the target key is not what the job expects to find there."""
    return etag_of(there) != job.replace_etag if there.status == 200 else job.replace_etag is not None


def _is_passing(error: S3Error) -> bool:
    """Whether the same upload may succeed later: no reply, overload, or S3's own trouble."""
    if error.status == 200:
        return error.code in TEMPORARY_CODES
    return error.status in (0, 408, 429) or error.status >= 500


def _server_time(reply: Response) -> float:
    """When the service says it is, or was a little earlier; seconds since the epoch."""
    with suppress(ValueError):
        return parsedate_to_datetime(reply.headers.get(b"date", b"").decode()).timestamp() - _CLOCK_MARGIN
    return time.time() - _UNKNOWN_CLOCK_MARGIN


def _complete_document(sent: Sequence[SentPart], algorithm: str) -> bytes:
    """The list of parts; S3 takes their checksums only of the algorithm that the upload was created with."""
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
