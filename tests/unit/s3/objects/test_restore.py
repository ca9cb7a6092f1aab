"""What is sent for an archived object, and what the replies mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from rehome.s3.errors import S3StopError
from rehome.s3.objects.restore import ArchivedObject, RestoreResult, RestoreState, request_restores

from tests.unit.s3.wire import client_of, error, on_uvloop, reply, script


def objects(count: int) -> Iterator[ArchivedObject]:
    return (ArchivedObject(f"image/{number}", "GLACIER") for number in range(count))


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [
        (reply(202), "requested", None),
        (reply(200), "restored", None),
        (error(409, "RestoreAlreadyInProgress"), "in_progress", None),
        (error(403, "InvalidObjectState"), "failed", "InvalidObjectState"),
        (error(403, "AccessDenied"), "failed", "AccessDenied"),
        (error(404, "NoSuchKey"), "failed", "NoSuchKey"),
        (error(400, "MalformedXML"), "failed", "MalformedXML"),
        (error(200, "InternalError"), "failed", "InternalError"),
    ],
)
@on_uvloop
async def test_each_reply_has_its_state(answer: bytes, state: RestoreState, code: str | None) -> None:
    results: list[RestoreResult] = []
    async with client_of(script([answer]), attempts=1) as (client, _, _):
        counts = await request_restores(client, objects(1), 7, "Bulk", results.append)
    assert counts == {state: 1}
    assert [(one.key, one.state, one.error) for one in results] == [("image/0", state, code)]


@on_uvloop
async def test_days_and_tier_are_requested_and_no_days_of_intelligent_tiering() -> None:
    async with client_of(script([reply(202)] * 2), max_connections=1) as (client, wire, _):
        objects = iter([ArchivedObject("a b", "DEEP_ARCHIVE"), ArchivedObject("c", "INTELLIGENT_TIERING")])
        await request_restores(client, objects, 7, "Standard", lambda result: None)
    archived, tiered = wire.requests
    assert archived.startswith(b"POST /bucket/a%20b?restore= HTTP/1.1")
    assert b"<Days>7</Days><GlacierJobParameters><Tier>Standard</Tier></GlacierJobParameters>" in archived
    assert b"<Days>" not in tiered
    assert b"<Tier>Standard</Tier>" in tiered


@on_uvloop
async def test_a_throttled_request_is_sent_again() -> None:
    async with client_of(script([error(503, "SlowDown"), reply(202)]), max_connections=1) as (client, _, _):
        assert await request_restores(client, objects(1), 1, "Bulk", lambda result: None) == {"requested": 1}


@on_uvloop
async def test_no_more_are_in_flight_than_the_client_has_connections() -> None:
    in_flight, most = 0, 0

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.001)
        in_flight -= 1
        writer.write(reply(202))

    results: list[RestoreResult] = []
    async with client_of(handle, max_connections=3) as (client, _, _):
        counts = await request_restores(client, objects(50), 1, "Bulk", results.append)
    assert most == 3
    assert counts == {"requested": 50}
    assert sorted(one.key for one in results) == sorted(item.key for item in objects(50))


@on_uvloop
async def test_what_every_request_would_meet_stops_it_and_is_reported() -> None:
    results: list[RestoreResult] = []
    left = objects(100)
    answers = [reply(202), *[error(403, "ExpiredToken")] * 99]
    async with client_of(script(answers), max_connections=2) as (client, _, _):
        with pytest.raises(S3StopError, match="ExpiredToken"):
            await request_restores(client, left, 1, "Bulk", results.append)
    assert len(list(left)) > 90
    assert [one.error for one in results if one.state == "failed"].count("ExpiredToken") >= 1


@on_uvloop
async def test_an_error_of_the_callback_ends_it() -> None:
    def fail(result: RestoreResult) -> None:
        raise ArithmeticError

    async with client_of(script([reply(202)] * 9)) as (client, _, _):
        with pytest.raises(ArithmeticError):
            await request_restores(client, objects(9), 1, "Bulk", fail)


@on_uvloop
async def test_a_copy_that_stays_for_no_day_is_refused() -> None:
    async with client_of(script([])) as (client, wire, _):
        with pytest.raises(ValueError, match="at least one"):
            await request_restores(client, objects(1), 0, "Bulk", lambda result: None)
        assert wire.requests == []
