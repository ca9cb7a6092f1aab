"""Pauses in which replies gather."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from rehome.s3.copier.reply_batching import LONGEST_S, ReplyBatching


class Time:
    """A clock that moves only when set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def taught(time: Time, seconds: float) -> ReplyBatching:
    batching = ReplyBatching(time, time.pause)
    for _ in range(2_000):
        batching.record(seconds)
    return batching


async def _turns(batching: ReplyBatching, count: int, work: float = 0.0, time: Time | None = None) -> None:
    keeping = asyncio.create_task(batching.run())
    for _ in range(count):
        await asyncio.sleep(0)
        if time is not None:
            time.now += work
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


@pytest.mark.parametrize(("request_s", "pause_s"), [(0.016, 0.002), (0.04, 0.005), (10.0, LONGEST_S)])
def test_a_pause_is_a_small_part_of_what_a_request_takes(request_s: float, pause_s: float) -> None:
    time = Time()
    asyncio.run(_turns(taught(time, request_s), 10))
    assert time.pauses
    assert all(pause == pytest.approx(pause_s, rel=0.05) for pause in time.pauses)


def test_it_is_longer_if_requests_wait_in_the_servers_queue_and_leaves_half_of_the_queue() -> None:
    time = Time()
    batching = taught(time, 0.005)
    for _ in range(1_000):
        batching.record(0.06)
    assert batching.pause_s == pytest.approx((0.06 - 2 * 0.005) / 2, rel=0.1)


def test_a_server_that_becomes_slower_for_good_is_not_taken_for_one_with_a_queue() -> None:
    time = Time()
    batching = taught(time, 0.005)
    for _ in range(30_000):
        batching.record(0.06)
    assert batching.pause_s == pytest.approx(0.06 / 8, rel=0.05)


def test_a_few_huge_objects_do_not_lengthen_it() -> None:
    time = Time()
    batching = taught(time, 0.016)
    for number in range(1_000):
        batching.record(20.0 if number % 10 == 0 else 0.016)
    assert batching.pause_s == pytest.approx(0.002, rel=0.2)


@pytest.mark.parametrize("request_s", [0.0, 0.003])
def test_there_is_none_if_replies_come_at_once(request_s: float) -> None:
    time = Time()
    asyncio.run(_turns(taught(time, request_s), 10))
    assert time.pauses == []


def test_there_is_none_if_the_loop_is_busy_already() -> None:
    time = Time()
    asyncio.run(_turns(taught(time, 0.04), 10, work=0.006, time=time))
    assert time.pauses == []
