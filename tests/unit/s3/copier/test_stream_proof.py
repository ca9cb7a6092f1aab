"""Where the target compares content with digests, it proves what is passed on to it, which nobody digests here."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import cast

import pytest
from rehome.s3.capabilities import Capabilities
from rehome.s3.copier.memory_budget import MemoryBudget
from rehome.s3.copier.relay import Relay
from rehome.s3.copier.run import copy_objects
from rehome.s3.copier.stream_object import stream_object
from rehome.s3.multipart.record import Uploads
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome, SourceChanged
from rehome.s3.support import Support
from rehome.s3.transport.connection import Connection

from tests.unit.s3.copier.streaming import (
    BODY,
    ETAG,
    JOB,
    KMS,
    LARGE,
    LARGE_JOB,
    MEBIBYTE,
    NO_TAGS,
    PROVING,
    STORED,
    LargeSource,
    LargeTarget,
    PlainSource,
    ProvingTarget,
    composite,
    content,
    context_of,
    found,
    kind_of,
    md5,
    outcome_of,
    services,
    summary,
)
from tests.unit.s3.wire import error, on_uvloop, reply

SIZES = pytest.mark.parametrize("size", [5, MEBIBYTE, 5 * MEBIBYTE + 3], ids=["small", "read whole", "passed on"])


@SIZES
def test_where_the_target_proves_content_it_is_sent_in_one_request_that_does_not_sign_it(size: int) -> None:
    @on_uvloop
    async def scenario() -> None:
        source, target = PlainSource(LARGE[:size]), ProvingTarget()
        outcome = await outcome_of(source, target, source.job(), PROVING)
        assert summary(outcome) == ("copied", source.etag, Evidence.ETAG, None)
        assert (target.stored, target.sums, source.reads) == ([LARGE[:size]], [b"UNSIGNED-PAYLOAD"], 1)

    scenario()


@SIZES
def test_a_byte_that_changes_on_the_way_from_the_source_never_makes_an_object(size: int) -> None:
    @on_uvloop
    async def scenario() -> None:
        wrong = LARGE[: size - 1] + b"?"
        source, target = PlainSource(wrong, etag=md5(LARGE[:size])), ProvingTarget()
        outcome = await outcome_of(source, target, source.job(), PROVING)
        assert (outcome.result, outcome.error) == ("failed", "ContentDiffers")
        assert (target.stored, target.refused) == ([], 1)

    scenario()


@SIZES
def test_a_byte_that_changes_once_on_the_way_to_the_target_costs_another_request(size: int) -> None:
    @on_uvloop
    async def scenario() -> None:
        source, target = PlainSource(LARGE[:size]), ProvingTarget(damages=1)
        able = CopyOptions(method="stream", capabilities=Capabilities(content_md5=Support.HAS, uploads=Support.REJECTS))
        outcome = await outcome_of(source, target, source.job(), able)
        assert summary(outcome) == ("copied", source.etag, Evidence.ETAG, None)
        assert (target.stored, target.refused) == ([LARGE[:size]], 1)
        # the second time a digest made here goes along, and the signature holds for the content
        assert target.sums[1] == hashlib.sha256(LARGE[:size]).hexdigest().encode()

    scenario()


@pytest.mark.parametrize("support", [one for one in Support if one is not Support.HAS])
def test_a_target_of_which_it_is_not_known_that_it_compares_digests_is_never_relied_upon(support: Support) -> None:
    @on_uvloop
    async def scenario() -> None:
        source, target = PlainSource(b"1X345", etag=ETAG), ProvingTarget()
        able = CopyOptions(method="stream", capabilities=Capabilities(content_md5=support))
        outcome = await outcome_of(source, target, source.job(), able)
        assert (outcome.error, target.sums) == ("ContentDiffers", [])

    scenario()


@on_uvloop
async def test_a_source_whose_etag_is_no_digest_is_digested_here() -> None:
    source = {"GET old/a b": [content(BODY, ETAG, **KMS), content(BODY, ETAG, **KMS)]}
    async with services(source, {"PUT new/a b": [STORED]}) as both:
        await copy_objects(both.source, both.target, iter([JOB]), lambda _: None, PROVING)
    (put,) = both.target_wire.requests
    assert b"UNSIGNED-PAYLOAD" not in put


@on_uvloop
async def test_what_is_passed_on_is_always_of_one_reply() -> None:
    whole = LARGE[: 5 * MEBIBYTE]
    source, target = PlainSource(b"x" * (3 * MEBIBYTE), whole), ProvingTarget()
    outcome = await outcome_of(source, target, source.job(), PROVING)
    assert (outcome.result, target.stored, source.reads) == ("copied", [whole], 2)


@pytest.mark.parametrize("etag", [md5(LARGE[: 5 * MEBIBYTE]), f"{ETAG}-2"], ids=["passed on", "in parts"])
@on_uvloop
async def test_the_tags_of_a_large_object_are_asked_for_while_it_is_looked_up(etag: str) -> None:
    """Between far services each wait costs an object more than its properties are worth."""
    asked = asyncio.Event()

    async def source(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"tagging" in request:
            asked.set()
            writer.write(error(403, "AccessDenied"))
            return
        if b"partNumber" not in request:  # of a part: how the object was uploaded
            await asked.wait()
        writer.write(found(etag, 5 * MEBIBYTE))

    async def target(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(404))

    job = CopyJob("old/big", etag, 5 * MEBIBYTE, "new/big")
    outcome = await outcome_of(source, target, job, PROVING)
    assert (outcome.result, outcome.error) == ("failed", "AccessDenied")


@on_uvloop
async def test_tags_that_cannot_be_read_do_not_hide_that_the_source_is_gone() -> None:
    async def source(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(error(403, "AccessDenied") if b"tagging" in request else reply(404))

    async def target(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(404))

    for etag in (ETAG, f"{ETAG}-2"):
        job = CopyJob("old/big", etag, 5 * MEBIBYTE, "new/big")
        assert (await outcome_of(source, target, job, PROVING)).result == "changed"


@on_uvloop
async def test_a_source_that_breaks_off_each_time_is_never_completed() -> None:
    whole = LARGE[: 5 * MEBIBYTE]
    source, target = PlainSource(*[whole[:-1]] * 9, whole), ProvingTarget()
    outcome = await outcome_of(source, target, source.job(), PROVING)
    assert (outcome.result, outcome.error) == ("failed", "ConnectionBroken")
    assert (target.sums, source.reads) == ([], 4)


@on_uvloop
async def test_what_a_source_that_ignores_the_condition_sends_of_another_version_is_never_complete() -> None:
    """The last chunk waits until the whole reply is checked, so the target has nothing to compare."""
    whole = LARGE[: 5 * MEBIBYTE]
    listed = md5(whole)

    async def source(request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.startswith("GET") and "tagging" not in kind:
            writer.write(content(whole, "another"))
        else:
            writer.write(NO_TAGS if "tagging" in kind else found(listed, len(whole)))

    target = ProvingTarget()
    outcome = await outcome_of(source, target, CopyJob("old/big", listed, len(whole), "new/big"), PROVING)
    assert (outcome.result, target.sums) == ("changed", [])


@on_uvloop
async def test_a_busy_target_gets_what_is_passed_on_again_from_the_start() -> None:
    source, proving = PlainSource(LARGE[: 5 * MEBIBYTE]), ProvingTarget()
    left = [error(503, "SlowDown"), error(500, "InternalError")]

    async def target(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"PUT") and left:
            writer.write(left.pop())
        else:
            await proving(request, writer)

    outcome = await outcome_of(source, target, source.job(), PROVING)
    assert (outcome.result, outcome.attempts, source.reads) == ("copied", 3, 3)


@on_uvloop
async def test_nothing_is_read_for_a_target_key_that_is_taken() -> None:
    source = PlainSource(LARGE[: 5 * MEBIBYTE])
    outcome = await outcome_of(source, {"HEAD new/big": [found("t1", 6)] * 2}, source.job(), PROVING)
    assert (outcome.result, source.reads) == ("conflict", 0)


@on_uvloop
async def test_a_target_that_refuses_again_and_again_is_left_to_compare_no_more() -> None:
    right = CopyJob("old/big", ETAG, len(BODY), "new/big")
    source, target = PlainSource(BODY), ProvingTarget(damages=10**6)
    outcomes: list[CopyOutcome] = []
    async with services(source, target) as both:
        jobs = (right._replace(target_key=f"new/{number}") for number in range(8))
        await copy_objects(both.source, both.target, jobs, outcomes.append, PROVING)
    assert {outcome.result for outcome in outcomes} == {"failed"}
    assert 5 <= target.sums.count(b"UNSIGNED-PAYLOAD") < 8


class Outlet:
    """Takes the place of the connection to the target, and takes everything at once."""

    def __init__(self) -> None:
        self.sent = 0
        self.error: Exception | None = None
        self.ended = asyncio.Event()

    def send(self, chunk: bytes) -> None:
        self.sent += len(chunk)

    def abandon(self, error: Exception) -> None:
        self.error = error
        self.ended.set()


@on_uvloop
async def test_the_last_chunk_is_never_sent_before_the_reply_is_checked() -> None:
    whole = LARGE[: 5 * MEBIBYTE]
    outlet = Outlet()
    async with services({"GET old/big": [content(whole, "another")]}, {}) as both:
        Relay(both.source, "old/big", md5(whole), len(whole)).begin(cast(Connection, outlet))
        await outlet.ended.wait()
    assert isinstance(outlet.error, SourceChanged)
    assert 0 < outlet.sent < len(whole)


PART = 5 * MEBIBYTE
IN_PARTS = LARGE[: 12 * MEBIBYTE]
PARTS_ETAG = composite([IN_PARTS[start : start + PART] for start in range(0, len(IN_PARTS), PART)])
PARTS_JOB = LARGE_JOB._replace(etag=PARTS_ETAG, size=len(IN_PARTS))


class PartsTarget(LargeTarget):
    """A target that compares no part with anything.

    damages: of so many parts, a byte changes on the way to it
    opaque: its parts' ETags are no digests
    """

    def __init__(self, damages: int = 0, *, opaque: bool = False) -> None:
        super().__init__()
        self.damages = damages
        self.opaque = opaque
        self.sums: list[bytes] = []
        self.objects: list[bytes] = []

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        head, _, body = request.partition(b"\r\n\r\n")
        if kind.startswith("PUT"):
            number = int(kind.partition("partNumber=")[2].partition("&")[0])
            lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            self.sums.append(lines[b"x-amz-content-sha256"])
            if self.damages:
                self.damages -= 1
                body = body[:-1] + b"?"
            self.parts[number] = body
            writer.write(reply(200, etag=f'"{"opaque-1" if self.opaque else md5(body)}"'))
            return
        if kind.endswith("?uploads="):
            self.parts.clear()
        elif kind.startswith("POST"):
            self.objects.append(b"".join(self.parts[number] for number in sorted(self.parts)))
        await super().__call__(request, writer)


@on_uvloop
async def test_parts_whose_etags_give_that_of_the_source_are_neither_digested_nor_signed() -> None:
    source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget()
    outcome = await outcome_of(source, target, PARTS_JOB, PROVING)
    assert summary(outcome) == ("copied", PARTS_ETAG, Evidence.ETAG, None)
    assert (target.objects, target.sums, len(source.ranges)) == ([IN_PARTS], [b"UNSIGNED-PAYLOAD"] * 3, 3)


@on_uvloop
async def test_parts_that_the_target_proves_are_passed_on_again_from_their_start_if_their_source_breaks_off() -> None:
    source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget()
    source.cuts = 3
    outcome = await outcome_of(source, target, PARTS_JOB, PROVING)
    assert summary(outcome) == ("copied", PARTS_ETAG, Evidence.ETAG, None)
    assert (target.objects, target.sums, len(source.ranges)) == ([IN_PARTS], [b"UNSIGNED-PAYLOAD"] * 3, 3 + 3)


@on_uvloop
async def test_a_part_whose_source_always_breaks_off_is_never_stored() -> None:
    source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget()
    source.cuts = 10**6
    outcome = await outcome_of(source, target, PARTS_JOB, PROVING)
    assert (outcome.result, outcome.error) == ("failed", "ConnectionBroken")
    assert (target.sums, target.objects) == ([], [])


@on_uvloop
async def test_a_source_that_ignores_the_range_of_a_part_never_fills_it() -> None:
    source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget()

    async def whole(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b"\r\nrange: " in request:
            writer.write(content(IN_PARTS, PARTS_ETAG))
        else:
            await source(request, writer)

    outcome = await outcome_of(whole, target, PARTS_JOB, PROVING)
    assert (outcome.result, outcome.error, target.sums, target.objects) == ("failed", "WrongLength", [], [])


@on_uvloop
async def test_parts_that_are_passed_on_need_little_memory_whatever_their_size() -> None:
    source, target, memory = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget(), MemoryBudget(96 * MEBIBYTE)
    async with services(source, target) as both:
        context = replace(context_of(both, Uploads(None), slots=1), options=PROVING)
        assert (await stream_object(context, PARTS_JOB, memory)).result == "copied"
    assert (memory.peak, memory.reserved) == (3 * MEBIBYTE, 0)


@on_uvloop
async def test_an_upload_with_a_part_that_changed_on_the_way_to_the_target_is_never_completed() -> None:
    source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget(damages=1)
    outcome = await outcome_of(source, target, PARTS_JOB, PROVING)
    assert summary(outcome) == ("copied", PARTS_ETAG, Evidence.ETAG, None)
    assert (target.objects, target.aborted, len(target.sums)) == ([IN_PARTS], True, 6)
    assert b"UNSIGNED-PAYLOAD" not in target.sums[3:]


@on_uvloop
async def test_an_upload_with_a_part_that_changed_on_the_way_from_the_source_is_never_completed() -> None:
    right = LargeSource(IN_PARTS, PARTS_ETAG, PART)
    wrong = LargeSource(IN_PARTS[:-1] + b"?", PARTS_ETAG, PART)

    async def source(request: bytes, writer: asyncio.StreamWriter) -> None:
        reads = len(right.ranges) + len(wrong.ranges)
        await (wrong if reads < 3 else right)(request, writer)

    target = PartsTarget()
    outcome = await outcome_of(source, target, PARTS_JOB, PROVING)
    assert summary(outcome) == ("copied", PARTS_ETAG, Evidence.ETAG, None)
    assert (target.objects, target.aborted, len(wrong.ranges)) == ([IN_PARTS], True, 3)


@on_uvloop
async def test_parts_whose_etags_are_no_digests_are_digested_here() -> None:
    source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget(opaque=True)
    outcome = await outcome_of(source, target, PARTS_JOB, PROVING)
    assert (outcome.result, target.aborted, target.objects) == ("copied", True, [IN_PARTS])
    assert b"UNSIGNED-PAYLOAD" not in target.sums[-3:]


@pytest.mark.parametrize("support", [one for one in Support if one is not Support.HAS])
def test_parts_go_unsigned_only_to_a_target_that_is_known_to_compare(support: Support) -> None:
    @on_uvloop
    async def scenario() -> None:
        source, target = LargeSource(IN_PARTS, PARTS_ETAG, PART), PartsTarget()
        able = CopyOptions(method="stream", capabilities=Capabilities(content_md5=support))
        outcome = await outcome_of(source, target, PARTS_JOB, able)
        assert (outcome.result, b"UNSIGNED-PAYLOAD" in target.sums) == ("copied", False)

    scenario()
