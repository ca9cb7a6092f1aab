"""The limit that is found with servers with and without one, in leaping time: only ratios are asserted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from rehome.s3.client.pacing import ConcurrencyLimiter, Retry

from tests.unit.s3.leaping import now, run_leaping

LATENCY = 0.03
Server = Callable[[], Awaitable[bool]]
"""Handles one request. Returns False for a 503."""


def throttling_at_random(share: float, seed: int) -> Server:
    chance = random.Random(seed)

    async def serve() -> bool:
        await asyncio.sleep(LATENCY * chance.uniform(0.8, 1.2))
        return chance.random() >= share

    return serve


def limited_to_rate(per_second: float, seed: int, refusing_takes: float = LATENCY) -> Server:
    """A token bucket that holds a tenth of a second's worth."""
    chance = random.Random(seed)
    state = {"tokens": 0.0, "at": now()}

    async def serve() -> bool:
        state["tokens"] = min(per_second / 10, state["tokens"] + (now() - state["at"]) * per_second)
        state["at"] = now()
        admitted = state["tokens"] >= 1
        if admitted:
            state["tokens"] -= 1
        await asyncio.sleep((LATENCY if admitted else refusing_takes) * chance.uniform(0.8, 1.2))
        return admitted

    return serve


def limited_to_requests_at_once(most: int, seed: int) -> Server:
    chance = random.Random(seed)
    inside = [0]

    async def serve() -> bool:
        if inside[0] >= most:
            await asyncio.sleep(0.002)
            return False
        inside[0] += 1
        await asyncio.sleep(LATENCY * chance.uniform(0.8, 1.2))
        inside[0] -= 1
        return True

    return serve


@dataclass
class Run:
    limiter: ConcurrencyLimiter
    good: int = 0
    bad: int = 0
    failed: int = 0
    per_second: float = 0.0


async def go(server: Server, seconds: float, workers: int = 64, warm_up: float = 4.0) -> Run:
    """As many workers as connections, each retrying as the client does; counted after a warm-up."""
    chance = random.Random(7)
    run = Run(ConcurrencyLimiter(workers, clock=now))
    retry = Retry(random=chance.random)
    counts_from = now() + warm_up
    end = counts_from + seconds

    async def work() -> None:
        while now() < end:
            attempt, waited = 0, 0.0
            while True:
                attempt += 1
                entered_at = await run.limiter.acquire()
                good = await server()
                run.limiter.release()
                if good:
                    run.limiter.succeeded(entered_at)
                    run.good += now() >= counts_from
                    break
                run.limiter.throttled(entered_at)
                run.bad += now() >= counts_from
                waited += await retry.wait(attempt, throttled=True)
                if waited > retry.patience:
                    run.failed += 1
                    break

    await asyncio.gather(*[work() for _ in range(workers)])
    run.per_second = run.good / seconds
    return run


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("share", [0.03, 0.1, 0.25])
def test_a_server_that_throttles_at_random_is_not_slowed_down_for(share: float, seed: int) -> None:
    async def scenario() -> Run:
        return await go(throttling_at_random(share, seed), 10)

    run = run_leaping(scenario())
    possible = 64 / LATENCY * (1 - share)
    assert run.per_second >= (0.8 if share <= 0.1 else 0.65) * possible
    assert run.failed == 0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("refusing_takes", [LATENCY, 0.003])
@pytest.mark.parametrize("per_second", [100, 400, 1500])
def test_a_server_with_a_rate_is_used_to_its_limit_with_few_refusals(
    per_second: float, refusing_takes: float, seed: int
) -> None:
    async def scenario() -> Run:
        return await go(limited_to_rate(per_second, seed, refusing_takes), 10)

    run = run_leaping(scenario())
    assert run.per_second >= 0.8 * per_second
    assert run.bad <= (0.25 if refusing_takes == LATENCY else 1.5) * run.good
    assert run.failed == 0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("most", [4, 12, 40])
def test_a_server_that_takes_so_many_at_once_gets_about_as_many(most: int, seed: int) -> None:
    async def scenario() -> Run:
        return await go(limited_to_requests_at_once(most, seed), 10)

    run = run_leaping(scenario())
    assert run.per_second >= 0.8 * most / LATENCY
    assert run.bad <= run.good
    assert run.failed == 0


def test_a_storm_of_a_minute_fails_nothing_and_the_pace_recovers_from_it() -> None:
    async def scenario() -> tuple[Run, float]:
        storm = now() + 10, now() + 70
        calm = throttling_at_random(0.0, 1)
        during = [0]

        async def serve() -> bool:
            if storm[0] <= now() < storm[1]:
                during[0] += 1
                await asyncio.sleep(LATENCY)
                return False
            return await calm()

        run = await go(serve, 10, warm_up=90)
        return run, during[0] / 60

    run, asked_per_second = run_leaping(scenario())
    assert run.failed == 0
    assert run.per_second >= 0.8 * 64 / LATENCY
    assert asked_per_second <= 0.05 * 64 / LATENCY
