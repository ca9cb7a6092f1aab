"""What becomes of a copy, for every way the wire can answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from rehome.s3.compare import Evidence, compare
from rehome.s3.copy import copy_objects
from rehome.s3.errors import S3StopError
from rehome.s3.job import MAX_COPY_BYTES, CopyJob, CopyOutcome

from tests.unit.s3.wire import Handler, client_of, copied, error, on_uvloop, reply

JOB = CopyJob("old/a b", "e1", 5, "new/a b", None)
PRECONDITION = error(412, "PreconditionFailed")

Script = Mapping[str, Sequence[bytes | None]]


def per_request(replies: Script) -> Handler:
    """The replies to each kind of request in turn, by `VERB key`; None closes the connection instead."""
    left = {kind: iter(values) for kind, values in replies.items()}

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        verb, path = request.split(b" ")[:2]
        data = next(left[f"{verb.decode()} {path.decode().removeprefix('/bucket/').replace('%20', ' ')}"])
        if data is None:
            writer.close()
        else:
            writer.write(data)

    return handle


def found(etag: str, size: int = 5, **headers: str) -> bytes:
    """A reply to HEAD."""
    head = reply(200, b"x" * size, etag=f'"{etag}"', **headers)
    return head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


async def outcome_of(replies: Script, job: CopyJob = JOB) -> CopyOutcome:
    outcomes: list[CopyOutcome] = []
    async with client_of(per_request(replies)) as (client, _, _):
        await copy_objects(client, client, iter([job]), outcomes.append)
    (outcome,) = outcomes
    assert outcome.job is job
    return outcome


def summary(outcome: CopyOutcome) -> tuple[object, ...]:
    return outcome.result, outcome.target_etag, outcome.evidence, outcome.error


@on_uvloop
async def test_a_copy_is_sent_with_its_conditions() -> None:
    async with client_of(per_request({"PUT new/a b": [copied("e1"), copied("e1")]})) as (client, wire, _):
        jobs = [JOB, JOB._replace(replace_etag="t0")]
        await copy_objects(client, client, iter(jobs), lambda _: None)
    fresh, replacing = sorted(wire.requests, key=lambda request: b"if-none-match" not in request)
    assert b"\r\nx-amz-copy-source: bucket/old/a%20b\r\n" in fresh
    assert b'\r\nx-amz-copy-source-if-match: "e1"\r\n' in fresh
    assert b"\r\nif-none-match: *\r\n" in fresh
    assert b"if-none-match" not in replacing
    assert b'\r\nif-match: "t0"\r\n' in replacing
    assert b"annotation" not in fresh + replacing  # it is for AWS only


@on_uvloop
async def test_the_same_etag_in_the_reply_proves_the_copy() -> None:
    outcome = await outcome_of({"PUT new/a b": [copied("e1")]})
    assert summary(outcome) == ("copied", "e1", Evidence.ETAG, None)


@on_uvloop
async def test_another_etag_is_proven_by_a_full_checksum() -> None:
    sums = {"x_amz_checksum_crc64nvme": "c1", "x_amz_checksum_type": "FULL_OBJECT"}
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [found("e1", **sums)],
        "HEAD new/a b": [found("t1", **sums)],
    }
    assert summary(await outcome_of(replies)) == ("copied", "t1", Evidence.CHECKSUM, None)


@on_uvloop
async def test_without_a_usable_checksum_the_bytes_are_read() -> None:
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [found("e1", x_amz_checksum_crc32="c1-2", x_amz_checksum_type="COMPOSITE")],
        "HEAD new/a b": [found("t1", x_amz_checksum_crc32="c2", x_amz_checksum_type="FULL_OBJECT")],
        "GET old/a b": [reply(200, b"12345")],
        "GET new/a b": [reply(200, b"12345")],
    }
    assert summary(await outcome_of(replies)) == ("copied", "t1", Evidence.BYTES, None)


@on_uvloop
async def test_a_copy_with_other_content_than_its_source_is_never_called_copied() -> None:
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [found("e1"), found("e1")],
        "HEAD new/a b": [found("t1")],
        "GET old/a b": [reply(200, b"12345")],
        "GET new/a b": [reply(200, b"1234X")],
    }
    assert summary(await outcome_of(replies)) == ("failed", "t1", None, "ContentDiffers")


@on_uvloop
async def test_a_reply_without_an_etag_is_proven_by_asking_for_it() -> None:
    replies = {
        "PUT new/a b": [reply(200, b"<CopyObjectResult></CopyObjectResult>")],
        "HEAD new/a b": [found("e1")],
    }
    assert summary(await outcome_of(replies)) == ("copied", "e1", Evidence.ETAG, None)


@on_uvloop
async def test_a_target_with_the_same_content_is_present() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [found("e1")], "HEAD new/a b": [found("e1")]}
    assert summary(await outcome_of(replies)) == ("present", "e1", Evidence.ETAG, None)


@on_uvloop
async def test_a_target_with_other_content_is_a_conflict() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [found("e1")], "HEAD new/a b": [found("t1", 6)]}
    assert summary(await outcome_of(replies)) == ("conflict", "t1", None, "PreconditionFailed")


@on_uvloop
async def test_an_equal_etag_with_another_size_is_a_conflict() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [found("e1")], "HEAD new/a b": [found("e1", 6)]}
    assert (await outcome_of(replies)).result == "conflict"


@on_uvloop
async def test_a_source_that_changed_is_changed_even_if_the_target_holds_the_old_content() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [reply(412)], "HEAD new/a b": [found("e1")]}
    assert summary(await outcome_of(replies)) == ("changed", None, None, "PreconditionFailed")


@on_uvloop
async def test_a_source_that_is_gone_is_changed() -> None:
    replies = {"PUT new/a b": [error(404, "NoSuchKey")], "HEAD old/a b": [reply(404)]}
    assert summary(await outcome_of(replies)) == ("changed", None, None, "NoSuchKey")


@on_uvloop
async def test_a_target_that_was_to_be_replaced_and_is_gone_fails_and_is_not_blamed_on_the_source() -> None:
    replies = {
        "PUT new/a b": [error(404, "NoSuchKey")],
        "HEAD old/a b": [found("e1")],
        "HEAD new/a b": [reply(404)],
    }
    outcome = await outcome_of(replies, JOB._replace(replace_etag="t0"))
    assert summary(outcome) == ("failed", None, None, "TargetGone")


@on_uvloop
async def test_a_copy_whose_reply_was_lost_is_copied_not_present() -> None:
    replies = {"PUT new/a b": [None, PRECONDITION], "HEAD old/a b": [found("e1")], "HEAD new/a b": [found("e1")]}
    outcome = await outcome_of(replies)
    assert (*summary(outcome), outcome.attempts) == ("copied", "e1", Evidence.ETAG, None, 2)


@on_uvloop
async def test_an_object_that_one_copy_cannot_take_is_not_attempted() -> None:
    outcome = await outcome_of({}, JOB._replace(size=MAX_COPY_BYTES + 1))
    assert (outcome.result, outcome.error, outcome.attempts) == ("failed", "EntityTooLarge", 0)


def numbered(count: int, pulled: list[int] | None = None) -> Iterator[CopyJob]:
    for number in range(count):
        if pulled is not None:
            pulled.append(number)
        yield CopyJob(f"old/{number}", "e1", 5, f"new/{number}", None)


def answering(answer: Callable[[int], bytes]) -> Handler:
    count = iter(range(1_000_000))

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(next(count)))

    return handle


@on_uvloop
async def test_one_failure_does_not_stop_the_others() -> None:
    outcomes: list[CopyOutcome] = []
    replies = answering(lambda number: error(403, "AccessDenied", "no") if number == 3 else copied("e1"))
    async with client_of(replies) as (client, _, _):
        await copy_objects(client, client, numbered(20), outcomes.append)
    failed = [outcome for outcome in outcomes if outcome.result == "failed"]
    assert (len(outcomes), len(failed), failed[0].error, failed[0].message) == (20, 1, "AccessDenied", "no")


@on_uvloop
async def test_the_same_failure_fifty_times_from_the_start_stops_the_run() -> None:
    outcomes: list[CopyOutcome] = []
    async with client_of(answering(lambda _: error(403, "AccessDenied"))) as (client, _, _):
        with pytest.raises(S3StopError, match="the first 50 copies all failed"):
            await copy_objects(client, client, numbered(1000), outcomes.append)
    assert 50 <= len(outcomes) <= 50 + 4


@on_uvloop
async def test_after_a_success_the_same_failure_does_not_stop_the_run() -> None:
    outcomes: list[CopyOutcome] = []
    replies = answering(lambda number: copied("e1") if number == 0 else error(403, "AccessDenied"))
    async with client_of(replies) as (client, _, _):
        await copy_objects(client, client, numbered(120), outcomes.append)
    assert len(outcomes) == 120


@on_uvloop
async def test_what_stops_the_run_lets_copies_under_way_finish_and_tells_every_job_taken() -> None:
    outcomes: list[CopyOutcome] = []
    pulled: list[int] = []
    replies = answering(lambda number: error(400, "ExpiredToken") if number == 10 else copied("e1"))
    async with client_of(replies) as (client, _, _):
        with pytest.raises(S3StopError, match="ExpiredToken"):
            await copy_objects(client, client, numbered(1000, pulled), outcomes.append)
    assert sorted(int(outcome.job.source_key[4:]) for outcome in outcomes) == pulled
    assert len(pulled) <= 10 + 4
    assert [outcome.error for outcome in outcomes if outcome.result == "failed"] == ["ExpiredToken"]


@on_uvloop
async def test_jobs_are_taken_no_faster_than_they_are_done() -> None:
    pulled: list[int] = []
    done: list[CopyOutcome] = []
    ahead: list[int] = []

    def note(outcome: CopyOutcome) -> None:
        done.append(outcome)
        ahead.append(len(pulled) - len(done))

    async with client_of(answering(lambda _: copied("e1"))) as (client, _, _):
        await copy_objects(client, client, numbered(200, pulled), note)
    assert (len(done), max(ahead) <= 4) == (200, True)


@on_uvloop
async def test_a_caller_that_fails_ends_everything() -> None:
    def full(outcome: CopyOutcome) -> None:
        raise OSError("disk full")

    async with client_of(answering(lambda _: copied("e1"))) as (client, _, _):
        with pytest.raises(OSError, match="disk full"):
            await copy_objects(client, client, numbered(100), full)
        assert client.pace.in_flight == 0


@on_uvloop
async def test_a_cancelled_run_leaves_no_worker_behind() -> None:
    async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with client_of(silent) as (client, wire, _):
        before = asyncio.all_tasks()
        run = asyncio.create_task(copy_objects(client, client, numbered(100), lambda _: None))
        await asyncio.sleep(0.05)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert client.pace.in_flight == 0
        left = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
        assert left == set()
        assert len(wire.requests) == 4


@on_uvloop
async def test_a_read_that_breaks_off_is_begun_anew() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n12"
    gets: list[bytes] = []

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"HEAD"):
            writer.write(found("any"))
        elif b"/old/" in request and not gets:
            gets.append(request)
            writer.write(half)
            await writer.drain()
            writer.close()
        else:
            writer.write(reply(200, b"12345"))

    async with client_of(handle) as (client, _, _):
        assert await compare(client, "old/a", "e1", client, "new/a", "t1") is Evidence.BYTES


@pytest.mark.parametrize("kind", ["HEAD", "GET"])
def test_an_object_that_is_replaced_while_it_is_compared_is_not_the_same(kind: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
            assert b"\r\nif-match: " in request
            if request.startswith(kind.encode()) and b"/new/" in request:
                writer.write(reply(412))
            else:
                writer.write(found("any") if request.startswith(b"HEAD") else reply(200, b"12345"))

        async with client_of(handle) as (client, _, _):
            assert await compare(client, "old/a", "e1", client, "new/a", "t1") is None

    scenario()


@on_uvloop
async def test_aws_is_told_to_leave_annotations_out() -> None:
    async with client_of(per_request({"PUT new/a b": [copied("e1")]})) as (client, wire, _):
        client.endpoint = dataclasses.replace(client.endpoint, host="bucket.s3.eu-west-1.amazonaws.com")
        await copy_objects(client, client, iter([JOB]), lambda _: None)
    assert b"\r\nx-amz-object-annotation-directive: EXCLUDE\r\n" in wire.requests[0]
