"""The network between machines is cut in the middle: packets vanish, and nobody is told."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rehome.errors import RehomeError
from rehome.fleet import connect, dispatch

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import NetworkOfTest, network_of_fleet
from tests.integration.fleet.work import fill, once_copied, outcomes_of, settings_of
from tests.integration.migration import Migration

SLOWLY = 60.0
"""Objects per second, so that there is a middle."""
SILENCE = "11s"
"""After which a connection counts as cut: the least that dask can do with, in place of half a minute."""
TCP = "distributed.comm.timeouts.tcp"


class Sent:
    """The copies that workers have asked the store for: when, by their signatures, and from which address.

    The store and what is before it may halt for a moment, and then do much at once. The signature has the second in
    which a request was sent.
    """

    def __init__(self) -> None:
        self.copies = Counter[tuple[str, int]]()

    def see(self, ip: str, head: bytes) -> None:
        """Count a request."""
        date = re.search(rb"x-amz-date: ?(\w+)Z", head, re.IGNORECASE)
        if date and b"x-amz-copy-source" in head.lower():
            at = datetime.strptime(date[1].decode(), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            self.copies[ip, int(at.timestamp())] += 1

    def by_second(self, *ips: str) -> list[int]:
        """Return the copies of each second, of these workers together."""
        seconds = [second for _, second in self.copies]
        return [sum(self.copies[ip, second] for ip in ips) for second in range(min(seconds), max(seconds) + 1)]


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def net(object_store: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: Sent) -> Iterator[NetworkOfTest]:
    """A scheduler and two workers on machines of their own."""
    monkeypatch.setitem(connect.TIMEOUTS, TCP, SILENCE)
    monkeypatch.setattr(connect, "CONNECT_S", 3.0)
    with network_of_fleet(tmp_path, object_store, 2, sent.see) as made:
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


def test_all_workers_together_never_exceed_the_rate_while_one_is_cut_off_and_copies_on(
    net: NetworkOfTest, object_store: S3Server, migration: Migration, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the scheduler notices, nor after, nor once the other has the whole rate."""
    # as much shorter as connections count as cut sooner, and a bit more
    monkeypatch.setattr(dispatch, "GONE_S", 20.0)
    # it has more to copy than it has time for
    monkeypatch.setattr("rehome.fleet.shards.SHARD_OBJECTS", 1000)
    rate = 40.0
    net.start_worker()
    net.start_worker()
    fill(migration, 1600)
    settings = settings_of(
        migration, object_store, net, workers=2, objects_per_second=rate, endpoint_url=net.endpoint_url
    )
    migration.plan(settings)
    moment = list[float]()

    def cut() -> None:
        net.network.cut(net.ip(0), net.ip(1))
        moment.append(time.time())

    with once_copied(migration, 80, cut):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (1600, 0, 1600)
    cut_off, other = net.ip(1), net.ip(2)
    late = [second for ip, second in sent.copies if ip == cut_off and second > moment[0] + 1]
    assert len(late) > 3, "the worker that is cut off copies on"
    both = sent.by_second(cut_off, other)
    for end in range(3, len(both) + 1):
        # a machine that halts for a moment makes up for it in the next second or two
        ending_here = [sum(both[end - length : end]) / length for length in (1, 2, 3)]
        assert min(ending_here) <= 1.1 * rate, both
    assert max(sent.by_second(other)) > 0.75 * rate, "the other has the whole rate in the end"


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
