"""Streaming an object in parts: each is read, digested, sent, and held against what the target says it got."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import cast

from ..client.client import Client
from ..errors import S3Error, read_error
from ..multipart.parts import Part, SentPart, sent_part
from ..multipart.record import Uploads
from ..multipart.upload import Shared, UploadResult, upload_in_parts
from ..objects.carried import carried_properties, read_other_properties
from ..objects.compare import Evidence, compare, etag_of, full_checksums, head
from ..objects.digests import Digests, check_digests, expected_digests
from ..objects.etags import checksums_match, composite_etag, hides_digest, is_md5, same_etag
from ..objects.job import CopyJob, CopyOptions, CopyOutcome, SourceChanged
from ..objects.properties import put_tags
from ..transport.connection import Response
from .copy_object import explain_refusal
from .download import damaged_error, read_range
from .memory_budget import MemoryBudget

COPIES_IN_MEMORY = 2
"""Content is held as it was read, and once more in the request that the client makes of it."""

_SLOWEST_LINE = 64 * 1024
"""Bytes per second of one of many uploads over a line that is slow but alive."""


def send_timeout(size: int) -> float:
    """Seconds to wait for the reply to a request that sends `size` bytes."""
    return 60 + size / _SLOWEST_LINE


async def stream_in_parts(
    source: Client,
    target: Client,
    job: CopyJob,
    options: CopyOptions,
    uploads: Uploads,
    shared: Shared,
    memory: MemoryBudget,
    parts: Sequence[Part],
) -> CopyOutcome:
    """Stream one object in these parts, and prove it. Raises SourceChanged, S3Error and S3StopError."""
    there = await head(source, job.source_key, job.etag)
    if there.status != 200:
        raise SourceChanged(read_error(there.status, there.body)[0])
    carried = carried_properties(job, there, await read_other_properties(source, job, shared.headers))
    recorded = uploads.find(target.endpoint.bucket, job.target_key)
    # Where an earlier run has sent some parts already, no digest of the whole comes about.
    claimed = expected_digests(job.etag, there.headers, full_checksums(there)) if recorded is None else {}
    send = PartSender(source, target, job, memory, claimed, len(parts))
    done = await upload_in_parts(target, job, options, carried.headers, parts, send, uploads, shared.gate)
    if done.status != 200:
        code = "PreconditionFailed" if done.status == 412 else "NoSuchUpload"
        return await explain_refusal(
            source, target, job, code, attempts=done.attempts, repeated=done.repeated, own_etag=done.etag
        )
    if carried.tags:
        await put_tags(target, job.target_key, carried.tags)
    return await _judge(source, target, job, there, send, done)


async def _judge(
    source: Client, target: Client, job: CopyJob, there: Response, send: PartSender, done: UploadResult
) -> CopyOutcome:
    """The outcome of an upload that the target says it has completed."""
    etag = done.etag or etag_of(await head(target, job.target_key))
    if same_etag(etag, job.etag):
        return stored_outcome(job, etag, Evidence.ETAG, done.attempts)
    agrees = checksums_match(full_checksums(there), done.checksums)
    if agrees is not None:
        return stored_outcome(job, etag, Evidence.CHECKSUM if agrees else None, done.attempts)
    if send.hidden or etag == composite_etag([part.etag for part in done.parts]):
        return stored_outcome(job, etag, send.evidence, done.attempts)
    evidence = await compare(source, job.source_key, job.etag, target, job.target_key, etag)
    return stored_outcome(job, etag, evidence, done.attempts)


def stored_outcome(job: CopyJob, etag: str, evidence: Evidence | None, attempts: int) -> CopyOutcome:
    """The outcome of an object that the target has stored: copied, if something proves that it is the source's."""
    if evidence is not None:
        return CopyOutcome(job, "copied", etag, evidence, attempts)
    return CopyOutcome(
        job,
        "failed",
        etag or None,
        attempts=attempts,
        error="ContentDiffers",
        message="the target says that it has stored the object, but does not have the source's content",
    )


class _Turns:
    """Lets numbered steps be made one after the other, from 1 on."""

    def __init__(self) -> None:
        self._next = 1
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def wait(self, number: int) -> None:
        if number != self._next:
            self._waiting[number] = asyncio.get_running_loop().create_future()
            await self._waiting[number]

    def end(self, number: int) -> None:
        self._next = number + 1
        waiting = self._waiting.pop(self._next, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class PartSender:
    """Reads and sends the parts of one object; a `SendPart`.

    claimed: digests of the whole that its content must have. The parts are then digested in their order, so
        all must be sent, each once; the last is sent only if the digests are right, and without it there is no
        target object.
    parts: how many
    """

    def __init__(
        self, source: Client, target: Client, job: CopyJob, memory: MemoryBudget, claimed: dict[str, bytes], parts: int
    ) -> None:
        self._source = source
        self._target = target
        self._job = job
        self._memory = memory
        self._claimed = claimed
        self._count = parts
        self._whole = Digests(claimed)
        self._memory_turns = _Turns()
        self._digest_turns = _Turns()
        self.hidden = False
        """the target encrypts parts in a way that hides their digests"""
        self.evidence = Evidence.SIZE
        """that what was read is what the source says it is"""

    async def __call__(self, upload_id: str, part: Part) -> SentPart:
        if self._claimed:
            # A part that waits for the digest of an earlier one must not hold the memory that that one needs.
            await self._memory_turns.wait(part.number)
        async with self._memory.hold(COPIES_IN_MEMORY * part.size):
            self._memory_turns.end(part.number)
            content = bytearray(part.size)
            await read_range(self._source, self._job.source_key, self._job.etag, part.offset, content)
            own = Digests(["md5"])
            await own.add(content)
            if self._claimed:
                await self._digest(part, content)
            return await self._send(upload_id, part, content, own.results()["md5"])

    async def _digest(self, part: Part, content: bytearray) -> None:
        await self._digest_turns.wait(part.number)
        await self._whole.add(content)
        self._digest_turns.end(part.number)
        if part.number == self._count:
            evidence = check_digests(self._claimed, self._whole.results())
            if evidence is None:
                raise damaged_error(self._job.source_key)
            self.evidence = evidence

    async def _send(self, upload_id: str, part: Part, content: bytearray, digest: bytes) -> SentPart:
        key = self._job.target_key
        reply = await self._target.request(
            "PUT",
            key,
            query=[("partNumber", str(part.number)), ("uploadId", upload_id)],
            headers={"content-md5": b64encode(digest).decode()},
            # The client only joins and hashes it, which is the same for both.
            body=cast(bytes, content),
            read_timeout=send_timeout(part.size),
        )
        if reply.status != 200:
            code, message = read_error(reply.status, reply.body)
            raise S3Error(reply.status, code, message, key, verb="PUT", attempts=reply.attempts)
        sent = sent_part(part, reply, key)
        self.hidden = self.hidden or hides_digest(reply.headers)
        if is_md5(sent.etag, reply.headers) and sent.etag != digest.hex():
            message = f"the target says that part {part.number} has another digest than what was sent"
            raise S3Error(400, "BadDigest", message, key, verb="PUT", attempts=reply.attempts)
        return sent
