"""The pace, with a clock that a test moves."""

from __future__ import annotations

import asyncio

from rehome.s3.pacing import Pace, Retry

from tests.unit.s3.wire import Naps, on_uvloop


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


async def round_of_replies(pace: Pace) -> None:
    """Fill the limit, then let every request succeed."""
    entered = pace.limit
    for _ in range(entered):
        await pace.enter()
    for _ in range(entered):
        pace.succeeded()
        pace.leave()
        await pace.enter()
    for _ in range(pace.in_flight):
        pace.leave()


@on_uvloop
async def test_the_limit_doubles_until_the_maximum() -> None:
    pace = Pace(100, start=16)
    seen = []
    for _ in range(4):
        seen.append(pace.limit)
        await round_of_replies(pace)
    assert seen == [16, 32, 64, 100]


@on_uvloop
async def test_after_a_throttled_reply_the_limit_is_halved_and_grows_by_one_per_round() -> None:
    pace = Pace(100, start=64, clock=Clock())
    pace.throttled(await pace.enter())
    pace.leave()
    assert pace.limit == 32
    await round_of_replies(pace)
    await round_of_replies(pace)
    assert pace.limit in (33, 34)


@on_uvloop
async def test_a_storm_of_throttled_replies_cuts_once_per_round_trip() -> None:
    pace = Pace(100, start=64, clock=Clock())
    entered = [await pace.enter() for _ in range(64)]
    for moment in entered:
        pace.leave()
        pace.throttled(moment)
    assert pace.limit == 32
    pace.throttled(await pace.enter())
    assert pace.limit == 16


@on_uvloop
async def test_the_limit_never_falls_below_one() -> None:
    pace = Pace(100, start=4, clock=Clock())
    for _ in range(10):
        pace.throttled(await pace.enter())
        pace.leave()
    assert pace.limit == 1


@on_uvloop
async def test_a_limit_that_is_not_used_does_not_grow() -> None:
    pace = Pace(100, start=16)
    for _ in range(50):
        await pace.enter()
        pace.succeeded()
        pace.leave()
    assert pace.limit == 16


@on_uvloop
async def test_no_more_than_the_limit_enter_and_a_cancelled_one_gives_its_place_to_the_next() -> None:
    pace = Pace(2, start=2)
    inside = [await pace.enter(), await pace.enter()]
    waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    assert pace.in_flight == len(inside) == 2
    waiting[0].cancel()
    pace.leave()
    waiting[1].cancel()  # it has just been let in
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    await waiting[2]
    assert pace.in_flight == 2


@on_uvloop
async def test_waits_grow_twofold_to_the_cap_and_are_longer_after_throttling() -> None:
    naps = Naps()
    retry = Retry(transient_base=0.1, throttle_base=0.5, cap=2.0, sleep=naps, random=lambda: 1.0)
    for attempt in range(1, 6):
        await retry.wait(attempt, throttled=False)
    for attempt in range(1, 6):
        await retry.wait(attempt, throttled=True)
    assert naps.taken == [0.1, 0.2, 0.4, 0.8, 1.6, 0.5, 1.0, 2.0, 2.0, 2.0]


@on_uvloop
async def test_waits_are_spread_from_zero() -> None:
    naps = Naps()
    await Retry(sleep=naps, random=lambda: 0.0).wait(5, throttled=True)
    assert naps.taken == [0.0]
