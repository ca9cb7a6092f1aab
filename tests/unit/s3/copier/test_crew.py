"""How many objects are streamed at once, against services that are modelled by the rate that they give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rehome.s3.copier.crew import Crew


class Model:
    """A service that is done with `rate(limit)` objects a second; its time is the crew's clock."""

    def __init__(self, maximum: int, rate: Callable[[int], float], start: int = 32) -> None:
        self.now = 0.0
        self.rate = rate
        self.crew = Crew(maximum, start, lambda: self.now)
        self.limits = [self.crew.limit]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1 / self.rate(self.crew.limit)
            self.crew.completed()
            if self.crew.limit != self.limits[-1]:
                self.limits.append(self.crew.limit)


def latency_bound(limit: int) -> float:
    """Each object takes 100 ms, however many are on their way."""
    return limit / 0.1


def test_more_work_at_once_on_a_link_with_latency() -> None:
    model = Model(256, latency_bound)
    model.run(10)
    assert model.limits == [32, 64, 128, 256]


def test_no_more_work_at_once_where_a_service_is_the_limit() -> None:
    model = Model(256, lambda _: 1_000.0)
    model.run(10)
    assert model.limits == [32, 64, 32]


def test_the_limit_is_where_more_at_once_stop_paying() -> None:
    model = Model(256, lambda limit: min(1_000.0, limit / 0.1))
    model.run(10)
    # 320 and 640 a second, and then the service's 1,000, which twice as many do not raise
    assert model.limits == [32, 64, 128, 256, 128]


def test_more_are_tried_again_later_as_the_link_may_be_another_one() -> None:
    model = Model(256, lambda _: 1_000.0)
    model.run(10)
    model.rate = latency_bound
    model.run(40)
    assert model.crew.limit == 256


def test_the_first_objects_say_nothing_as_they_wait_for_connections() -> None:
    done = 0

    def slow_start(_: int) -> float:
        nonlocal done
        done += 1
        return 100.0 if done < 96 else 1_000.0

    model = Model(256, slow_start)
    model.run(10)
    assert model.limits == [32, 64, 32]


def test_there_are_never_more_than_there_may_be() -> None:
    model = Model(100, latency_bound)
    model.run(10)
    assert model.limits == [32, 64, 100]
    assert Crew(8, 32).limit == 8


def test_a_worker_joins_once_there_are_so_many_and_leaves_at_the_end() -> None:
    async def run() -> None:
        model = Model(64, latency_bound)
        joined = asyncio.create_task(model.crew.joins(40))
        await asyncio.sleep(0)
        assert not joined.done()
        model.run(10)
        assert await joined

        model = Model(64, lambda _: 1_000.0)
        waiting = [asyncio.create_task(model.crew.joins(number)) for number in (31, 40, 63)]
        await asyncio.sleep(0)
        assert [one.done() for one in waiting] == [True, False, False]
        model.crew.end()
        assert await asyncio.gather(*waiting) == [True, False, False]

    asyncio.run(run())
