"""Copy one object through this machine, between two services or with two sets of credentials."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

from ..capabilities import Capabilities
from ..client.client import Client
from ..concurrency import held, run_all
from ..errors import DIGEST_CODES, S3RequestError, read_error
from ..multipart.parts import Part, check_size, even_parts, layout
from ..multipart.upload import CopyContext
from ..objects.carried import carried_properties, read_other_properties
from ..objects.compare import Evidence, compare, etag_of, full_checksums, head
from ..objects.digests import Digests, check_digests, expected_digests
from ..objects.etags import checksums_match, hides_digest, same_etag
from ..objects.job import MAX_COPY_BYTES, CopyJob, CopyOptions, CopyOutcome, SourceChanged, target_conflicts
from ..objects.properties import Properties, put_tags
from ..transport.connection import Response
from .copy_object import explain_refusal, explain_refused_reply, stored_outcome
from .download import damaged_error, read_whole
from .memory_budget import MemoryBudget
from .relay import RELAY_BYTES, Relay, put_relayed
from .stream_parts import send_timeout, stream_in_parts

_MEBIBYTE = 1024**2
WHOLE_BYTES = 16 * _MEBIBYTE
"""Largest object that is sent in one request, which gives it an ETag that depends on its content alone."""
PART_BYTES = 8 * _MEBIBYTE
_CHECKSUMS = ("crc64nvme", "crc32c", "crc32", "sha256", "sha1")
"""Algorithms that any service with checksums may support."""
_PASSED_ON_FROM = _MEBIBYTE
"""Smaller objects are read before they are sent, which saves two requests."""
_READ_ATTEMPTS = 2
"""Content that does not match the source's digests is read again, once."""

_TLS_BYTES = 512 * 1024
"""Of content, what a connection with TLS has in its buffers besides, at most: 256 KiB, encrypted and not."""

MEMORY = MemoryBudget(96 * _MEBIBYTE)
"""Of this process, for all streams."""


async def stream_object(context: CopyContext, job: CopyJob, memory: MemoryBudget = MEMORY) -> CopyOutcome:
    """Read one object from the source, write it to the target, and prove the copy.

    Metadata, tags, class, encryption and access are carried as in server-side copies, under the same conditions on
    both objects. The content is checked against the source's ETag or checksum before a target object exists, and
    what the target has stored against its ETag.

    Where the target proves content (`TargetProof`), no digest is made here, and an object of any size up to
    `multipart_threshold` is sent in one request: up to 1 MiB it is read whole, a larger one is passed on as it comes.

    Otherwise up to 16 MiB are read whole. A larger object is sent in parts of 8 MiB, or in the parts that the source
    was uploaded in, so that the ETags are equal.

    memory: for all streams together. An object of more than 78 GiB needs parts of more than 8 MiB, as S3 takes 10,000;
        one of 5 TiB needs 525 MiB. A part that does not fit into `memory` is sent while nothing else is in flight.

    Raises SourceChanged, S3Error and S3StopError.
    """
    check_size(job)
    source, target, options = context.source, context.target, context.options
    passes_on = _PASSED_ON_FROM < job.size <= min(options.multipart_threshold, MAX_COPY_BYTES)
    passes_on = passes_on and context.proof.holds(options.capabilities, job.etag, {})
    if passes_on and (outcome := await _pass_on(context, job, memory)):
        return outcome
    parts = await _parts(source, job, options, memory)
    if parts:
        return await stream_in_parts(context, job, memory, parts)
    able = options.capabilities
    condition = job.condition(able.put_condition, able.put_match)
    if not condition and target_conflicts(await head(target, job.target_key), job):
        # Between this check and the PUT somebody else may store the object, and lose it: that is the price of a
        # service that ignores the condition.
        return await explain_refusal(source, target, job, "PreconditionFailed", attempts=0)
    async with memory.reserve(_whole_bytes(source, target, job.size)):
        return await _stream_whole(context, job, digests=passes_on)


def _whole_bytes(source: Client, target: Client, size: int) -> int:
    """Return the bytes of memory for an object that is read whole: its own, and those in the buffers of TLS."""
    encrypted = sum(one.endpoint.tls is not None for one in (source, target))
    return size + encrypted * min(2 * size, _TLS_BYTES)


async def _parts(source: Client, job: CopyJob, options: CopyOptions, memory: MemoryBudget) -> list[Part]:
    """Return the parts to send an object in; none if it is sent whole."""
    if not options.capabilities.uploads and job.size <= memory.limit:
        return []
    part_size = min(options.part_size, PART_BYTES)
    count = job.etag.rpartition("-")[2] if "-" in job.etag else ""
    if job.size and count.isdecimal():
        parts = await layout(source, job, part_size)
        if len(parts) == int(count) and parts[0].size <= memory.limit:
            return parts
    return [] if job.size <= min(WHOLE_BYTES, options.multipart_threshold) else even_parts(job.size, part_size)


class _Content(NamedTuple):
    """What is known of an object's content.

    evidence: that it is what the source says it is
    checksums: of the whole content in base64, by algorithm, as the source says
    by_target: the target proves it: `md5` is what the source's ETag says, and was not computed
    """

    md5: bytes
    evidence: Evidence
    checksums: Mapping[str, str]
    by_target: bool = False


async def _pass_on(context: CopyContext, job: CopyJob, memory: MemoryBudget) -> CopyOutcome | None:
    """Stream an object in one request while it is read; None if the target does not prove its content.

    Raises SourceChanged, S3Error and S3StopError.
    """
    source, target, options = context.source, context.target, context.options
    able, proof = options.capabilities, context.proof
    (source_head, existing), others = await run_all(
        run_all(head(source, job.source_key, job.etag), head(target, job.target_key)),
        held(read_other_properties(source, job, context.headers, options)),
    )
    if source_head.status != 200:
        raise SourceChanged(read_error(source_head.status, source_head.body)[0])
    if not proof.holds(able, job.etag, source_head.headers):
        return None
    if target_conflicts(existing, job):
        # Seen before its content is moved. What is stored from now on, the condition finds.
        return await explain_refusal(source, target, job, "PreconditionFailed", attempts=0)
    properties = carried_properties(job, source_head, others(), options)
    content = _Content(bytes.fromhex(job.etag), Evidence.BYTES, full_checksums(source_head), by_target=True)
    headers = _put_headers(job, content, properties, able)
    async with memory.reserve(RELAY_BYTES):
        try:
            relay = Relay(source, job.source_key, job.etag, job.size)
            reply = await put_relayed(target, job.target_key, relay, headers)
        except S3RequestError as error:
            if error.code not in DIGEST_CODES:
                raise
            proof.refused()
            return None
    return await _stored(context, job, properties, content, reply)


async def _stream_whole(context: CopyContext, job: CopyJob, *, digests: bool) -> CopyOutcome:
    """Read an object, and send it in one request.

    digests: whether to digest it here in any case
    """
    source, target, options = context.source, context.target, context.options
    data = bytearray(job.size)
    (content, reply), others = await run_all(
        _read(context, job, data, digests=digests), read_other_properties(source, job, context.headers, options)
    )
    properties = carried_properties(job, reply, others, options)
    try:
        stored = await _put(target, job, data, _put_headers(job, content, properties, options.capabilities), content)
    except S3RequestError as error:
        if not content.by_target or error.code not in DIGEST_CODES:
            raise
        context.proof.refused()
        content, _ = await _read_digested(source, job, data)
        stored = await _put(target, job, data, _put_headers(job, content, properties, options.capabilities), content)
    return await _stored(context, job, properties, content, stored)


async def _put(
    target: Client, job: CopyJob, data: bytearray, headers: Mapping[str, str], content: _Content
) -> Response:
    return await target.request(
        "PUT",
        job.target_key,
        headers=headers,
        body=data,
        read_timeout=send_timeout(job.size),
        proven=content.by_target,
    )


async def _read(context: CopyContext, job: CopyJob, data: bytearray, *, digests: bool) -> tuple[_Content, Response]:
    """Read the content; check it unless the target does."""
    source, able = context.source, context.options.capabilities
    if digests or not context.proof.holds(able, job.etag, {}):
        return await _read_digested(source, job, data)
    reply = await read_whole(source, job.source_key, job.etag, data)
    if not context.proof.holds(able, job.etag, reply.headers):
        return await _read_digested(source, job, data)
    return _Content(bytes.fromhex(job.etag), Evidence.BYTES, full_checksums(reply), by_target=True), reply


async def _read_digested(source: Client, job: CopyJob, data: bytearray) -> tuple[_Content, Response]:
    """Read the content, and check it against the source's own digests if there are any."""
    for _ in range(_READ_ATTEMPTS):
        reply = await read_whole(source, job.source_key, job.etag, data)
        checksums = full_checksums(reply)
        expected = expected_digests(job.etag, reply.headers, checksums)
        digests = Digests({"md5", *expected})
        await digests.add(data)
        actual = digests.results()
        evidence = check_digests(expected, actual)
        if evidence is not None:
            return _Content(actual["md5"], evidence, checksums), reply
    raise damaged_error(job.source_key)


def _put_headers(job: CopyJob, content: _Content, properties: Properties, able: Capabilities) -> dict[str, str]:
    digest = b64encode(content.md5).decode()
    condition = job.condition(able.put_condition, able.put_match)
    headers = {**properties.headers, "content-md5": digest, **job.target_condition(condition)}
    if content.evidence is not Evidence.BYTES:
        # The target refuses content with another checksum, even of an algorithm that we cannot compute; S3 takes no
        # more than one ("Checking object integrity", S3 user guide).
        known = [algorithm for algorithm in _CHECKSUMS if algorithm in content.checksums]
        headers |= {f"x-amz-checksum-{algorithm}": content.checksums[algorithm] for algorithm in known[:1]}
    return headers


async def _stored(
    context: CopyContext, job: CopyJob, properties: Properties, content: _Content, reply: Response
) -> CopyOutcome:
    """Return the outcome of the request that sent the whole object, and store the tags that it could not take."""
    source, target = context.source, context.target
    if not 200 <= reply.status < 300:
        return await explain_refused_reply(source, target, job, reply)
    if properties.tags:
        await put_tags(target, job.target_key, properties.tags)
    return await _judge(source, target, job, content, reply)


async def _judge(source: Client, target: Client, job: CopyJob, content: _Content, reply: Response) -> CopyOutcome:
    """Return the outcome of an object that the target reports as stored."""
    etag = etag_of(reply) or etag_of(await head(target, job.target_key))
    evidence: Evidence | None = content.evidence
    match = checksums_match(content.checksums, full_checksums(reply))
    if same_etag(etag, job.etag):
        evidence = Evidence.ETAG
    elif match is False:
        evidence = None
    elif etag != content.md5.hex() and not hides_digest(reply.headers):
        evidence = await compare(source, job.source_key, job.etag, target, job.target_key, etag)
    elif evidence is Evidence.SIZE and match:
        evidence = Evidence.CHECKSUM
    return stored_outcome(job, etag, evidence, reply.attempts)
