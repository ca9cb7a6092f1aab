"""Who works for a run is told a pace, so that all of them together have no more than the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rehome.codes import Code
from rehome.config.cluster import Cluster
from rehome.errors import RefusedError
from rehome.fleet import dispatch
from rehome.fleet.dispatch import GONE_S, Dispatch, Throttle
from rehome.fleet.orders import Pace

RATE = 100.0


class Scheduler:
    """A scheduler with workers, a clock, and a crew of a run that looks at it.

    statuses: of the workers, by their addresses
    foreign: those with another engine
    told: what each was told last
    deaf_to: those whose reply is lost
    joining: those that have nothing to hold to a pace yet
    """

    def __init__(self, workers: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.statuses = dict.fromkeys(workers, "running")
        self.foreign = set[str]()
        self.told = dict[str, Pace]()
        self.deaf_to = set[str]()
        self.joining = set[str]()
        self.now = 1000.0
        self.scheduler = self
        monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(dispatch, "check_engines", self._check)
        cluster = Cluster("tls://10.0.0.5:8786", Path("ca"), Path("cert"), Path("key"), workers=2, wait_s=60)
        self.dispatch = Dispatch(cluster, Throttle(8, RATE), lambda _: None, stopping=lambda: False)
        self.crew = dispatch._Crew(self.dispatch, self, "plugin")

    async def look(self, seconds: float = 1.0) -> None:
        """Let time pass, and the crew look and tell what is new."""
        self.now += seconds
        await self.crew.look()
        if self.crew._telling is not None:
            await self.crew._telling

    @property
    def rates(self) -> dict[str, float | None]:
        """What each has of the rate."""
        return {worker: pace.per_second for worker, pace in self.told.items()}

    async def identity(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {worker: {"status": status} for worker, status in self.statuses.items()}}

    async def run(
        self, _function: object, _plugin: str, pace: tuple[Any, ...], *, workers: Sequence[str], on_error: str
    ) -> dict[str, bool]:
        (worker,) = workers
        if worker in self.joining:
            return {worker: False}
        self.told[worker] = Pace(*pace)
        if worker in self.deaf_to:
            raise OSError("the reply is lost")
        return {worker: True}

    async def _check(self, _cluster: Cluster, _client: object, workers: Sequence[str]) -> None:
        if self.foreign.intersection(workers):
            raise RefusedError.of(
                "rehome_cluster.address", None, "another engine", "Install the same", Code.CLUSTER_ENGINE
            )


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    return Scheduler(["a", "b"], monkeypatch)


@pytest.mark.parametrize("status", ["paused", "closing_gracefully"])
def test_a_worker_that_takes_no_shard_for_now_goes_on_at_its_share_of_the_rate(there: Scheduler, status: str) -> None:
    async def play() -> None:
        await there.look()
        assert there.rates == {"a": 50.0, "b": 50.0}
        there.statuses["b"] = status
        await there.look()
        assert there.rates == {"a": 50.0, "b": 50.0}
        there.dispatch.end("it is over")
        await there.look()
        assert [pace.stop for pace in there.told.values()] == [True, True]

    asyncio.run(play())


def test_a_worker_that_joins_and_takes_no_shard_has_no_share(there: Scheduler) -> None:
    async def play() -> None:
        there.statuses["b"] = "paused"
        await there.look()
        assert there.rates == {"a": 100.0}

    asyncio.run(play())


def test_the_share_of_a_worker_that_is_gone_is_kept_until_it_has_noticed_that_it_is_cut_off(there: Scheduler) -> None:
    async def play() -> None:
        await there.look()
        del there.statuses["b"]
        await there.look()
        await there.look(GONE_S - 2)
        assert there.rates["a"] == 50.0
        there.statuses["c"] = "running"
        await there.look(1.0)
        assert there.rates["a"] == there.rates["c"] == RATE / 3
        await there.look(1.5)
        assert (there.rates["a"], there.rates["c"]) == (50.0, 50.0)

    asyncio.run(play())


def test_the_share_of_a_worker_whose_reply_was_lost_is_kept_when_it_is_gone(there: Scheduler) -> None:
    async def play() -> None:
        there.deaf_to.add("b")
        await there.look()
        assert there.rates == {"a": 50.0, "b": 50.0}
        del there.statuses["b"]
        await there.look()
        await there.look(GONE_S - 2)
        assert there.rates["a"] == 50.0
        await there.look(3.0)
        assert there.rates["a"] == 100.0

    asyncio.run(play())


def test_nobody_joins_before_one_whose_reply_was_lost_has_confirmed_its_smaller_share(there: Scheduler) -> None:
    async def play() -> None:
        there.deaf_to.add("b")
        await there.look()
        there.statuses["c"] = "running"
        await there.look()
        assert "c" not in there.rates
        there.deaf_to.clear()
        await there.look()
        assert there.rates == dict.fromkeys("abc", RATE / 3)

    asyncio.run(play())


def test_a_worker_that_had_nothing_to_hold_to_a_pace_has_no_share_when_it_is_gone(there: Scheduler) -> None:
    async def play() -> None:
        there.joining.add("b")
        await there.look()
        del there.statuses["b"]
        await there.look()
        assert there.rates["a"] == 100.0

    asyncio.run(play())


def test_a_worker_that_was_gone_and_is_there_again_counts_once(there: Scheduler) -> None:
    async def play() -> None:
        await there.look()
        del there.statuses["b"]
        await there.look()
        there.statuses["b"] = "running"
        await there.look()
        assert there.rates == {"a": 50.0, "b": 50.0}

    asyncio.run(play())


def test_a_worker_with_another_engine_that_joins_ends_the_run_and_the_others_report(there: Scheduler) -> None:
    async def play() -> None:
        await there.look()
        there.statuses["c"] = "running"
        there.foreign.add("c")
        await there.look()
        await there.look()
        assert isinstance(there.dispatch.stop, RefusedError)
        assert {worker: pace.stop for worker, pace in there.told.items()} == {"a": True, "b": True}

    asyncio.run(play())
