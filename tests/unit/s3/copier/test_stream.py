"""What becomes of a streamed object, for every way its two services can answer."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from base64 import b64encode
from urllib.parse import unquote

import pytest
from rehome.s3.capabilities import Capabilities
from rehome.s3.copier.run import copy_objects
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyOptions, CopyOutcome
from rehome.s3.support import Support

from tests.unit.s3.copier.streaming import (
    BODY,
    CUT,
    ETAG,
    JOB,
    KMS,
    NO_TAGS,
    PRECONDITION,
    STORED,
    STREAM,
    base64_md5,
    content,
    found,
    md5,
    outcome_of,
    services,
    summary,
    tagged,
)
from tests.unit.s3.wire import error, on_uvloop, reply


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
