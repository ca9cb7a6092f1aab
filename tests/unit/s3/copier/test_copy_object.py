"""What becomes of a copy, for every way the wire can answer."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
from rehome.s3.capabilities import Capabilities
from rehome.s3.client.circuit_breaker import CircuitBreaker
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import RateLimiter
from rehome.s3.copier.run import copy_objects
from rehome.s3.errors import S3StopError
from rehome.s3.multipart.parts import MAX_OBJECT_BYTES
from rehome.s3.objects.compare import Evidence, compare
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome
from rehome.s3.support import Support
from rehome.s3.transport.connection import Response

from tests.unit.s3.leaping import now, run_leaping
from tests.unit.s3.wire import Handler, client_of, copied, endpoint, error, on_uvloop, reply

JOB = CopyJob("old/a b", "e1", 5, "new/a b", None)
MD5_JOB = JOB._replace(etag="0" * 31 + "1")
OTHER_MD5 = "0" * 31 + "2"
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


async def outcome_of(replies: Script, job: CopyJob = JOB, **options: Any) -> CopyOutcome:
    """What becomes of one job; every scripted reply must have been used."""
    outcomes: list[CopyOutcome] = []
    async with client_of(per_request(replies)) as (client, wire, _):
        await copy_objects(client, client, iter([job]), outcomes.append, CopyOptions(**options))
    (outcome,) = outcomes
    assert outcome.job is job
    assert len(wire.requests) == sum(len(values) for values in replies.values())
    return outcome


class Recorder:
    """A client that answers every request with the next reply, and records the requests."""

    max_connections = 1

    def __init__(self, *replies: Response, **changes: Any) -> None:
        self.endpoint = dataclasses.replace(endpoint(80), **changes)
        self._replies = iter(replies)
        self.requests: list[tuple[str, str | None, dict[str, str]]] = []

    async def request(self, method: str, key: str | None, **more: Any) -> Response:
        query = "".join(f"?{name}" for name, _ in more.get("query", ()))
        self.requests.append((method + query, key, dict(more.get("headers", {}))))
        return next(self._replies)


OK = Response(200, {}, b"<CopyObjectResult><ETag>&quot;e1&quot;</ETag></CopyObjectResult>")


async def sent_headers(
    job: CopyJob = JOB, source: Recorder | None = None, target: Recorder | None = None, **options: Any
) -> dict[str, str]:
    """The headers of the CopyObject that is sent for `job`."""
    target = target or Recorder(OK)
    given = cast(Client, source or Recorder()), cast(Client, target)
    outcomes: list[CopyOutcome] = []
    await copy_objects(*given, iter([job]), outcomes.append, CopyOptions(**options))
    assert [outcome.result for outcome in outcomes] == ["copied"], outcomes
    return next(headers for method, _, headers in target.requests if method == "PUT")


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


@pytest.mark.parametrize("blank", ["", "0" * 32 + "-1"])
@on_uvloop
async def test_an_etag_that_every_object_may_have_proves_no_copy(blank: str) -> None:
    job = JOB._replace(etag=blank)
    # if the reply has no ETag, a HEAD requests it
    looks = 1 if blank else 2
    for size, expected in ((5, Evidence.SIZE), (6, None)):
        replies = {
            "PUT new/a b": [copied(blank)],
            "HEAD old/a b": [found(blank)] * (1 if expected else 2),
            "HEAD new/a b": [found(blank, size)] * looks,
        }
        assert (await outcome_of(replies, job)).evidence is expected


@pytest.mark.parametrize("blank", ["", "0" * 32 + "-1"])
@on_uvloop
async def test_an_etag_that_every_object_may_have_makes_no_object_present(blank: str) -> None:
    replies = {
        "PUT new/a b": [PRECONDITION],
        "HEAD old/a b": [found(blank)] * 3,
        "HEAD new/a b": [found(blank)] * 2,
        "GET old/a b": [reply(200, b"12345")],
        "GET new/a b": [reply(200, b"1234X")],
    }
    assert (await outcome_of(replies, JOB._replace(etag=blank))).result == "conflict"


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
async def test_a_checksum_in_the_reply_spares_a_look_at_the_target() -> None:
    body = (
        "<CopyObjectResult><ETag>&quot;t1&quot;</ETag><ChecksumCRC64NVME>c1</ChecksumCRC64NVME>"
        "<ChecksumType>FULL_OBJECT</ChecksumType></CopyObjectResult>"
    )
    sums = {"x_amz_checksum_crc64nvme": "c1", "x_amz_checksum_type": "FULL_OBJECT"}
    replies = {"PUT new/a b": [reply(200, body.encode())], "HEAD old/a b": [found("e1", **sums)]}
    assert summary(await outcome_of(replies)) == ("copied", "t1", Evidence.CHECKSUM, None)


@on_uvloop
async def test_a_copy_with_another_checksum_than_its_source_is_never_called_copied() -> None:
    kind = {"x_amz_checksum_type": "FULL_OBJECT"}
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [found("e1", x_amz_checksum_crc32="c1", **kind), found("e1")],
        "HEAD new/a b": [found("t1", x_amz_checksum_crc32="c2", **kind)],
    }
    assert summary(await outcome_of(replies)) == ("failed", "t1", None, "ContentDiffers")


@on_uvloop
async def test_without_a_usable_checksum_a_copy_of_ours_is_proven_weakly_and_not_read() -> None:
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [found("e1", x_amz_checksum_crc32="c1-2", x_amz_checksum_type="COMPOSITE")],
        "HEAD new/a b": [found("t1", x_amz_checksum_crc32="c2", x_amz_checksum_type="FULL_OBJECT")],
    }
    assert summary(await outcome_of(replies)) == ("copied", "t1", Evidence.SIZE, None)


@on_uvloop
async def test_a_copy_of_another_size_than_its_source_is_never_called_copied() -> None:
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [found("e1"), found("e1")],
        "HEAD new/a b": [found("t1", 4)],
    }
    assert summary(await outcome_of(replies)) == ("failed", "t1", None, "ContentDiffers")


@on_uvloop
async def test_two_digests_that_differ_speak_against_the_copy_so_that_the_bytes_decide() -> None:
    replies = {
        "PUT new/a b": [copied(OTHER_MD5)],
        "HEAD old/a b": [found(MD5_JOB.etag), found(MD5_JOB.etag)],
        "HEAD new/a b": [found(OTHER_MD5)],
        "GET old/a b": [reply(200, b"12345")],
        "GET new/a b": [reply(200, b"1234X")],
    }
    assert summary(await outcome_of(replies, MD5_JOB)) == ("failed", OTHER_MD5, None, "ContentDiffers")


@on_uvloop
async def test_under_kms_an_etag_that_looks_like_a_digest_is_none() -> None:
    replies = {
        "PUT new/a b": [copied(OTHER_MD5)],
        "HEAD old/a b": [found(MD5_JOB.etag)],
        "HEAD new/a b": [found(OTHER_MD5, x_amz_server_side_encryption="aws:kms")],
    }
    assert (await outcome_of(replies, MD5_JOB)).evidence is Evidence.SIZE


@on_uvloop
async def test_a_source_that_changed_while_it_was_copied_is_changed() -> None:
    replies = {
        "PUT new/a b": [copied("t1")],
        "HEAD old/a b": [reply(412), reply(412)],
        "HEAD new/a b": [found("t1")],
    }
    assert summary(await outcome_of(replies)) == ("changed", None, None, "PreconditionFailed")


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
async def test_a_target_that_we_did_not_make_is_present_only_if_its_bytes_are_the_same() -> None:
    def replies(content: bytes) -> Script:
        return {
            "PUT new/a b": [PRECONDITION],
            "HEAD old/a b": [found("e1"), found("e1"), *([found("e1")] if content == b"1234X" else [])],
            "HEAD new/a b": [found("t1"), found("t1")],
            "GET old/a b": [reply(200, b"12345")],
            "GET new/a b": [reply(200, content)],
        }

    assert summary(await outcome_of(replies(b"12345"))) == ("present", "t1", Evidence.BYTES, None)
    assert summary(await outcome_of(replies(b"1234X"))) == ("conflict", "t1", None, "PreconditionFailed")


@on_uvloop
async def test_a_target_with_other_content_is_a_conflict() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [found("e1")], "HEAD new/a b": [found("t1", 6)]}
    assert summary(await outcome_of(replies)) == ("conflict", "t1", None, "PreconditionFailed")


@on_uvloop
async def test_an_equal_etag_with_another_size_is_a_conflict() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [found("e1")], "HEAD new/a b": [found("e1", 6)]}
    assert (await outcome_of(replies)).result == "conflict"


@on_uvloop
async def test_a_source_that_changed_is_changed_whatever_the_target_holds() -> None:
    replies = {"PUT new/a b": [PRECONDITION], "HEAD old/a b": [reply(412)]}
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
async def test_an_object_that_no_number_of_parts_can_take_is_not_attempted() -> None:
    outcome = await outcome_of({}, JOB._replace(size=MAX_OBJECT_BYTES + 1))
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
async def test_after_a_success_a_folder_of_odd_objects_does_not_stop_the_run() -> None:
    outcomes: list[CopyOutcome] = []
    replies = answering(lambda number: copied("e1") if number == 0 else error(403, "AccessDenied"))
    async with client_of(replies) as (client, _, _):
        await copy_objects(client, client, numbered(900), outcomes.append)
    assert len(outcomes) == 900


@on_uvloop
async def test_a_right_that_is_taken_away_midway_stops_the_run_and_is_named() -> None:
    outcomes: list[CopyOutcome] = []
    replies = answering(lambda number: copied("e1") if number < 100 else error(403, "AccessDenied", "no more"))
    async with client_of(replies) as (client, _, _):
        with pytest.raises(S3StopError, match=r"AccessDenied.*last 1,000 copies all failed.*no more"):
            await copy_objects(client, client, numbered(10_000), outcomes.append)
    assert 1_100 <= len(outcomes) <= 1_100 + 4


@on_uvloop
async def test_failures_between_successes_never_stop_the_run() -> None:
    outcomes: list[CopyOutcome] = []
    replies = answering(lambda number: copied("e1") if number % 100 == 0 else error(403, "AccessDenied"))
    async with client_of(replies) as (client, _, _):
        await copy_objects(client, client, numbered(2_000), outcomes.append)
    assert len(outcomes) == 2_000


@on_uvloop
async def test_a_service_that_fails_after_all_attempts_stops_the_run_midway_much_sooner() -> None:
    outcomes: list[CopyOutcome] = []

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        ok = int(request.split(b" ")[1].rpartition(b"/")[2]) < 100
        writer.write(copied("e1") if ok else error(500, "InternalError"))

    # its clock stands still: on a slow machine it would find the endpoint suspect first, and send single requests
    breaker = CircuitBreaker(clock=lambda: 0.0)
    async with client_of(handle, attempts=2, breaker=breaker) as (client, _, _):
        with pytest.raises(S3StopError, match=r"InternalError.*last 50 copies all failed"):
            await copy_objects(client, client, numbered(10_000), outcomes.append)
    assert 150 <= len(outcomes) <= 150 + 4


@on_uvloop
async def test_what_stops_the_run_lets_copies_in_flight_finish_and_reports_every_job_taken() -> None:
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


class Arriving:
    """Jobs that a test lets arrive."""

    def __init__(self) -> None:
        self._jobs: list[CopyJob] = []
        self._arrived = asyncio.Event()
        self._is_open = True

    def arrive(self, jobs: Iterable[CopyJob]) -> None:
        self._jobs += jobs
        self._arrived.set()

    def take(self) -> CopyJob | None:
        if self._jobs:
            return self._jobs.pop(0)
        self._arrived.clear()
        return None

    async def wait(self) -> bool:
        if self._is_open:
            await self._arrived.wait()
        return self._is_open

    def close(self) -> None:
        self._is_open = False
        self._arrived.set()


@on_uvloop
async def test_jobs_that_arrive_later_are_waited_for() -> None:
    jobs, outcomes = Arriving(), list[CopyOutcome]()

    def note(outcome: CopyOutcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 30:
            jobs.close()
        elif len(outcomes) % 10 == 0:
            # once all that wait for a job do so
            asyncio.get_running_loop().call_later(0.01, jobs.arrive, numbered(10))

    async with client_of(answering(lambda _: copied("e1"))) as (client, _, _):
        jobs.arrive(numbered(10))
        await copy_objects(client, client, jobs, note)
    assert [outcome.result for outcome in outcomes] == ["copied"] * 30


@on_uvloop
async def test_what_stops_the_run_ends_the_wait_for_jobs() -> None:
    jobs, outcomes = Arriving(), list[CopyOutcome]()
    async with client_of(answering(lambda _: error(400, "ExpiredToken"))) as (client, _, _):
        jobs.arrive(numbered(1))
        with pytest.raises(S3StopError, match="ExpiredToken"):
            async with asyncio.timeout(30):
                await copy_objects(client, client, jobs, outcomes.append)
    assert len(outcomes) == 1


@on_uvloop
async def test_a_caller_that_fails_ends_everything() -> None:
    def full(outcome: CopyOutcome) -> None:
        raise OSError("disk full")

    async with client_of(answering(lambda _: copied("e1"))) as (client, _, _):
        with pytest.raises(OSError, match="disk full"):
            await copy_objects(client, client, numbered(100), full)
        assert client.limiter.in_flight == 0


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
        assert client.limiter.in_flight == 0
        left = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
        assert left == set()
        assert len(wire.requests) == 4


@on_uvloop
async def test_a_read_that_breaks_off_is_begun_anew() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n12"
    gets: list[bytes] = []

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"HEAD"):
            writer.write(found("e1" if b"/old/" in request else "t1"))
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
                etag = "e1" if b"/old/" in request else "t1"
                writer.write(found(etag) if request.startswith(b"HEAD") else reply(200, b"12345"))

        async with client_of(handle) as (client, _, _):
            assert await compare(client, "old/a", "e1", client, "new/a", "t1") is None

    scenario()


@on_uvloop
async def test_aws_is_asked_to_leave_annotations_out() -> None:
    headers = await sent_headers(target=Recorder(OK, host="bucket.s3.eu-west-1.amazonaws.com"))
    assert headers["x-amz-object-annotation-directive"] == "EXCLUDE"


@on_uvloop
async def test_a_plain_job_sends_its_conditions_and_nothing_else() -> None:
    assert await sent_headers() == {
        "x-amz-copy-source": "bucket/old/a%20b",
        "x-amz-copy-source-if-match": '"e1"',
        "if-none-match": "*",
    }


@on_uvloop
async def test_the_storage_class_is_kept_unless_the_run_names_one() -> None:
    rare = JOB._replace(storage_class="STANDARD_IA")
    assert (await sent_headers(rare))["x-amz-storage-class"] == "STANDARD_IA"
    assert "x-amz-storage-class" not in await sent_headers(JOB)
    for job in (JOB, rare):
        assert (await sent_headers(job, storage_class="GLACIER_IR"))["x-amz-storage-class"] == "GLACIER_IR"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"encryption": "SSE-S3"}, {"x-amz-server-side-encryption": "AES256"}),
        ({"encryption": "SSE-KMS"}, {"x-amz-server-side-encryption": "aws:kms"}),
        (
            {"encryption": "SSE-KMS", "kms_key_id": "arn:k"},
            {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "arn:k"},
        ),
        ({"acl": "bucket-owner-full-control"}, {"x-amz-acl": "bucket-owner-full-control"}),
    ],
)
def test_encryption_and_access_of_the_target_are_requested(options: dict[str, Any], expected: dict[str, str]) -> None:
    @on_uvloop
    async def scenario() -> None:
        plain, headers = await sent_headers(), await sent_headers(**options)
        assert dict(headers.items() - plain.items()) == expected

    scenario()


@on_uvloop
async def test_the_source_buckets_owner_and_payer_are_named_in_the_targets_requests() -> None:
    headers = await sent_headers(source=Recorder(expected_owner="111122223333", requester_pays=True))
    assert headers["x-amz-source-expected-bucket-owner"] == "111122223333"
    assert headers["x-amz-request-payer"] == "requester"


def acl(*grants: tuple[str, str], owner: str = "me") -> Response:
    entries = "".join(
        f"<Grant><Grantee><{'URI' if '/' in who else 'ID'}>{who}</{'URI' if '/' in who else 'ID'}></Grantee>"
        f"<Permission>{what}</Permission></Grant>"
        for who, what in grants
    )
    body = (
        f"<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>"
        f"<AccessControlList>{entries}</AccessControlList></AccessControlPolicy>"
    )
    return Response(200, {}, body.encode())


EVERYONE = "http://acs.amazonaws.com/groups/global/AllUsers"


@on_uvloop
async def test_grants_that_are_a_canned_acl_are_carried_as_one() -> None:
    private = Recorder(acl(("me", "FULL_CONTROL")))
    assert await sent_headers(source=private, acl="copy") == await sent_headers()
    public = Recorder(acl(("me", "FULL_CONTROL"), (EVERYONE, "READ")))
    assert (await sent_headers(source=public, acl="copy"))["x-amz-acl"] == "public-read"


@on_uvloop
async def test_other_grants_are_carried_one_by_one_and_the_owners_goes_to_the_owner_of_the_target_bucket() -> None:
    source = Recorder(acl(("me", "FULL_CONTROL"), ("ann", "READ"), ("bob", "READ"), (EVERYONE, "READ_ACP")))
    target = Recorder(acl(owner="they"), OK)
    headers = await sent_headers(source=source, target=target, acl="copy")
    assert {name: value for name, value in headers.items() if "grant" in name} == {
        "x-amz-grant-full-control": 'id="they"',
        "x-amz-grant-read": 'id="ann", id="bob"',
        "x-amz-grant-read-acp": f'uri="{EVERYONE}"',
    }


@pytest.mark.parametrize("code", ["InvalidObjectState", "ObjectNotInActiveTierError"])
def test_an_object_that_must_be_restored_first_is_archived_and_not_failed(code: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        outcome = await outcome_of({"PUT new/a b": [error(403, code, "restore it")]})
        assert summary(outcome) == ("archived", None, None, code)
        assert outcome.message == "restore it"

    scenario()


@on_uvloop
async def test_how_long_a_job_took_is_reported() -> None:
    assert (await outcome_of({"PUT new/a b": [copied("e1")]})).duration_s > 0


@pytest.mark.parametrize("lacking", ["missing_source", "source_condition"])
def test_if_the_source_is_not_checked_by_the_service_it_is_checked_first(lacking: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        able = Capabilities(**{lacking: Support.IGNORES})
        for answer in (reply(404), reply(412), found("e2")):
            outcome = await outcome_of({"HEAD old/a b": [answer]}, capabilities=able)
            assert outcome.result == "changed"
        replies = {"HEAD old/a b": [found("e1")], "PUT new/a b": [copied("e1")]}
        assert (await outcome_of(replies, capabilities=able)).evidence is Evidence.ETAG

    scenario()


@on_uvloop
async def test_if_the_source_is_not_checked_a_change_during_the_copy_is_found_by_its_proof() -> None:
    replies = {
        "HEAD old/a b": [found("e1"), found("e2"), found("e2")],
        "PUT new/a b": [copied("e2")],
        "HEAD new/a b": [found("e2")],
    }
    outcome = await outcome_of(replies, capabilities=Capabilities(source_condition=Support.IGNORES))
    assert outcome.result == "changed"


@on_uvloop
async def test_if_the_target_is_not_checked_by_the_service_it_is_checked_first() -> None:
    able = Capabilities(target_condition=Support.IGNORES)
    taken = {"HEAD new/a b": [found("t1", 6), found("t1", 6)], "HEAD old/a b": [found("e1")]}
    assert (await outcome_of(taken, capabilities=able)).result == "conflict"
    free: Script = {"HEAD new/a b": [reply(404)], "PUT new/a b": [copied("e1")]}
    assert (await outcome_of(free, capabilities=able)).result == "copied"


@on_uvloop
async def test_if_the_target_to_replace_is_not_checked_by_the_service_it_is_checked_first() -> None:
    able = Capabilities(target_match=Support.IGNORES)
    job = JOB._replace(replace_etag="t0")
    other = {"HEAD new/a b": [found("t1", 6), found("t1", 6)], "HEAD old/a b": [found("e1")]}
    assert (await outcome_of(other, job, capabilities=able)).result == "conflict"
    replaced: Script = {"HEAD new/a b": [found("t0")], "PUT new/a b": [copied("e1")]}
    assert (await outcome_of(replaced, job, capabilities=able)).result == "copied"
    unlooked: Script = {"PUT new/a b": [copied("e1")]}
    assert (await outcome_of(unlooked, capabilities=able)).result == "copied"


@on_uvloop
async def test_metadata_and_tags_that_the_service_does_not_carry_are_sent_along() -> None:
    head = Response(200, {b"etag": b'"e1"', b"content-type": b"image/png", b"x-amz-meta-who": b"ann"}, b"")
    tags = Response(200, {}, b"<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag></TagSet></Tagging>")
    able = Capabilities(metadata=Support.IGNORES, tags=Support.IGNORES)
    headers = await sent_headers(source=Recorder(head, tags), capabilities=able)
    plain = await sent_headers()
    assert dict(headers.items() - plain.items()) == {
        "x-amz-metadata-directive": "REPLACE",
        "content-type": "image/png",
        "x-amz-meta-who": "ann",
        "x-amz-tagging-directive": "REPLACE",
        "x-amz-tagging": "a%20b=1%262",
    }
    only_tags = await sent_headers(source=Recorder(head, tags), capabilities=Capabilities(tags=Support.IGNORES))
    assert "x-amz-metadata-directive" not in only_tags
    assert "content-type" not in only_tags


@on_uvloop
async def test_a_reply_that_is_no_list_of_tags_is_not_taken_for_an_empty_one() -> None:
    head = Response(200, {b"etag": b'"e1"'}, b"")
    refused = Response(200, {}, b"<Error><Code>InternalError</Code></Error>")
    source, target = Recorder(head, refused), Recorder()
    outcomes: list[CopyOutcome] = []
    options = CopyOptions(capabilities=Capabilities(tags=Support.IGNORES))
    await copy_objects(cast(Client, source), cast(Client, target), iter([JOB]), outcomes.append, options)
    assert [(outcome.result, outcome.error) for outcome in outcomes] == [("failed", "InvalidReply")]
    assert target.requests == []


@on_uvloop
async def test_grants_that_cannot_be_read_are_not_taken_for_none() -> None:
    refused = Response(200, {}, b"<Error><Code>InternalError</Code></Error>")
    source, target = Recorder(refused), Recorder()
    outcomes: list[CopyOutcome] = []
    options = CopyOptions(acl="copy")
    await copy_objects(cast(Client, source), cast(Client, target), iter([JOB]), outcomes.append, options)
    assert [outcome.result for outcome in outcomes] == ["failed"]
    assert target.requests == []


def test_objects_are_started_no_faster_than_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehome.s3.copier.run.RateLimiter", functools.partial(RateLimiter, clock=now))

    async def seconds(limit: float | None) -> float:
        recorder = Recorder(*[OK] * 30)
        recorder.max_connections = 4
        client = cast(Client, recorder)
        began = now()
        await copy_objects(client, client, numbered(30), lambda _: None, CopyOptions(objects_per_second=limit))
        assert len(recorder.requests) == 30
        return now() - began

    unlimited, limited = run_leaping(seconds(None)), run_leaping(seconds(50.0))
    assert limited > 3 * unlimited
    # 29 intervals after the first, less the 20 ms by which a timer may be late
    assert 29 / 50 >= limited >= 29 / 50 - 0.03
