"""Copy an object through this machine in parts.

Each is read, digested, sent, and compared with the target's reply, or passed on as it comes where the target proves it.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..client.client import Client
from ..concurrency import held, run_all
from ..errors import DIGEST_CODES, S3RequestError, read_error
from ..multipart.parts import Part, SentPart, sent_part
from ..multipart.upload import CopyContext, MultipartUpload, UploadResult
from ..objects.carried import carried_properties, read_other_properties
from ..objects.compare import Evidence, compare, etag_of, full_checksums, head
from ..objects.digests import Digests, check_digests, expected_digests
from ..objects.etags import checksums_match, composite_etag, hides_digest, is_md5, same_etag
from ..objects.job import CopyJob, CopyOutcome, SourceChanged
from ..objects.properties import Properties, put_tags
from ..transport.connection import Response
from .copy_object import explain_refused_upload, stored_outcome
from .download import damaged_error, read_range
from .memory_budget import MemoryBudget
from .relay import RELAY_BYTES, Relay, put_relayed

_SLOWEST_LINE = 64 * 1024
"""Bytes per second of one of many uploads over a line that is slow but works."""

_UNPROVEN_CODES = DIGEST_CODES | {"ContentDiffers"}


def send_timeout(size: int) -> float:
    """Return the seconds to wait for the reply to a request that sends `size` bytes."""
    return 60 + size / _SLOWEST_LINE


async def stream_in_parts(
    context: CopyContext, job: CopyJob, memory: MemoryBudget, parts: Sequence[Part]
) -> CopyOutcome:
    """Stream one object in these parts and prove the copy; as `stream_object` for one that is sent in parts.

    Where the source's ETag is of as many parts, and the target is one that proves content, nothing is digested here:
    before the upload is completed, the ETags that the target gave to its parts must give the source's ETag. If they do
    not, no object has come into existence, and everything is read, digested and sent again.

    Raises SourceChanged, S3Error and S3StopError.
    """
    source, target = context.source, context.target
    source_head, others = await run_all(
        head(source, job.source_key, job.etag),
        held(read_other_properties(source, job, context.headers, context.options)),
    )
    if source_head.status != 200:
        raise SourceChanged(read_error(source_head.status, source_head.body)[0])
    properties = carried_properties(job, source_head, others(), context.options)
    if context.proof.holds_parts(context.options.capabilities, job.etag, len(parts), source_head.headers):
        plain = _PlainSender(source, target, job, memory)
        upload = MultipartUpload(context, job, properties.headers, parts, plain, etag=job.etag)
        try:
            done = await upload.run()
        except S3RequestError as error:
            # What could not be aborted would be resumed, with the parts that it has.
            still_open = context.uploads.find(target.endpoint.bucket, job.target_key) is not None
            if error.code not in _UNPROVEN_CODES or still_open:
                raise
            context.proof.other_parts()
        else:
            return await _ended(context, job, source_head, properties, done)
    recorded = context.uploads.find(target.endpoint.bucket, job.target_key)
    # Parts that an earlier run sent are not read again, so there is no digest of the whole.
    expected = expected_digests(job.etag, source_head.headers, full_checksums(source_head)) if recorded is None else {}
    send = PartSender(source, target, job, memory, expected, len(parts))
    done = await MultipartUpload(context, job, properties.headers, parts, send).run()
    return await _ended(context, job, source_head, properties, done, send)


async def _ended(
    context: CopyContext,
    job: CopyJob,
    source_head: Response,
    properties: Properties,
    done: UploadResult,
    send: PartSender | None = None,
) -> CopyOutcome:
    """Return the outcome of an upload, and store the tags that it could not take.

    send: None: the parts were not digested here
    """
    source, target = context.source, context.target
    if done.status != 200:
        return await explain_refused_upload(source, target, job, done)
    if properties.tags:
        await put_tags(target, job.target_key, properties.tags)
    return await _judge(source, target, job, source_head, send, done)


async def _judge(
    source: Client, target: Client, job: CopyJob, source_head: Response, send: PartSender | None, done: UploadResult
) -> CopyOutcome:
    """Return the outcome of an upload that the target reports as completed."""
    etag = done.etag or etag_of(await head(target, job.target_key))
    match = checksums_match(full_checksums(source_head), done.checksums)
    sent = composite_etag([part.etag for part in done.parts])
    # The same content in as many parts has another ETag only if these have other sizes than the source's.
    doubtful = job.etag.endswith(f"-{len(done.parts)}") and not hides_digest(source_head.headers)
    evidence: Evidence | None
    if same_etag(etag, job.etag):
        evidence = Evidence.ETAG
    elif match is not None:
        evidence = Evidence.CHECKSUM if match else None
    elif (
        send is not None and (send.hides_digests or etag == sent) and not (doubtful and send.evidence is Evidence.SIZE)
    ):
        evidence = send.evidence
    else:
        evidence = await compare(source, job.source_key, job.etag, target, job.target_key, etag)
    return stored_outcome(job, etag, evidence, done.attempts)


def _part_query(upload_id: str, part: Part) -> list[tuple[str, str]]:
    return [("partNumber", str(part.number)), ("uploadId", upload_id)]


def _sent(part: Part, reply: Response, key: str) -> SentPart:
    """Return the part that the target has according to its reply. Raises S3RequestError if it has none."""
    if reply.status != 200:
        code, message = read_error(reply.status, reply.body)
        raise S3RequestError(reply.status, code, message, key, verb="PUT", attempts=reply.attempts)
    return sent_part(part, reply, key)


class _PlainSender:
    """Passes parts on as they come: the ETags that the target gives them prove them; a `SendPart`."""

    def __init__(self, source: Client, target: Client, job: CopyJob, memory: MemoryBudget) -> None:
        self._source = source
        self._target = target
        self._job = job
        self._memory = memory

    async def __call__(self, upload_id: str, part: Part) -> SentPart:
        """Raises S3RequestError ContentDiffers if the target gives the part an ETag that proves nothing."""
        job = self._job
        relay = Relay(self._source, job.source_key, job.etag, part.size, part.offset)
        async with self._memory.reserve(RELAY_BYTES):
            reply = await put_relayed(self._target, job.target_key, relay, {}, _part_query(upload_id, part))
        sent = _sent(part, reply, job.target_key)
        if not is_md5(sent.etag, reply.headers):
            message = f"the ETag that the target gives to part {part.number} is no digest"
            raise S3RequestError(400, "ContentDiffers", message, job.target_key, verb="PUT", attempts=reply.attempts)
        return sent


class _Turns:
    """Makes numbered steps run one after the other, from 1 on."""

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


@dataclass
class PartSender:
    """Reads and sends the parts of one object; a `SendPart`.

    expected: digests that the whole content must have, by algorithm. If there are any, parts are digested in their
        order, so all must be sent, each once; the last is sent only if the digests are correct, and without it no
        target object comes into existence.
    count: how many parts there are
    hides_digests: whether the target encrypts parts such that their ETags are no digests
    evidence: that the content read is what the source says it is
    """

    source: Client
    target: Client
    job: CopyJob
    memory: MemoryBudget
    expected: dict[str, bytes]
    count: int
    hides_digests: bool = field(default=False, init=False)
    evidence: Evidence = field(default=Evidence.SIZE, init=False)

    def __post_init__(self) -> None:
        self._whole = Digests(self.expected)
        self._memory_turns = _Turns()
        self._digest_turns = _Turns()

    async def __call__(self, upload_id: str, part: Part) -> SentPart:
        """Read the part's range, digest it, and send it as a part of the upload `upload_id`."""
        if self.expected:
            # A part that waits for the digest of an earlier one must not take the memory that this one needs.
            await self._memory_turns.wait(part.number)
        async with self.memory.reserve(part.size):
            self._memory_turns.end(part.number)
            content = bytearray(part.size)
            await read_range(self.source, self.job.source_key, self.job.etag, part.offset, content)
            own = Digests(["md5"])
            await own.add(content)
            if self.expected:
                await self._digest(part, content)
            return await self._send(upload_id, part, content, own.results()["md5"])

    async def _digest(self, part: Part, content: bytearray) -> None:
        await self._digest_turns.wait(part.number)
        await self._whole.add(content)
        self._digest_turns.end(part.number)
        if part.number == self.count:
            evidence = check_digests(self.expected, self._whole.results())
            if evidence is None:
                raise damaged_error(self.job.source_key)
            self.evidence = evidence

    async def _send(self, upload_id: str, part: Part, content: bytearray, digest: bytes) -> SentPart:
        key = self.job.target_key
        headers = {"content-md5": b64encode(digest).decode()}
        reply = await self.target.request(
            "PUT",
            key,
            query=_part_query(upload_id, part),
            headers=headers,
            body=content,
            read_timeout=send_timeout(part.size),
        )
        sent = _sent(part, reply, key)
        self.hides_digests = self.hides_digests or hides_digest(reply.headers)
        if is_md5(sent.etag, reply.headers) and sent.etag != digest.hex():
            message = f"the target reports another digest for part {part.number} than that of the content sent"
            raise S3RequestError(400, "BadDigest", message, key, verb="PUT", attempts=reply.attempts)
        return sent
