"""After every fault of a run, a rollback undoes what the run did, and nothing else: with a cluster as without."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.settings import Settings
from rehome.errors import RehomeError
from rehome.fleet import connect
from rehome.run import Run
from rehome.s3.client.circuit_breaker import CircuitBreaker
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.stages.rollback_rows import inspect_rows, plan_rollback
from rehome.state.outcomes import export_leftover_outcomes

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.cutting_proxy import CuttingProxy, Moment
from tests.integration.fleet.cluster import FleetOfTest, keys_of, network_of_fleet
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.controller import given, running_copy
from tests.integration.fleet.disk import fill_up, small_disk
from tests.integration.fleet.work import fill, once_copied, settings_of
from tests.integration.removal import Removal

OBJECTS = 120
NAMED = tuple(f"avatar-8000{number}.png" for number in range(5))
"""Those that are moved, with their rows, before the run with the fault."""
SLOWLY = 100.0
"""Objects per second, so that there is a middle."""
MIDDLE, LATE = 45, 118
"""Objects in the target, in the middle, and once the others do again what a frozen worker had."""
SILENCE = "11s"
"""After which a connection counts as cut: the least that dask can do with."""


@dataclass
class Case:
    """A migration of which a first part is done, and a run that a fault is to disturb.

    start: starts a fleet
    folder: the state folder
    """

    migration: Removal
    store: S3Server
    start: Starter
    folder: Path
    patch: pytest.MonkeyPatch

    def plan(self, fleet: FleetOfTest | None, **more: Any) -> Settings:
        """Plan what the fault is to disturb."""
        settings = settings_of(self.migration, self.store, fleet, objects_per_second=SLOWLY, **more)
        self.migration.plan(settings)
        return settings

    def copy(self, settings: Settings, do: Callable[[], object]) -> None:
        """Copy what is planned, and do something in the middle."""
        with once_copied(self.migration, MIDDLE, do):
            self.migration.copy(settings)

    def copy_elsewhere(self, fleet: FleetOfTest | None, do: Callable[[subprocess.Popen[bytes]], object]) -> int:
        """Plan and copy in a process of its own, do something to it in the middle, and return how it has ended."""
        self.plan(fleet)
        ((path,),) = self.migration.catalog.query("SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")
        self.migration.close()
        settings = given(self.migration, self.store, fleet, objects_per_second=SLOWLY)
        with (
            running_copy(settings, Path(path), self.store) as process,
            once_copied(self.migration, MIDDLE, lambda: do(process)),
        ):
            code = process.wait()
        if fleet is not None:
            fleet.stop()
        # as the next run begins
        export_leftover_outcomes(Path(path), self.folder)
        return code


Fault = Callable[[Case], None]


def worker_killed(case: Case) -> None:
    fleet = case.start(2)
    settings = case.plan(fleet, workers=2)
    case.copy(settings, lambda: [process.kill() for process in fleet.worker_processes()])


def machine_killed(case: Case) -> None:
    fleet = case.start(2)
    settings = case.plan(fleet, workers=2)
    case.copy(settings, lambda: os.killpg(fleet.workers[0].pid, signal.SIGKILL))


def nanny_killed(case: Case) -> None:
    """Alone: its worker copies until it has noticed."""
    fleet = case.start(2)
    settings = case.plan(fleet, workers=2)
    case.copy(settings, lambda: os.kill(fleet.workers[0].pid, signal.SIGKILL))


def workers_disk_full(case: Case) -> None:
    """And the worker is killed, so that its nanny starts it there again."""
    fleet = case.start(1)
    with small_disk(case.folder / "disk") as disk:
        fleet.start_worker(folder=disk)
        settings = case.plan(fleet, workers=2)

        def fill_and_kill() -> None:
            fill_up(disk)
            fleet.worker_processes()[1].kill()

        case.copy(settings, fill_and_kill)
        fleet.stop()


def worker_frozen_that_wakes(case: Case) -> None:
    fleet = case.start(1, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
    frozen = psutil.Process(fleet.start_worker("--no-nanny").pid)
    settings = case.plan(fleet, workers=2)

    def wake() -> None:
        with suppress(psutil.NoSuchProcess):
            frozen.resume()

    with once_copied(case.migration, LATE, wake):
        case.copy(settings, frozen.suspend)


def scheduler_killed(case: Case) -> None:
    fleet = case.start(1)
    settings = case.plan(fleet)
    assert fleet.scheduler is not None
    with pytest.raises(RehomeError, match="RH-765"):
        case.copy(settings, fleet.scheduler.kill)
    fleet.stop()  # its workers have copied on meanwhile


def stopped(case: Case, fleet: FleetOfTest | None) -> None:
    settings = case.plan(fleet)
    asked = threading.Event()
    with once_copied(case.migration, MIDDLE, asked.set):
        copy_planned(case.migration.run_with(settings).until(asked.is_set), CopyCounts())


def stopped_on_a_cluster(case: Case) -> None:
    stopped(case, case.start(1))


def stopped_alone(case: Case) -> None:
    stopped(case, None)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def controller_killed(case: Case) -> None:
    assert case.copy_elsewhere(case.start(1), kill) == -signal.SIGKILL


def process_killed(case: Case) -> None:
    assert case.copy_elsewhere(None, kill) == -signal.SIGKILL


def fill_disk(process: subprocess.Popen[bytes]) -> None:
    # no file grows any more: the kernel says EFBIG in place of ENOSPC
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, 1))


def disk_full_on_a_cluster(case: Case) -> None:
    assert case.copy_elsewhere(case.start(1), fill_disk) > 0


def disk_full_alone(case: Case) -> None:
    assert case.copy_elsewhere(None, fill_disk) > 0


def network_cut(case: Case) -> None:
    """Between the controller and the cluster, which copies on."""
    case.patch.setitem(connect.TIMEOUTS, "distributed.comm.timeouts.tcp", SILENCE)
    case.patch.setattr(connect, "CONNECT_S", 3.0)
    with network_of_fleet(case.folder / "net", case.store, 1) as net:
        soon = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": SILENCE}
        net.keys |= soon
        net.start_scheduler(**soon)
        net.start_worker()
        settings = case.plan(net, endpoint_url=net.endpoint_url)
        with pytest.raises(RehomeError, match="RH-765"):
            case.copy(settings, lambda: net.network.cut(net.ip(0), net.ip_of_test))
        net.stop()


class Deaf(CuttingProxy):
    """Brings every request to the store, and from a moment on no reply back."""

    is_deaf = False

    def taken(self, piece: bytes) -> Moment | None:
        return "after" if self.is_deaf else None


def replies_lost(case: Case) -> None:
    """Every copy from a moment on is made, and nobody is told."""
    case.patch.setattr(CircuitBreaker.__init__, "__defaults__", (1.0, *CircuitBreaker.__init__.__defaults__[1:]))
    with Deaf(int(case.store.endpoint_url.rpartition(":")[2])) as line:
        settings = case.plan(None, endpoint_url=f"http://127.0.0.1:{line.port}")

        def deafen() -> None:
            line.is_deaf = True

        with pytest.raises(RehomeError, match="the copy cannot go on"):
            case.copy(settings, deafen)


FAULTS: tuple[Fault, ...] = (
    worker_killed,
    machine_killed,
    nanny_killed,
    workers_disk_full,
    worker_frozen_that_wakes,
    scheduler_killed,
    stopped_on_a_cluster,
    stopped_alone,
    controller_killed,
    process_killed,
    disk_full_on_a_cluster,
    disk_full_alone,
    network_cut,
    replies_lost,
)


@pytest.fixture
def case(
    object_store: S3Server,
    buckets: Buckets,
    sqlite: SQLite,
    start: Starter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Case]:
    for name, value in keys_of(object_store, "migrate").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("rehome.fleet.shards.SHARD_OBJECTS", 40)
    (tmp_path / "net").mkdir()
    made = Removal(object_store, buckets, sqlite, tmp_path)
    yield Case(made, object_store, start, tmp_path, monkeypatch)
    made.close()


def objects_of(migration: Removal) -> dict[str, tuple[object, object]]:
    found = migration.target_s3.list_objects_v2(Bucket=migration.target).get("Contents", [])
    return {item["Key"]: (item["ETag"], item["LastModified"]) for item in found}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_after_a_fault_a_rollback_undoes_what_the_run_did_and_nothing_else(case: Case, fault: Fault) -> None:
    migration = case.migration
    # there before: what the source has too, what it does not have, and what is not under the map
    migration.put("avatar-90000.png", b"the same")
    for key in ("avatar/avatar-90000.png", "avatar/avatar-90001.png", "other/avatar-1.png"):
        migration.target_s3.put_object(Bucket=migration.target, Key=key, Body=b"the same")
    before = objects_of(migration)
    migration.migrate(*NAMED)
    rows = [f"image/{name}" for name in ("avatar-90000.png", *NAMED)]
    fill(migration, OBJECTS)
    fault(case)
    made = objects_of(migration).keys() - before.keys()
    assert len(made) >= MIDDLE - len(before)

    # at once: what a rollback would do
    to_roll_back = case.folder / "rollback.duckdb"
    with Catalog.create(to_roll_back, {}) as catalog:
        run = Run(migration.settings(), catalog, migration.progress)
        inspect_rows(run, plan_rollback(run))
    found = migration.judge(migration.wanted(confirm=None), to_roll_back)
    assert {row["key"] for row in migration.listed("copies-to-remove")} == made
    assert found.kept["uncertain"] == 0
    # what may still come, as workers may outlive the run, is named
    untold = migration.catalog.query("SELECT suffix FROM untold WHERE etag IS NOT NULL")
    begun = {f"avatar/{suffix}" for (suffix,) in untold}
    expected = {row["key"] for row in migration.listed("copies-expected")} if found.expected else set[str]()
    assert expected == begun - made - before.keys()

    # after going on to the end
    settings = migration.settings()
    migration.plan(settings)
    migration.copy(settings)
    migration.rewrite(settings)
    assert migration.plan(settings).objects["present"] == OBJECTS + len(NAMED) + 1
    assert migration.roll_back().restored == len(rows)
    done = migration.remove()
    assert (done.deleted, done.kept["not_ours"], done.kept["uncertain"]) == (OBJECTS + len(NAMED), 2, 0)
    assert objects_of(migration) == before
    assert migration.paths() == rows
