"""What becomes of a streamed object, for every way its two services can answer."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple, cast
from urllib.parse import unquote

import pytest
from rehome.s3.capabilities import Capabilities
from rehome.s3.client.client import Client
from rehome.s3.copier.memory_budget import MemoryBudget
from rehome.s3.copier.relay import Relay
from rehome.s3.copier.run import copy_objects
from rehome.s3.copier.stream_object import stream_object
from rehome.s3.copier.stream_parts import PartSender
from rehome.s3.multipart.parts import even_parts
from rehome.s3.multipart.record import Uploads
from rehome.s3.multipart.upload import CopyContext, Gate
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome, SourceChanged
from rehome.s3.objects.target_headers import TargetHeaders
from rehome.s3.support import Support
from rehome.s3.transport.connection import Connection

from tests.unit.s3.wire import Handler, Wire, client_of, error, on_uvloop, reply

BODY = b"12345"
MEBIBYTE = 1024**2


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def base64_md5(body: bytes) -> str:
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


ETAG = md5(BODY)
JOB = CopyJob("old/a b", ETAG, len(BODY), "new/a b")
STREAM = CopyOptions(method="stream")
NO_TAGS = error(404, "NoSuchTagSet")
PRECONDITION = error(412, "PreconditionFailed")
STORED = reply(200, etag=f'"{ETAG}"')
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12"

Script = Mapping[str, Sequence[bytes | None]]


def content(body: bytes = BODY, etag: str | None = None, **headers: str) -> bytes:
    """A reply to GET."""
    return reply(200, body, etag=f'"{etag or md5(body)}"', **headers)


def found(etag: str, size: int = 5, **headers: str) -> bytes:
    """A reply to HEAD."""
    return reply(200, etag=f'"{etag}"', **headers).replace(b"content-length: 0", b"content-length: %d" % size)


def tagged(**tags: str) -> bytes:
    pairs = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags.items())
    return reply(200, f"<Tagging><TagSet>{pairs}</TagSet></Tagging>".encode())


def kind_of(request: bytes) -> str:
    """Verb, key and query: `GET old/a b?tagging=`."""
    verb, path = request.split(b" ")[:2]
    return f"{verb.decode()} {unquote(path.decode()).removeprefix('/bucket/')}"


def answering(replies: Script) -> Handler:
    """The replies to each kind of request in turn; None closes the connection, and so does the end of `CUT`."""
    left = {kind: iter(values) for kind, values in replies.items()}

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.endswith("?tagging=") and kind not in left:
            writer.write(NO_TAGS)
            return
        data = next(left[kind])
        if data is not None:
            writer.write(data)
            await writer.drain()
        if data is None or data is CUT:
            writer.close()

    return handle


class Services(NamedTuple):
    source: Client
    target: Client
    source_wire: Wire
    target_wire: Wire


@asynccontextmanager
async def services(source: Script | Handler, target: Script | Handler) -> AsyncIterator[Services]:
    """Two scripted services at ports of their own."""
    handlers = [answering(one) if isinstance(one, Mapping) else one for one in (source, target)]
    async with client_of(handlers[0]) as (reading, source_wire, _), client_of(handlers[1]) as (writing, target_wire, _):
        yield Services(reading, writing, source_wire, target_wire)


def context_of(both: Services, uploads: Uploads, slots: int = 2) -> CopyContext:
    headers = TargetHeaders(both.source, both.target, STREAM)
    return CopyContext(both.source, both.target, STREAM, uploads, Gate(slots), headers)


async def outcome_of(
    source: Script | Handler, target: Script | Handler, job: CopyJob = JOB, options: CopyOptions = STREAM
) -> CopyOutcome:
    outcomes: list[CopyOutcome] = []
    async with services(source, target) as both:
        await copy_objects(both.source, both.target, iter([job]), outcomes.append, options)
    (outcome,) = outcomes
    return outcome


def summary(outcome: CopyOutcome) -> tuple[object, ...]:
    return outcome.result, outcome.target_etag, outcome.evidence, outcome.error


@on_uvloop
async def test_content_metadata_and_tags_are_read_from_one_service_and_written_to_the_other() -> None:
    headers = {"content_type": "image/png", "cache_control": "max-age=60", "x_amz_meta_owner": "änn"}
    source = {
        "GET old/a b": [content(**headers, content_encoding="aws-chunked,gzip", x_amz_tagging_count="2")],
        "GET old/a b?tagging=": [tagged(team="web &amp; co", x="1")],
    }
    outcomes: list[CopyOutcome] = []
    async with services(source, {"PUT new/a b": [STORED]}) as both:
        await copy_objects(both.source, both.target, iter([JOB]), outcomes.append, STREAM)
    assert summary(outcomes[0]) == ("copied", ETAG, Evidence.ETAG, None)
    (put,) = both.target_wire.requests
    get = next(request for request in both.source_wire.requests if b"tagging" not in request)
    assert f'\r\nif-match: "{ETAG}"\r\n'.encode() in get
    head, _, body = put.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert body == BODY
    assert {
        "if-none-match: *",
        "content-type: image/png",
        "cache-control: max-age=60",
        "content-encoding: gzip",
        "x-amz-meta-owner: änn",
        "x-amz-tagging: team=web%20%26%20co&x=1",
        f"content-md5: {base64_md5(BODY)}",
        f"x-amz-content-sha256: {hashlib.sha256(BODY).hexdigest()}",
    } <= set(lines)


@on_uvloop
async def test_exactly_the_named_target_object_is_replaced() -> None:
    async with services({"GET old/a b": [content()]}, {"PUT new/a b": [STORED]}) as both:
        job = JOB._replace(replace_etag="t0", storage_class="STANDARD_IA")
        await copy_objects(both.source, both.target, iter([job]), lambda _: None, STREAM)
    (put,) = both.target_wire.requests
    assert b'\r\nif-match: "t0"\r\n' in put
    assert b"if-none-match" not in put
    assert b"\r\nx-amz-storage-class: STANDARD_IA\r\n" in put


@on_uvloop
async def test_an_empty_object_is_streamed() -> None:
    nothing = md5(b"")
    target = {"PUT new/a b": [reply(200, etag=f'"{nothing}"')]}
    outcome = await outcome_of({"GET old/a b": [content(b"")]}, target, JOB._replace(etag=nothing, size=0))
    assert summary(outcome) == ("copied", nothing, Evidence.ETAG, None)


@pytest.mark.parametrize("key", ["old/a+b%20?&#;=.png", "old/ümläut-日本語 😀", "old/bell\x07'\"<>", "old/~$,:@!*()"])
def test_odd_keys_are_requested_as_they_are(key: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        async def source(request: bytes, writer: asyncio.StreamWriter) -> None:
            path, _, query = request.split(b" ")[1].partition(b"?")
            assert unquote(path.decode()) == f"/bucket/{key}"
            writer.write(NO_TAGS if query else content())

        async def target(request: bytes, writer: asyncio.StreamWriter) -> None:
            assert unquote(request.split(b" ")[1].decode()) == f"/bucket/new{key}"
            writer.write(STORED)

        job = JOB._replace(source_key=key, target_key=f"new{key}")
        assert (await outcome_of(source, target, job)).result == "copied"

    scenario()


@pytest.mark.parametrize("answer", [PRECONDITION, error(404, "NoSuchKey"), content(etag="another")])
def test_a_source_that_changed_or_went_since_the_listing_is_changed_and_nothing_is_written(answer: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        outcome = await outcome_of({"GET old/a b": [answer]}, {})
        assert (outcome.result, outcome.error) == (
            "changed",
            "NoSuchKey" if b"NoSuchKey" in answer else "PreconditionFailed",
        )

    scenario()


@on_uvloop
async def test_an_archived_source_is_archived() -> None:
    outcome = await outcome_of({"GET old/a b": [error(403, "InvalidObjectState")]}, {})
    assert (outcome.result, outcome.error) == ("archived", "InvalidObjectState")


@on_uvloop
async def test_tags_that_may_not_be_read_fail_and_name_the_right() -> None:
    source = {"GET old/a b": [content()], "GET old/a b?tagging=": [error(403, "AccessDenied", "no")]}
    outcome = await outcome_of(source, {})
    assert (outcome.result, outcome.error) == ("failed", "AccessDenied")
    assert "s3:GetObjectTagging" in str(outcome.message)


@pytest.mark.parametrize("answer", [error(501, "NotImplemented"), error(405, "MethodNotAllowed"), NO_TAGS])
def test_a_service_that_knows_no_tags_has_none(answer: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        source = {"GET old/a b": [content()], "GET old/a b?tagging=": [answer]}
        assert (await outcome_of(source, {"PUT new/a b": [STORED]})).result == "copied"

    scenario()


@on_uvloop
async def test_tags_that_no_header_takes_are_stored_afterwards() -> None:
    tags = {f"k{number}": "v" * 250 for number in range(10)}
    source = {"GET old/a b": [content()], "GET old/a b?tagging=": [tagged(**tags)]}
    target = {"PUT new/a b": [STORED], "PUT new/a b?tagging=": [reply(200)]}
    assert (await outcome_of(source, target)).result == "copied"


@on_uvloop
async def test_tags_that_could_not_be_stored_afterwards_are_reported() -> None:
    tags = {f"k{number}": "v" * 250 for number in range(10)}
    source = {"GET old/a b": [content()], "GET old/a b?tagging=": [tagged(**tags)]}
    target = {"PUT new/a b": [STORED], "PUT new/a b?tagging=": [error(403, "AccessDenied", "no")]}
    outcome = await outcome_of(source, target)
    assert (outcome.result, outcome.message) == ("failed", "the object is copied, but without its tags: no")


@on_uvloop
async def test_a_read_that_breaks_off_is_begun_anew_and_nothing_is_sent_twice() -> None:
    async with services({"GET old/a b": [CUT, CUT, content()]}, {"PUT new/a b": [STORED]}) as both:
        outcomes: list[CopyOutcome] = []
        await copy_objects(both.source, both.target, iter([JOB]), outcomes.append, STREAM)
    assert summary(outcomes[0]) == ("copied", ETAG, Evidence.ETAG, None)
    (put,) = both.target_wire.requests
    assert put.endswith(b"\r\n\r\n" + BODY)


@on_uvloop
async def test_a_read_that_always_breaks_off_fails_and_writes_nothing() -> None:
    outcome = await outcome_of({"GET old/a b": [CUT] * 10}, {})
    assert (outcome.result, outcome.error) == ("failed", "ConnectionBroken")


@pytest.mark.parametrize("body", [b"1234", b"123456", b""])
def test_content_of_another_length_than_listed_is_not_written(body: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        outcome = await outcome_of({"GET old/a b": [content(body, ETAG)]}, {})
        assert (outcome.result, outcome.error) == ("failed", "WrongLength")

    scenario()


@on_uvloop
async def test_content_that_was_damaged_on_its_way_is_read_again() -> None:
    source = {"GET old/a b": [content(b"1X345", ETAG), content()]}
    assert (await outcome_of(source, {"PUT new/a b": [STORED]})).result == "copied"


@on_uvloop
async def test_content_that_its_own_etag_contradicts_is_never_written() -> None:
    outcome = await outcome_of({"GET old/a b": [content(b"1X345", ETAG)] * 2}, {})
    assert (outcome.result, outcome.error) == ("failed", "ContentDiffers")


@on_uvloop
async def test_a_put_whose_reply_was_lost_is_copied_not_present() -> None:
    source = {"GET old/a b": [content()], "HEAD old/a b": [found(ETAG)]}
    target = {"PUT new/a b": [None, PRECONDITION], "HEAD new/a b": [found(ETAG)]}
    outcome = await outcome_of(source, target)
    assert (*summary(outcome), outcome.attempts) == ("copied", ETAG, Evidence.ETAG, None, 2)


@on_uvloop
async def test_a_target_with_the_same_content_is_present_and_one_with_other_content_a_conflict() -> None:
    for etag, size, result in ((ETAG, 5, "present"), ("t1", 6, "conflict")):
        source = {"GET old/a b": [content()], "HEAD old/a b": [found(ETAG)]}
        target = {"PUT new/a b": [PRECONDITION], "HEAD new/a b": [found(etag, size)]}
        assert (await outcome_of(source, target)).result == result


@on_uvloop
async def test_a_request_to_a_busy_target_is_sent_again() -> None:
    target = {"PUT new/a b": [error(503, "SlowDown"), error(500, "InternalError"), STORED]}
    outcome = await outcome_of({"GET old/a b": [content()]}, target)
    assert (outcome.result, outcome.attempts) == ("copied", 3)


@on_uvloop
async def test_a_target_that_ignores_the_condition_is_looked_at_first() -> None:
    able = CopyOptions(method="stream", capabilities=Capabilities(put_condition=Support.IGNORES))
    source = {"HEAD old/a b": [found(ETAG)]}
    outcome = await outcome_of(source, {"HEAD new/a b": [found("t1", 6), found("t1", 6)]}, options=able)
    assert (outcome.result, outcome.attempts) == ("conflict", 0)
    free = await outcome_of(
        {"GET old/a b": [content()]}, {"HEAD new/a b": [reply(404)], "PUT new/a b": [STORED]}, options=able
    )
    assert free.result == "copied"


KMS = {"x_amz_server_side_encryption": "aws:kms"}
CRC = b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
CRC32 = {"x_amz_checksum_crc32": CRC, "x_amz_checksum_type": "FULL_OBJECT"}
CRC64 = {"x_amz_checksum_crc64nvme": "AAAAAAAAAAA=", "x_amz_checksum_type": "FULL_OBJECT"}


@pytest.mark.parametrize(
    ("source", "target", "evidence"),
    [
        pytest.param({}, {"etag": '"k1"', **KMS}, Evidence.BYTES, id="plain to KMS"),
        pytest.param({"etag": "k0", **KMS, **CRC32}, {"etag": f'"{ETAG}"'}, Evidence.CHECKSUM, id="a known checksum"),
        pytest.param({"etag": "k0", **KMS, **CRC64}, {"etag": '"k1"', **KMS, **CRC64}, Evidence.CHECKSUM, id="theirs"),
        pytest.param({"etag": "k0", **KMS}, {"etag": f'"{ETAG}"'}, Evidence.SIZE, id="nothing said"),
        pytest.param(
            {"etag": "0" * 32, **CRC32}, {"etag": f'"{ETAG}"'}, Evidence.CHECKSUM, id="an ETag that is no MD5"
        ),
    ],
)
def test_what_proves_content_whose_etags_cannot_be_compared(
    source: dict[str, str], target: dict[str, str], evidence: Evidence
) -> None:
    @on_uvloop
    async def scenario() -> None:
        headers = dict(source)
        etag = headers.pop("etag", ETAG)
        outcome = await outcome_of(
            {"GET old/a b": [content(BODY, etag, **headers)]},
            {"PUT new/a b": [reply(200, **target)]},
            JOB._replace(etag=etag),
        )
        assert summary(outcome) == ("copied", target["etag"].strip('"'), evidence, None)

    scenario()


@on_uvloop
async def test_the_target_is_sent_the_checksum_that_cannot_be_computed_here() -> None:
    source = {"GET old/a b": [content(BODY, "k0", **KMS, **CRC64)]}
    async with services(source, {"PUT new/a b": [reply(200, etag=f'"{ETAG}"')]}) as both:
        await copy_objects(both.source, both.target, iter([JOB._replace(etag="k0")]), lambda _: None, STREAM)
    assert b"\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n" in both.target_wire.requests[0]


@on_uvloop
async def test_a_checksum_that_the_content_has_not_forbids_writing_it() -> None:
    wrong = {**CRC32, "x_amz_checksum_crc32": "AAAAAA=="}
    source = {"GET old/a b": [content(BODY, "k0", **KMS, **wrong)] * 2}
    outcome = await outcome_of(source, {}, JOB._replace(etag="k0"))
    assert (outcome.result, outcome.error) == ("failed", "ContentDiffers")


@on_uvloop
async def test_a_target_with_another_checksum_than_the_source_is_never_called_copied() -> None:
    source = {"GET old/a b": [content(BODY, "k0", **KMS, **CRC64)]}
    other = {**CRC64, "x_amz_checksum_crc64nvme": "AAAAAAAAAAE="}
    outcome = await outcome_of(
        source, {"PUT new/a b": [reply(200, etag='"k1"', **KMS, **other)]}, JOB._replace(etag="k0")
    )
    assert summary(outcome) == ("failed", "k1", None, "ContentDiffers")


@on_uvloop
async def test_a_target_that_names_another_digest_is_read_and_never_believed() -> None:
    for stored, result in ((BODY, "copied"), (b"1234X", "failed")):
        source = {"GET old/a b": [content(), content()], "HEAD old/a b": [found(ETAG)]}
        other = "f" * 32
        target = {
            "PUT new/a b": [reply(200, etag=f'"{other}"')],
            "HEAD new/a b": [found(other)],
            "GET new/a b": [content(stored, other)],
        }
        outcome = await outcome_of(source, target)
        assert (outcome.result, outcome.evidence) == (result, Evidence.BYTES if result == "copied" else None)


LARGE = bytes(range(256)) * (17 * MEBIBYTE // 256) + b"tail"
LARGE_JOB = CopyJob("old/big", md5(LARGE), len(LARGE), "new/big")


class LargeSource:
    """A service with one large object."""

    def __init__(self, body: bytes = LARGE, etag: str = LARGE_JOB.etag, part_size: int = 0) -> None:
        self.body = body
        self.etag = etag
        self.part_size = part_size
        self.cuts = 0
        self.ranges: list[tuple[int, int]] = []

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.endswith("?tagging="):
            writer.write(tagged(team="web"))
        elif kind.endswith("?partNumber=1"):
            writer.write(found(self.etag, self.part_size or len(self.body)))
        elif kind.startswith("HEAD"):
            writer.write(found(self.etag, len(self.body), content_type="image/png"))
        else:
            assert f'\r\nif-match: "{self.etag}"\r\n'.encode() in request
            wanted_range = next(line for line in request.split(b"\r\n") if line.startswith(b"range: bytes="))
            first, last = (int(number) for number in wanted_range[13:].split(b"-"))
            self.ranges.append((first, last))
            answer = reply(206, self.body[first : last + 1], etag=f'"{self.etag}"')
            if self.cuts:
                self.cuts -= 1
                writer.write(answer[: len(answer) // 2])
                await writer.drain()
                writer.close()
            else:
                writer.write(answer)


class LargeTarget:
    """A service that takes an upload in parts."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.created: bytes = b""
        self.completed: bytes = b""
        self.aborted = False
        self.damaging = False
        self.refused = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        head, _, body = request.partition(b"\r\n\r\n")
        if kind.startswith("HEAD"):
            writer.write(reply(404))
        elif kind.endswith("?uploads="):
            self.created = head
            writer.write(reply(200, b"<R><UploadId>u1</UploadId></R>"))
        elif kind.startswith("PUT"):
            number = int(kind.partition("partNumber=")[2].partition("&")[0])
            if number == self.refused:
                writer.write(error(500, "InternalError"))
                return
            assert f"\r\ncontent-md5: {base64_md5(body)}\r\n".encode() in head
            self.parts[number] = body
            writer.write(reply(200, etag=f'"{"0" * 32 if self.damaging else md5(body)}"'))
        elif kind.startswith("POST"):
            self.completed = head
            etag = composite([self.parts[number] for number in sorted(self.parts)])
            result = f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>"
            writer.write(reply(200, result.encode()))
        elif kind.startswith("DELETE"):
            self.aborted = True
            writer.write(reply(204))
        else:
            writer.write(error(404, "NoSuchUpload") if self.aborted else self._listed())

    def _listed(self) -> bytes:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(part)}</Size><ETag>{md5(part)}</ETag></Part>"
            for number, part in self.parts.items()
        )
        return reply(200, f"<ListPartsResult>{parts}</ListPartsResult>".encode())


def composite(parts: Sequence[bytes]) -> str:
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{md5(digests)}-{len(parts)}"


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


PROVING = CopyOptions(method="stream", capabilities=Capabilities(content_md5=Support.HAS))
BAD_DIGEST = error(400, "BadDigest")


class ProvingTarget:
    """A target that compares content with its Content-MD5.

    damages: of so many requests, a byte changes on the way to it
    """

    def __init__(self, damages: int = 0) -> None:
        self.damages = damages
        self.stored: list[bytes] = []
        self.sums: list[bytes] = []
        self.refused = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        if not request.startswith(b"PUT"):
            writer.write(reply(404))
            return
        head, _, body = request.partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        self.sums.append(lines[b"x-amz-content-sha256"])
        if self.damages:
            self.damages -= 1
            body = body[:-1] + b"?"
        if lines.get(b"content-md5") != base64_md5(body).encode():
            self.refused += 1
            writer.write(BAD_DIGEST)
            return
        self.stored.append(body)
        writer.write(reply(200, etag=f'"{md5(body)}"'))


class PlainSource:
    """A source with one object.

    bodies: of its replies to GET, the last of which comes again; one that is shorter breaks off
    """

    def __init__(self, *bodies: bytes, etag: str = "") -> None:
        self.bodies = list(bodies)
        self.size = len(bodies[-1])
        self.etag = etag or md5(bodies[-1])
        self.reads = 0

    def job(self) -> CopyJob:
        return CopyJob("old/big", self.etag, self.size, "new/big")

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.endswith("?tagging="):
            writer.write(NO_TAGS)
        elif kind.startswith("HEAD"):
            writer.write(found(self.etag, self.size, content_type="image/png"))
        else:
            self.reads += 1
            body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
            whole = b"content-length: %d" % self.size
            writer.write(content(body, self.etag).replace(b"content-length: %d" % len(body), whole))
            await writer.drain()
            if len(body) < self.size:
                writer.close()


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
