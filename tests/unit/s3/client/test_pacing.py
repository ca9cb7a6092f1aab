"""The limiter, with a clock that a test moves."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from rehome.s3.client.pacing import ConcurrencyLimiter, RateLimiter, Retry

from tests.unit.s3.leaping import now, run_leaping
from tests.unit.s3.wire import Naps, on_uvloop


async def round_of_replies(limiter: ConcurrencyLimiter) -> None:
    """Fill the limit, then let every request succeed."""
    entered = limiter.limit
    for _ in range(entered):
        await limiter.acquire()
    for _ in range(entered):
        limiter.succeeded(0.0)
        limiter.release()
        await limiter.acquire()
    for _ in range(limiter.in_flight):
        limiter.release()


@on_uvloop
async def test_the_limit_doubles_until_the_maximum() -> None:
    limiter = ConcurrencyLimiter(100, start=16)
    seen = []
    for _ in range(4):
        seen.append(limiter.limit)
        await round_of_replies(limiter)
    assert seen == [16, 32, 64, 100]


@on_uvloop
async def test_one_throttled_reply_among_many_changes_nothing() -> None:
    limiter = ConcurrencyLimiter(64, start=64)
    limiter.throttled(await limiter.acquire())
    limiter.release()
    for _ in range(5):
        await round_of_replies(limiter)
    assert limiter.limit == 64


@on_uvloop
async def test_a_storm_of_throttled_replies_cuts_the_limit_by_degrees_to_one() -> None:
    limiter = ConcurrencyLimiter(64, start=64)
    seen = [limiter.limit]
    for _ in range(10_000):
        limiter.throttled(await limiter.acquire())
        limiter.release()
        if limiter.limit != seen[-1]:
            seen.append(limiter.limit)
    assert seen[-1] == 1
    assert all(after >= before // 2 for before, after in pairwise(seen) if after > 1)


@on_uvloop
async def test_a_limit_that_is_not_used_does_not_grow() -> None:
    limiter = ConcurrencyLimiter(100, start=16)
    for _ in range(50):
        await limiter.acquire()
        limiter.succeeded(0.0)
        limiter.release()
    assert limiter.limit == 16


@on_uvloop
async def test_no_more_than_the_limit_enter_and_a_cancelled_one_gives_its_place_to_the_next() -> None:
    limiter = ConcurrencyLimiter(2, start=2)
    inside = [await limiter.acquire(), await limiter.acquire()]
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    assert limiter.in_flight == len(inside) == 2
    waiting[0].cancel()
    limiter.release()
    waiting[1].cancel()  # it has just been let in
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    await waiting[2]
    assert limiter.in_flight == 2


@on_uvloop
async def test_waits_grow_twofold_to_the_cap_and_are_longer_after_throttling() -> None:
    naps = Naps()
    retry = Retry(transient_base=0.1, throttle_base=0.5, cap=2.0, sleep=naps, random=lambda: 1.0)
    for attempt in range(1, 6):
        assert await retry.wait(attempt, throttled=False) == naps.taken[-1]
    for attempt in range(1, 6):
        await retry.wait(attempt, throttled=True)
    assert naps.taken == [0.1, 0.2, 0.4, 0.8, 1.6, 0.5, 1.0, 2.0, 2.0, 2.0]


@on_uvloop
async def test_waits_are_spread_from_zero() -> None:
    naps = Naps()
    await Retry(sleep=naps, random=lambda: 0.0).wait(5, throttled=True)
    assert naps.taken == [0.0]


@pytest.mark.parametrize("per_second", [0.5, 100, 3000])
def test_a_rate_lets_so_many_through_and_never_a_burst(per_second: float) -> None:
    async def scenario() -> list[float]:
        rate = RateLimiter(per_second, clock=now, sleep=asyncio.sleep)
        passed = []

        async def work() -> None:
            for _ in range(20):
                await rate.wait()
                passed.append(now())

        await asyncio.gather(*[work() for _ in range(10)])
        await asyncio.sleep(100 / per_second)
        await asyncio.gather(*[work() for _ in range(10)])
        return passed

    passed = run_leaping(scenario())
    for some in (passed[:200], passed[200:]):
        assert 199 / per_second >= some[-1] - some[0] >= 199 / per_second - 0.03


@on_uvloop
async def test_a_ceiling_of_none_holds_every_request_until_it_is_raised() -> None:
    limiter = ConcurrencyLimiter(64, start=64)
    limiter.set_ceiling(0)
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
    await asyncio.sleep(0)
    assert limiter.in_flight == 0
    limiter.set_ceiling(3)
    await asyncio.sleep(0)
    assert limiter.in_flight == 3
    limiter.set_ceiling(64)
    await asyncio.gather(*waiting)
    assert limiter.in_flight == 5


@on_uvloop
async def test_a_lower_ceiling_lets_those_in_flight_finish_and_no_more_begin() -> None:
    limiter = ConcurrencyLimiter(8, start=8)
    for _ in range(8):
        await limiter.acquire()
    limiter.set_ceiling(2)
    late = asyncio.create_task(limiter.acquire())
    for left in range(7, 1, -1):
        limiter.release()
        await asyncio.sleep(0)
        assert limiter.in_flight == left
    assert not late.done()
    limiter.release()
    await late
    assert limiter.in_flight == 2


def test_those_that_wait_follow_a_new_rate() -> None:
    """At one in a hundred seconds the last of ten would begin after a quarter of an hour."""

    async def started() -> list[float]:
        limiter = RateLimiter(0.01, clock=now)
        begun: list[float] = []

        async def one() -> None:
            await limiter.wait()
            begun.append(now())

        waiting = [asyncio.create_task(one()) for _ in range(10)]
        await asyncio.sleep(5)
        limiter.retune(10)
        await asyncio.gather(*waiting)
        return begun

    begun = run_leaping(started())
    assert len(begun) == 10
    assert begun[-1] - begun[0] < 10
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(begun[1:]))


def test_a_lower_rate_holds_those_that_wait_as_well() -> None:
    async def took() -> float:
        limiter = RateLimiter(10, clock=now)
        waiting = [asyncio.create_task(limiter.wait()) for _ in range(20)]
        await asyncio.sleep(0.5)
        limiter.retune(1)
        began = now()
        await asyncio.gather(*waiting)
        return now() - began

    assert 12 < run_leaping(took()) < 16


def test_a_rate_comes_and_goes() -> None:
    async def took(*rates: float | None) -> list[float]:
        limiter, seconds = RateLimiter(None, clock=now), []
        for rate in rates:
            limiter.retune(rate)
            began = now()
            for _ in range(11):
                await limiter.wait()
            seconds.append(now() - began)
        return seconds

    free, ten, free_again, one = run_leaping(took(None, 10, None, 1))
    assert free == free_again == 0
    assert ten == pytest.approx(1, abs=0.2)
    assert one == pytest.approx(10, abs=1.1)
