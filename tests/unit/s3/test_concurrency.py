"""Coroutines that run at once, and what happens to the others if one fails."""

from __future__ import annotations

import asyncio

import pytest
from rehome.s3.concurrency import run_all, run_each
from rehome.s3.errors import S3RequestError, S3StopError


async def _value(value: object) -> object:
    await asyncio.sleep(0)
    return value


async def _fail(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


def test_results_come_in_the_order_of_the_coroutines() -> None:
    assert asyncio.run(run_all(_value(1), _value("two"))) == (1, "two")


def test_nothing_to_run_is_no_error() -> None:
    assert asyncio.run(run_all()) == ()
    assert asyncio.run(run_each(_value, [], 2)) == ()


def test_an_error_cancels_the_others_and_is_raised_after_they_have_ended() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("slow")

    with pytest.raises(ValueError, match="first"):
        asyncio.run(run_all(slow(), _fail(ValueError("first"))))
    assert ended == ["slow"]


def test_of_several_errors_the_one_that_stops_the_run_is_raised() -> None:
    errors = [S3RequestError(500, "InternalError", "", "a"), S3StopError(403, "InvalidAccessKeyId", "", "b")]
    with pytest.raises(S3StopError):
        asyncio.run(run_all(*(_fail(error) for error in errors)))


def test_a_cancellation_from_outside_ends_all() -> None:
    ended: list[int] = []

    async def wait(number: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    async def scenario() -> None:
        running = asyncio.create_task(run_all(*(wait(number) for number in range(3))))
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    assert sorted(ended) == [0, 1, 2]


def test_no_more_rows_are_in_flight_than_allowed_and_results_keep_their_order() -> None:
    in_flight = most = 0

    async def double(number: int) -> int:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.001 * (5 - number % 5))
        in_flight -= 1
        return 2 * number

    results = asyncio.run(run_each(double, [(number,) for number in range(20)], 3))
    assert results == tuple(range(0, 40, 2))
    assert most == 3
