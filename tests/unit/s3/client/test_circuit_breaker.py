"""A dead endpoint ends the run within a minute, before one object after the other uses up its attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from rehome.s3.client.circuit_breaker import CircuitBreaker, DeadEndpointError
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import Retry
from rehome.s3.errors import S3Error, S3StopError

from tests.unit.s3.leaping import now, run_leaping
from tests.unit.s3.wire import client_of, endpoint, error, on_uvloop, reply

Failure = Callable[[CircuitBreaker], None]


def refused(breaker: CircuitBreaker) -> None:
    breaker.failed("EndpointUnreachable", "Connection refused", connected=False, throttled=False, first_failure=True)


def broken(breaker: CircuitBreaker) -> None:
    breaker.failed("InternalError", "We encountered an error", connected=True, throttled=False, first_failure=True)


def throttled(breaker: CircuitBreaker) -> None:
    breaker.failed("SlowDown", "Reduce your request rate", connected=True, throttled=True, first_failure=True)


async def hammer(
    breaker: CircuitBreaker, fail: Failure, workers: int = 16, until: float = 1e9
) -> tuple[float, int, str]:
    """Let workers try until the endpoint counts as dead. Returns seconds, attempts from 5 s on, and the message."""
    began, late, said = now(), 0, ""

    async def attempt() -> None:
        nonlocal late
        await asyncio.sleep(0.01)
        late += now() - began > 5
        if now() - began >= until:
            breaker.succeeded()
        else:
            fail(breaker)
            breaker.check()

    async def work() -> None:
        nonlocal said
        try:
            while now() - began < until:
                if breaker.broken:
                    async with breaker.turn():
                        await attempt()
                else:
                    await attempt()
                    await asyncio.sleep(0.1)
        except DeadEndpointError as dead:
            said = str(dead)

    await asyncio.gather(*[work() for _ in range(workers)])
    return now() - began, late, said


@pytest.mark.parametrize(("fail", "seconds"), [(refused, 45), (broken, 45), (throttled, 300)])
def test_an_endpoint_where_nothing_succeeds_is_dead_after_a_while(fail: Failure, seconds: float) -> None:
    took, late, said = run_leaping(hammer_on_loop(fail))
    assert seconds <= took <= seconds + 6
    assert late <= took / 2
    assert "nothing has succeeded for" in said
    assert {refused: "refused", broken: "InternalError", throttled: "SlowDown"}[fail] in said


async def hammer_on_loop(fail: Failure, **given: Any) -> tuple[float, int, str]:
    return await hammer(CircuitBreaker(clock=now), fail, **given)


@pytest.mark.parametrize("fail", [refused, broken])
def test_an_endpoint_that_comes_back_in_time_is_not_dead(fail: Failure) -> None:
    took, _, said = run_leaping(hammer_on_loop(fail, until=30.0))
    assert said == ""
    assert took <= 36


def test_while_it_is_broken_one_request_at_a_time_tries() -> None:
    async def scenario() -> int:
        breaker = CircuitBreaker(clock=now)
        for _ in range(5):
            refused(breaker)
        inside = most = 0

        async def probe() -> None:
            nonlocal inside, most
            async with breaker.turn():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(1)
                inside -= 1
                refused(breaker)

        await asyncio.gather(*[probe() for _ in range(5)])
        return most

    assert run_leaping(scenario()) == 1


def test_a_success_lets_all_go_on_at_once_and_interrupts_the_pause() -> None:
    async def scenario() -> float:
        breaker = CircuitBreaker(clock=now)
        for _ in range(5):
            refused(breaker)
        for _ in range(8):
            async with breaker.turn():
                refused(breaker)
        began = now()

        async def wait() -> None:
            async with breaker.turn():
                await asyncio.sleep(0.1)

        waiting = [asyncio.create_task(wait()) for _ in range(50)]
        await asyncio.sleep(0.01)
        breaker.succeeded()
        await asyncio.gather(*waiting)
        return now() - began

    assert run_leaping(scenario()) < 0.2


def test_one_bad_object_is_no_dead_endpoint() -> None:
    async def scenario() -> bool:
        breaker = CircuitBreaker(clock=now)
        for attempt in range(100):
            await asyncio.sleep(10)
            breaker.failed("InternalError", "m", connected=True, throttled=False, first_failure=attempt == 0)
            breaker.check()
        return breaker.broken

    assert run_leaping(scenario()) is False


@on_uvloop
async def test_a_cancelled_probe_leaves_the_turn_to_the_next() -> None:
    breaker = CircuitBreaker()
    for _ in range(5):
        refused(breaker)

    async def probe() -> None:
        async with breaker.turn():
            breaker.succeeded()

    first = asyncio.create_task(probe())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(probe(), 5)


async def _short(_: float) -> None:
    await asyncio.sleep(0.005)


@on_uvloop
async def test_a_dead_endpoint_stops_all_requests_with_its_name_and_what_was_seen() -> None:
    async with client_of(lambda request, writer: asyncio.sleep(0)) as (_, wire, _):
        port = wire.port
    retry = Retry(sleep=_short)
    breaker = CircuitBreaker(silent_for=0.2, sleep=_short)
    async with Client(endpoint(port), 16, retry=retry, breaker=breaker) as client:
        ends = await asyncio.gather(*[client.request("GET", f"k{n}") for n in range(40)], return_exceptions=True)
    assert {type(end) for end in ends} == {S3StopError}
    said = str(ends[0])
    assert f"http://127.0.0.1:{port}: nothing has succeeded for" in said
    assert "times EndpointUnreachable" in said
    assert {end.code for end in ends if isinstance(end, S3Error)} == {"EndpointDead"}


@on_uvloop
async def test_a_request_that_may_have_been_done_says_so_when_the_endpoint_dies() -> None:
    """Run a server that reads every request and then closes the connection."""

    async def hang_up(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    retry = Retry(sleep=_short, attempts=10_000)
    breaker = CircuitBreaker(silent_for=0.8, sleep=_short)
    async with client_of(hang_up) as (_, wire, _), Client(endpoint(wire.port), 8, retry=retry, breaker=breaker) as one:
        ends = await asyncio.gather(*[one.request("PUT", f"k{n}") for n in range(8)], return_exceptions=True)
    stopped = [end for end in ends if isinstance(end, S3StopError)]
    assert len(stopped) == 8
    assert all(end.repeated and end.attempts >= 1 and end.code == "EndpointDead" for end in stopped)


@on_uvloop
async def test_an_endpoint_that_comes_back_fails_nothing() -> None:
    loop = asyncio.get_running_loop()
    back_at = loop.time() + 3

    async def faulty(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200) if loop.time() > back_at else error(500, "InternalError"))

    async with client_of(faulty) as (_, wire, _), Client(endpoint(wire.port), 16) as client:
        replies = await asyncio.gather(*[client.request("GET", f"k{n}") for n in range(40)])
    assert {one.status for one in replies} == {200}
