"""The network between machines is cut in the middle: packets vanish, and nobody is told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rehome.errors import RehomeError
from rehome.fleet import connect

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import NetworkOfTest, network_of_fleet
from tests.integration.fleet.work import fill, once_copied, outcomes_of, settings_of
from tests.integration.migration import Migration

SLOWLY = 60.0
"""Objects per second, so that there is a middle."""
SILENCE = "11s"
"""After which a connection counts as cut: the least that dask can do with, in place of half a minute."""
TCP = "distributed.comm.timeouts.tcp"


@pytest.fixture
def net(object_store: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NetworkOfTest]:
    """A scheduler and two workers on machines of their own."""
    monkeypatch.setitem(connect.TIMEOUTS, TCP, SILENCE)
    monkeypatch.setattr(connect, "CONNECT_S", 3.0)
    with network_of_fleet(tmp_path, object_store, 2) as made:
        soon = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": SILENCE}
        made.keys |= soon
        made.start_scheduler(**soon)
        yield made


def test_a_worker_that_is_cut_off_for_long_is_given_up_and_may_come_back(
    net: NetworkOfTest, object_store: S3Server, migration: Migration
) -> None:
    """It reaches the store all the time, and copies what runs elsewhere, too."""
    net.start_worker()
    net.start_worker()
    fill(migration, 960)
    settings = settings_of(
        migration, object_store, net, workers=2, objects_per_second=40.0, endpoint_url=net.endpoint_url
    )
    migration.plan(settings)

    def cut() -> None:
        net.network.cut(net.ip(0), net.ip(1))

    def come_back() -> None:
        cut_off = net.workers[0]
        assert cut_off.wait(30) == 0, "a worker that has lost its scheduler ends"
        net.network.heal()
        net.start_worker(number=0)

    with once_copied(migration, 40, cut), once_copied(migration, 60, come_back):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (960, 0, 960)
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 960
    assert len(migration.target_keys()) == 960
    assert counts.at_work == 2
    assert migration.plan(settings).objects["present"] == 960


def test_cuts_that_heal_soon_cost_nothing(net: NetworkOfTest, object_store: S3Server, migration: Migration) -> None:
    """Between scheduler and worker, scheduler and controller, worker and store, one after the other."""
    net.start_worker()
    net.start_worker()
    fill(migration, 600)
    settings = settings_of(
        migration, object_store, net, workers=2, objects_per_second=SLOWLY, endpoint_url=net.endpoint_url
    )
    migration.plan(settings)

    def cut() -> None:
        for ends in (net.ip(0), net.ip(1)), (net.ip(0), net.ip_of_test), (net.ip(1), net.ip_of_test):
            with net.network.without(*ends):
                time.sleep(3)

    with once_copied(migration, 40, cut):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (600, 0, 600)
    assert counts.at_work == 2
    assert set(counts.movers) == {"mover-0", "mover-1"}
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 600


def test_a_controller_that_is_cut_off_ends_and_the_next_run_goes_on(
    net: NetworkOfTest, object_store: S3Server, migration: Migration
) -> None:
    net.start_worker()
    fill(migration, 300)
    settings = settings_of(migration, object_store, net, objects_per_second=SLOWLY, endpoint_url=net.endpoint_url)
    migration.plan(settings)
    told = rf"{net.address}\): the scheduler is lost .*the network to it is cut.* goes on from here.*RH-765"
    with (
        once_copied(migration, 100, lambda: net.network.cut(net.ip(0), net.ip_of_test)),
        pytest.raises(RehomeError, match=told),
    ):
        migration.copy(settings)
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known
    net.network.heal()
    left = migration.plan(settings).objects["to_copy"]
    counts = migration.copy(settings)
    # what the worker had left to do of the first run's shards is there, or is not
    assert counts.done == counts.copied + counts.present == left
    assert migration.plan(settings).objects["present"] == 300


IMPATIENT = """
from rehome.s3.client.circuit_breaker import CircuitBreaker
from rehome.s3.client.client import Client
from rehome.s3.copier import copy_object
CircuitBreaker.__init__.__defaults__ = (4.0, *CircuitBreaker.__init__.__defaults__[1:])
Client.__init__.__kwdefaults__["read_timeout"] = 4.0
copy_object.copy_timeout = lambda size: 4.0
"""
"""Lets a worker give up a store of which nothing is heard after seconds, in place of a minute."""


def test_a_worker_that_is_cut_off_from_the_store_ends_the_run_and_is_named(
    net: NetworkOfTest, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    preload = tmp_path / "impatient.py"
    preload.write_text(IMPATIENT)
    for _ in range(2):
        net.start_worker(DASK_DISTRIBUTED__WORKER__PRELOAD=str(preload))
    fill(migration, 200)
    settings = settings_of(
        migration, object_store, net, workers=2, objects_per_second=SLOWLY, endpoint_url=net.endpoint_url
    )
    migration.plan(settings)
    told = rf"the copy cannot go on.*{re.escape(net.endpoint_url)}: nothing has succeeded.*worker mover-0"
    with (
        once_copied(migration, 40, lambda: net.network.cut(net.ip(1), net.ip_of_test)),
        pytest.raises(RehomeError, match=told),
    ):
        migration.copy(settings)
    results = {suffix: result for suffix, result, _, _ in outcomes_of(migration)}
    assert set(results.values()) <= {"copied", "failed", "begun"}
    # a failure's may be there, too: its reply was lost. The next run knows it by its ETag
    known = {suffix for suffix, result in results.items() if result in ("copied", "failed", "begun")}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known
    net.network.heal()
    left = migration.plan(settings).objects["to_copy"]
    assert migration.copy(settings).copied == left
    assert migration.plan(settings).objects["present"] == 200
