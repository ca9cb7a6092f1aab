"""What is counted of a client's requests."""

from __future__ import annotations

import pytest
from rehome.s3.client.meter import RequestGauge
from rehome.s3.errors import S3Error

from tests.unit.s3.wire import client_of, error, on_uvloop, reply, script


@on_uvloop
async def test_every_attempt_counts_and_so_does_why_it_was_repeated() -> None:
    replies = [reply(200), error(503, "SlowDown"), error(500, "InternalError"), reply(200)]
    async with client_of(script(replies)) as (client, _, _):
        gauge = RequestGauge([client])
        assert gauge.read() == {}, "nothing was sent yet"
        await client.request("GET", "a")
        await client.request("GET", "b")
        requests = gauge.read()["requests"]
    assert isinstance(requests, dict)
    figures = {name: requests[name] for name in ("sent", "retries", "throttled", "failed", "in_flight")}
    assert figures == {"sent": 4, "retries": 2, "throttled": 1, "failed": 0, "in_flight": 0}
    assert 0 < requests["p50_ms"] <= requests["p90_ms"] <= requests["p99_ms"]
    assert requests["limit"] >= 1


@on_uvloop
async def test_a_request_that_is_given_up_has_failed_once() -> None:
    async with client_of(script([error(403, "AccessDenied")] * 3)) as (client, _, _):
        gauge = RequestGauge([client])
        with pytest.raises(S3Error):
            await client.request("GET", "a")
        requests = gauge.read()["requests"]
    assert isinstance(requests, dict)
    assert (requests["failed"], requests["throttled"]) == (1, 0)


@on_uvloop
async def test_a_missing_object_is_a_reply_and_no_failure() -> None:
    async with client_of(script([reply(404)])) as (client, _, _):
        gauge = RequestGauge([client])
        await client.request("HEAD", "a")
        requests = gauge.read()["requests"]
    assert isinstance(requests, dict)
    assert requests["failed"] == 0


@on_uvloop
async def test_several_clients_are_one_figure_and_one_that_sends_nothing_has_no_part_in_it() -> None:
    async with (
        client_of(script([reply(200)] * 3)) as (one, _, _),
        client_of(script([])) as (idle, _, _),
        client_of(script([reply(200)])) as (other, _, _),
    ):
        gauge = RequestGauge([one, idle, other])
        await one.request("GET", "a")
        gauge.begin()
        await one.request("GET", "a")
        await other.request("GET", "a")
        requests = gauge.read()["requests"]
        assert isinstance(requests, dict)
        assert requests["sent"] == 2, "since the stage began"
        assert requests["limit"] == one.limiter.limit + other.limiter.limit
