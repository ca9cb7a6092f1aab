"""Large objects are streamed in parts, in bounded memory, and proven by digests of both ends."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import pytest
from rehome.s3.copier.memory_budget import MemoryBudget
from rehome.s3.copier.run import copy_objects
from rehome.s3.copier.stream_object import stream_object
from rehome.s3.copier.stream_parts import PartSender
from rehome.s3.multipart.parts import even_parts
from rehome.s3.multipart.record import Uploads
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyOutcome

from tests.unit.s3.copier.streaming import (
    LARGE,
    LARGE_JOB,
    MEBIBYTE,
    STREAM,
    LargeSource,
    LargeTarget,
    PlainSource,
    ProvingTarget,
    composite,
    content,
    context_of,
    kind_of,
    outcome_of,
    services,
    summary,
)
from tests.unit.s3.wire import on_uvloop


@on_uvloop
async def test_a_large_object_goes_in_parts_and_is_proven_by_the_digests_of_both_ends() -> None:
    source, target = LargeSource(), LargeTarget()
    outcome = await outcome_of(source, target, LARGE_JOB)
    assert (outcome.result, outcome.evidence) == ("copied", Evidence.BYTES)
    assert b"".join(target.parts[number] for number in sorted(target.parts)) == LARGE
    assert [len(target.parts[number]) for number in sorted(target.parts)] == [8 * MEBIBYTE, 8 * MEBIBYTE, MEBIBYTE + 4]
    assert b"\r\ncontent-type: image/png\r\n" in target.created
    assert b"\r\nx-amz-tagging: team=web\r\n" in target.created
    assert b"\r\nif-none-match: *\r\n" in target.completed


@on_uvloop
async def test_the_parts_of_the_source_are_kept_so_that_the_etag_comes_out_equal() -> None:
    step = 5 * MEBIBYTE
    body = LARGE[: 12 * MEBIBYTE]
    etag = composite([body[start : start + step] for start in range(0, len(body), step)])
    source, target = LargeSource(body, etag, step), LargeTarget()
    outcome = await outcome_of(source, target, LARGE_JOB._replace(etag=etag, size=len(body)))
    assert summary(outcome) == ("copied", etag, Evidence.ETAG, None)


@pytest.mark.parametrize("keeps", [True, False], ids=["wrong only on the way", "other parts"])
def test_parts_whose_digests_contradict_the_etag_of_the_source_are_read_again_at_both_ends(keeps: bool) -> None:
    """Either a part was not read as it is stored, or the source was uploaded in as many parts of other sizes."""
    step = 5 * MEBIBYTE
    body = LARGE[: 12 * MEBIBYTE]
    right = [body[start : start + step] for start in range(0, len(body), step)]
    etag = composite(right if keeps else [body[:1], body[1:2], body[2:]])

    @on_uvloop
    async def scenario() -> None:
        source, target = LargeSource(body, etag, step), LargeTarget()

        async def read(request: bytes, writer: asyncio.StreamWriter) -> None:
            if kind_of(request) == "GET old/big" and b"\r\nrange: " not in request:
                writer.write(content(body, etag))
                return
            source.body = bytes(len(body)) if keeps and b"range: bytes=5242880-" in request else body
            await source(request, writer)

        async def stored(request: bytes, writer: asyncio.StreamWriter) -> None:
            parts = [target.parts[number] for number in sorted(target.parts)]
            if not target.completed or request[:4] not in (b"HEAD", b"GET "):
                await target(request, writer)
            else:
                answer = content(b"".join(parts), composite(parts))
                writer.write(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request[:4] == b"HEAD" else answer)

        outcome = await outcome_of(read, stored, LARGE_JOB._replace(etag=etag, size=len(body)))
        proven: tuple[object, ...] = ("failed", None, "ContentDiffers") if keeps else ("copied", Evidence.BYTES, None)
        assert (outcome.result, outcome.evidence, outcome.error) == proven

    scenario()


@on_uvloop
async def test_a_part_whose_read_breaks_off_is_read_anew() -> None:
    source, target = LargeSource(), LargeTarget()
    source.cuts = 2
    assert (await outcome_of(source, target, LARGE_JOB)).result == "copied"
    assert len(source.ranges) == 3 + 2


@on_uvloop
async def test_an_object_whose_parts_do_not_add_up_to_its_etag_is_never_completed() -> None:
    source, target = LargeSource(LARGE[:-1] + b"X"), LargeTarget()
    outcome = await outcome_of(source, target, LARGE_JOB)
    assert (outcome.result, outcome.error) == ("failed", "ContentDiffers")
    assert (target.completed, target.aborted) == (b"", True)


@on_uvloop
async def test_a_part_that_the_target_has_with_another_digest_ends_the_upload() -> None:
    source, target = LargeSource(), LargeTarget()
    target.damaging = True
    outcome = await outcome_of(source, target, LARGE_JOB)
    assert (outcome.result, outcome.error) == ("failed", "BadDigest")
    assert (target.completed, target.aborted) == (b"", True)


@on_uvloop
async def test_an_upload_that_broke_off_is_resumed_and_what_was_not_read_again_is_not_called_proven() -> None:
    source, target = LargeSource(), LargeTarget()
    target.refused = 3
    outcomes: list[CopyOutcome] = []
    uploads = Uploads(None)
    async with services(source, target) as both:
        await copy_objects(both.source, both.target, iter([LARGE_JOB]), outcomes.append, STREAM, uploads)
        target.refused = 0
        target.parts.pop(2, None)
        source.ranges.clear()
        resumed = await stream_object(context_of(both, uploads), LARGE_JOB)
    assert (outcomes[0].result, outcomes[0].error) == ("failed", "InternalError")
    assert sorted(source.ranges) == [(8 * MEBIBYTE, 16 * MEBIBYTE - 1), (16 * MEBIBYTE, len(LARGE) - 1)]
    assert b"".join(target.parts[number] for number in sorted(target.parts)) == LARGE
    assert (resumed.result, resumed.evidence) == ("copied", Evidence.SIZE)


@on_uvloop
async def test_parts_that_come_in_another_order_than_theirs_do_not_wait_for_each_other_for_ever() -> None:
    source, target = LargeSource(), LargeTarget()
    parts = even_parts(len(LARGE), 8 * MEBIBYTE)
    async with services(source, target) as both:
        memory = MemoryBudget(parts[0].size)
        send = PartSender(
            both.source, both.target, LARGE_JOB, memory, {"md5": bytes.fromhex(LARGE_JOB.etag)}, len(parts)
        )
        await asyncio.gather(*[send("u1", part) for part in reversed(parts)])
    assert (send.evidence, memory.reserved) == (Evidence.BYTES, 0)
    assert b"".join(target.parts[number] for number in sorted(target.parts)) == LARGE


@pytest.mark.parametrize("limit", [1, 16 * MEBIBYTE, 40 * MEBIBYTE])
def test_what_is_in_memory_at_once_is_bounded_however_many_objects_are_in_flight(limit: int) -> None:
    """Also with too little for a single part, and for two whose digests wait for each other."""

    @on_uvloop
    async def scenario() -> None:
        memory = MemoryBudget(limit)
        async with services(LargeSource(), LargeTarget()) as both:
            contexts = [context_of(both, Uploads(None), slots=4) for _ in range(3)]
            outcomes = await asyncio.gather(*[stream_object(context, LARGE_JOB, memory) for context in contexts])
        assert {outcome.result for outcome in outcomes} == {"copied"}
        assert memory.peak <= max(limit, 16 * MEBIBYTE)
        assert memory.reserved == 0

    scenario()


@on_uvloop
async def test_the_buffers_of_tls_count_as_memory_of_a_stream() -> None:
    source = PlainSource(LARGE[:MEBIBYTE])
    peaks = []
    for context in (None, ssl.create_default_context()):
        memory = MemoryBudget(96 * MEBIBYTE)
        async with services(source, ProvingTarget()) as both:
            for client in (both.source, both.target):
                # what it says of itself; the connections of this test are plain
                client.endpoint = replace(client.endpoint, tls=context)
            await stream_object(context_of(both, Uploads(None)), source.job(), memory)
        peaks.append(memory.peak)
    assert peaks == [MEBIBYTE, 2 * MEBIBYTE]
