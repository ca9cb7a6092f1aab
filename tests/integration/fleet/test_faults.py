"""Workers, the scheduler and the controller are killed in the middle: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from rehome.catalog.catalog import Catalog
from rehome.errors import RefusedError, RehomeError
from rehome.fleet import dispatch
from rehome.fleet.connect import Dask, connected
from rehome.fleet.controller import Copying, _plugins
from rehome.fleet.dispatch import replace_plugin
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.state.outcomes import export_leftover_outcomes

from sandbox.s3_server import S3Server
from tests.cutting_proxy import CuttingProxy, Moment
from tests.integration.fleet.cluster import ROOT, FleetOfTest
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.controller import given, running_copy
from tests.integration.fleet.work import MEBIBYTE, fill, once_copied, outcomes_of, settings_of
from tests.integration.migration import Migration

SLOWLY = 100.0
"""Objects per second, so that there is a middle."""


def test_a_killed_worker_costs_nothing_and_everything_counts_as_if_it_had_lived(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """Its copies are copied. What was present before the plan is present, and nobody's copy."""
    fleet = start(2)
    large = 6 * MEBIBYTE
    fill(migration, 310, lambda number: b"x" * large if number == 299 else b"%d" % number)
    there = {f"avatar/avatar-{number:05}.png": b"%d" % number for number in range(300, 310)}
    for key, body in there.items():
        migration.target_s3.put_object(Bucket=migration.target, Key=key, Body=body)
    undisturbed = settings_of(migration, object_store, None, multipart_threshold=5 * MEBIBYTE)
    expected = migration.plan(undisturbed).objects, replace(migration.copy(undisturbed), movers={}, at_work=0)
    outcomes = outcomes_of(migration)
    for key in set(migration.target_keys()) - there.keys():
        migration.target_s3.delete_object(Bucket=migration.target, Key=key)
    settings = settings_of(
        migration, object_store, fleet, workers=2, objects_per_second=SLOWLY, multipart_threshold=5 * MEBIBYTE
    )
    planned = migration.plan(settings).objects

    def kill() -> None:
        for process in fleet.worker_processes():
            process.kill()
        # as a worker leaves it that dies in the middle of an upload
        migration.target_s3.create_multipart_upload(Bucket=migration.target, Key="avatar/avatar-00299.png")

    with once_copied(migration, 70, kill):
        counts = migration.copy(settings)
    assert (planned["present"], counts.copied, counts.present, counts.done) == (10, 300, 0, 300)
    assert (planned, replace(counts, movers={}, at_work=0)) == expected
    assert outcomes_of(migration) == outcomes
    assert "Uploads" not in migration.target_s3.list_multipart_uploads(Bucket=migration.target)
    assert migration.plan(settings).objects["present"] == 310


@pytest.mark.parametrize("what", ["nanny", "machine"])
def test_what_a_worker_had_is_copied_by_the_others_if_it_never_comes_back(
    start: Starter, object_store: S3Server, migration: Migration, what: str
) -> None:
    fleet = start(2)
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=SLOWLY)
    migration.plan(settings)
    lost = fleet.workers[0].pid

    def kill() -> None:
        # a worker ends with its nanny
        os.kill(lost, signal.SIGKILL) if what == "nanny" else os.killpg(lost, signal.SIGKILL)

    with once_copied(migration, 60, kill):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (300, 0, 300)
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 300
    assert migration.plan(settings).objects["present"] == 300
    assert len(fleet.worker_processes()) == 1


@pytest.mark.parametrize("what", ["worker", "machine"])
def test_a_worker_that_dies_in_the_moment_in_which_a_run_begins_costs_nothing(
    start: Starter, object_store: S3Server, migration: Migration, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = start(2)
    fill(migration, 80)
    settings = settings_of(migration, object_store, fleet, workers=2)
    migration.plan(settings)
    begin = Copying.begin

    async def begin_and_kill(self: Copying, client: Dask) -> str:
        name = await begin(self, client)
        if what == "worker":
            fleet.worker_processes()[0].kill()
        else:
            os.killpg(fleet.workers[0].pid, signal.SIGKILL)
        return name

    monkeypatch.setattr(Copying, "begin", begin_and_kill)
    assert migration.copy(settings).copied == 80


@pytest.mark.parametrize("options", [(), ("--no-nanny",)], ids=["ended-by-its-nanny", "wakes"])
def test_a_frozen_worker_is_given_up_and_does_no_harm_when_it_wakes(
    start: Starter, object_store: S3Server, migration: Migration, options: tuple[str, ...]
) -> None:
    fleet = start(1, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
    fleet.start_worker(*options)
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=SLOWLY)
    migration.plan(settings)
    frozen = list[psutil.Process]()

    def freeze() -> None:
        frozen.append(psutil.Process(fleet.workers[1].pid) if options else fleet.worker_processes()[1])
        frozen[0].suspend()

    def wake() -> None:
        with suppress(psutil.NoSuchProcess):
            frozen[0].resume()

    with once_copied(migration, 40, freeze), once_copied(migration, 300, wake):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (400, 0, 400)
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 400
    assert migration.plan(settings).objects["present"] == 400


class Narrow(CuttingProxy):
    """A line that takes so many bytes per second of each connection's requests."""

    BYTES_PER_S = 4 * MEBIBYTE

    def taken(self, piece: bytes) -> Moment | None:
        time.sleep(len(piece) / self.BYTES_PER_S)
        return None


def test_two_workers_upload_one_object_in_parts_at_once_after_one_of_them_has_woken(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(0, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
    first = psutil.Process(fleet.start_worker("--no-nanny").pid)
    body = b"x" * 24 * MEBIBYTE
    fill(migration, 1, lambda _: body)
    settings = settings_of(migration, object_store, fleet, copy_method="stream", multipart_threshold=5 * MEBIBYTE)
    most = 0

    def once_open(uploads: int, do: Callable[[], object]) -> None:
        nonlocal most
        deadline = time.monotonic() + 60
        while len(_uploads(migration)) < uploads:
            assert time.monotonic() < deadline, f"there are never {uploads} uploads"
            time.sleep(0.05)
        most = uploads
        do()

    def disturb() -> None:
        once_open(1, first.suspend)
        fleet.start_worker()
        once_open(2, first.resume)

    port = int(object_store.endpoint_url.rpartition(":")[2])
    with Narrow(port) as line, ThreadPoolExecutor(1) as thread:
        target = replace(settings.target, endpoint_url=f"http://127.0.0.1:{line.port}")
        settings = replace(settings, target=target)
        migration.plan(settings)
        disturbed = thread.submit(disturb)
        counts = migration.copy(settings)
        disturbed.result(60)
        deadline = time.monotonic() + 60
        while _uploads(migration):
            assert time.monotonic() < deadline, "an upload stays open"
            time.sleep(0.1)
    assert most == 2
    assert (counts.copied, counts.present, counts.done) == (1, 0, 1)
    assert migration.content("avatar/avatar-00000.png") == body
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"]


def _uploads(migration: Migration) -> Sequence[object]:
    return migration.target_s3.list_multipart_uploads(Bucket=migration.target).get("Uploads", [])


def test_a_shard_whose_workers_die_again_and_again_ends_the_run(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """It dies for the fourth time, on a worker that its nanny has started again after each death."""
    fleet = start(1)
    fill(migration, 80)
    settings = settings_of(migration, object_store, fleet, objects_per_second=8.0)
    migration.plan(settings)
    killed = set[int]()
    is_over = threading.Event()

    def kill_each() -> None:
        while not is_over.is_set():
            there = len(migration.target_keys())
            while len(migration.target_keys()) == there and not is_over.wait(0.05):
                pass
            for process in fleet.worker_processes():
                process.kill()
                killed.add(process.pid)

    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(RehomeError, match=r"one shard of 40 objects died .* the last at tls://127.0.0.1:\d+.*RH-765"),
    ):
        killing = thread.submit(kill_each)
        try:
            migration.copy(settings)
        finally:
            is_over.set()
            killing.result()
    assert len(killed) >= 4
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known
    settings = settings_of(migration, object_store, fleet)
    left = migration.plan(settings).objects["to_copy"]
    assert migration.copy(settings).copied == left > 0
    assert migration.plan(settings).objects["present"] == 80


def test_a_run_whose_workers_are_all_gone_ends_after_the_wait(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(1)
    fill(migration, 200)
    settings = settings_of(migration, object_store, fleet, wait_s=3.0, objects_per_second=SLOWLY)
    migration.plan(settings)
    run, shown, ended = migration.run_with(settings), list[int | None](), threading.Event()

    def kill() -> None:
        os.killpg(fleet.workers[0].pid, signal.SIGKILL)
        while not ended.is_set():
            state: Any = run.progress.snapshot()
            shown.append(state["counts"].get("movers"))
            time.sleep(0.05)

    told = r"for 3 s \(rehome_cluster.wait_s\) it has had no worker.*make cluster-up.*RH-765"
    with (
        once_copied(migration, 60, kill),
        pytest.raises(RehomeError, match=told),
    ):
        try:
            copy_planned(run, CopyCounts())
        finally:
            ended.set()
    assert set(shown) >= {1, 0}
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known


def test_a_worker_that_joins_in_the_middle_takes_its_share(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(1)
    fill(migration, 800)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    with once_copied(migration, 20, fleet.start_worker):
        counts = migration.copy(settings)
    assert counts.copied == 800
    assert set(counts.movers) == {"mover-0", "mover-1"}


def test_a_worker_that_joins_with_another_engine_once_all_others_are_gone_ends_the_run(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    fleet = start(1)
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    other = _other_engine(tmp_path)

    def replace() -> None:
        os.killpg(fleet.workers[0].pid, signal.SIGKILL)
        fleet.start_worker(PYTHONPATH=str(other))

    with once_copied(migration, 40, replace), pytest.raises(RefusedError, match=r"this worker has Rehome .*RH-763"):
        migration.copy(settings)


def test_what_is_under_way_when_a_worker_joins_with_another_engine_is_reported(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    fleet = start(1)
    fill(migration, 800)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    other = _other_engine(tmp_path)
    with (
        once_copied(migration, 20, lambda: fleet.start_worker(PYTHONPATH=str(other))),
        pytest.raises(RefusedError, match=r"this worker has Rehome .*RH-763"),
    ):
        migration.copy(settings)
    copied = {suffix for suffix, result, _, _ in outcomes_of(migration) if result == "copied"}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} == copied
    assert 20 <= len(copied) < 800


def _other_engine(folder: Path) -> Path:
    """A copy of the engine that is not the same, byte for byte."""
    other = folder / "other"
    shutil.copytree(ROOT / "module_utils", other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "rehome" / "version.py").open("a") as file:
        file.write("# another\n")
    return other


def test_a_killed_scheduler_ends_the_run_and_the_next_one_goes_on(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(1)
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    assert fleet.scheduler is not None
    with (
        once_copied(migration, 100, fleet.scheduler.kill),
        pytest.raises(RehomeError, match=rf"{fleet.address}.*is lost.*make cluster-up.*goes on from here.*RH-765"),
    ):
        migration.copy(settings)
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    fleet.stop()  # its workers have copied on meanwhile
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known
    again = start(1)
    settings = settings_of(migration, object_store, again)
    left = migration.plan(settings).objects["to_copy"]
    assert 0 < left < 300
    assert migration.copy(settings).copied == left
    assert migration.plan(settings).objects["present"] == 300


def test_a_frozen_scheduler_ends_the_run(
    start: Starter, object_store: S3Server, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open, so that nothing else tells."""
    monkeypatch.setattr("rehome.fleet.dispatch.SILENT_S", 6.0)
    fleet = start(1)
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    assert fleet.scheduler is not None
    scheduler = psutil.Process(fleet.scheduler.pid)
    deadline = time.monotonic() + 60
    run = migration.run_with(settings).until(lambda: time.monotonic() > deadline)
    told = r"the scheduler has answered nothing for 6 s.*make cluster-up.*goes on from here.*RH-765"
    with (
        once_copied(migration, 60, scheduler.suspend),
        pytest.raises(RehomeError, match=told),
    ):
        copy_planned(run, CopyCounts())
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    fleet.stop()  # its workers have copied on meanwhile
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known


def test_what_was_fetched_just_before_the_scheduler_died_is_recorded(
    start: Starter, object_store: S3Server, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when it is to say whose copy it was that a worker has found. All others are known."""
    fleet = start(1)
    fill(migration, 30)
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-00007.png", Body=b"7")
    scheduler = fleet.scheduler
    assert scheduler is not None

    def die_first() -> object:
        scheduler.kill()
        scheduler.wait()
        return runs_of()

    runs_of = dispatch._runs_of
    monkeypatch.setattr(dispatch, "_runs_of", die_first)
    with pytest.raises(RehomeError, match=r"is lost.*RH-765"):
        migration.copy(settings)
    results = {suffix: result for suffix, result, _, _ in outcomes_of(migration)}
    assert results == {f"avatar-{number:05}.png": "copied" for number in range(30)} | {"avatar-00007.png": "begun"}


def test_a_killed_controller_leaves_a_record_of_every_copy(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    fleet = start(1)
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    path = tmp_path / "1.duckdb"
    migration.close()
    settings_given = given(migration, object_store, fleet, objects_per_second=SLOWLY)
    with (
        running_copy(settings_given, path, object_store) as process,
        once_copied(migration, 100, lambda: os.killpg(process.pid, signal.SIGKILL)),
    ):
        assert process.wait() == -signal.SIGKILL
    export_leftover_outcomes(path, settings.state_dir)
    with Catalog.create(tmp_path / "read.duckdb", {}) as reader:
        files = str(tmp_path / "outcomes" / "*.parquet")
        known = {key for (key,) in reader.query(f"SELECT target_key FROM read_parquet('{files}')")}
    there = set(migration.target_keys())
    assert there <= known
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    counts = migration.copy(settings)
    # what the workers had left to do of the killed run's shards is there, or is not
    assert counts.done == counts.copied + counts.present
    assert migration.plan(settings).objects["present"] == 300


def test_a_controller_that_is_killed_leaves_the_workers_to_other_runs(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    """Also if its shards wait for the pace, each in the one thread that begins shards."""
    fleet = start(1)
    fill(migration, 200)
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    path = tmp_path / "1.duckdb"
    migration.close()
    # so few in flight that half of a shard is not taken
    settings_given = given(migration, object_store, fleet, objects_per_second=0.01, max_requests=8)
    with (
        running_copy(settings_given, path, object_store) as controller,
        once_copied(migration, 1, lambda: os.killpg(controller.pid, signal.SIGKILL)),
    ):
        controller.wait()
    other = settings_of(migration, object_store, fleet, name="other")
    left = migration.plan(other).objects["to_copy"]
    deadline = time.monotonic() + 60
    counts = CopyCounts()
    copy_planned(migration.run_with(other).until(lambda: time.monotonic() > deadline), counts)
    assert counts.done == left > 100


def test_a_run_that_follows_a_controller_of_which_nothing_is_heard_takes_no_report_of_its_shards(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    """Its connection is open, so that the scheduler keeps what it has asked for, and the workers copy it."""
    fleet = start(1)
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    path = tmp_path / "1.duckdb"
    migration.close()
    settings_given = given(migration, object_store, fleet, objects_per_second=SLOWLY)
    errors = tmp_path / "errors.txt"
    with errors.open("wb") as output, running_copy(settings_given, path, object_store, output) as process:
        with once_copied(migration, 60, lambda: os.killpg(process.pid, signal.SIGSTOP)):
            pass
        settings = settings_of(migration, object_store, fleet)
        migration.plan(settings)
        counts = migration.copy(settings)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.wait(60) == 1
    assert "another run of this migration has begun and has taken its place" in errors.read_text()
    there = {key.removeprefix("avatar/") for key in migration.target_keys()}
    told = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "present")}
    assert told <= there
    assert counts.done == counts.planned
    assert len(there) == 400


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_controller_whose_place_another_run_takes_says_so_whatever_dask_says(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, is_cut: bool
) -> None:
    """With no shard left to send; and if its connection is cut at the same time."""
    fill(migration, 80)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY / 4)
    migration.plan(settings)
    assert settings.cluster is not None

    async def take_over() -> None:
        async with connected(settings.cluster) as client:
            (plugin,) = await client.run_on_scheduler(_plugins(), prefix="rehome-test-")
            await replace_plugin(client, plugin)
            if is_cut:
                await client.run_on_scheduler(_cut_others_off(), ours=client.id)

    told = r"another run of this migration has begun and has taken its place.*RH-765"
    with once_copied(migration, 20, lambda: asyncio.run(take_over())), pytest.raises(RehomeError, match=told):
        migration.copy(settings)
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known


def test_a_controller_that_its_scheduler_has_let_go_says_so(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 80)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY / 4)
    migration.plan(settings)
    assert settings.cluster is not None

    async def let_go() -> None:
        async with connected(settings.cluster) as client:
            await client.run_on_scheduler(_cut_others_off(), ours=client.id)

    told = r"the scheduler has heard nothing of this machine for too long and has ended its run.*RH-765"
    with once_copied(migration, 20, lambda: asyncio.run(let_go())), pytest.raises(RehomeError, match=told):
        migration.copy(settings)


def _cut_others_off() -> Any:
    return lambda dask_scheduler, ours: [
        comm.abort() for client, comm in dask_scheduler.client_comms.items() if client != ours
    ]
