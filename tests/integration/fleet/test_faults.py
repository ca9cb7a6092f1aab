"""Workers, the scheduler and the controller are killed in the middle: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from rehome.catalog.catalog import Catalog
from rehome.errors import RefusedError, RehomeError
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.state.outcomes import export_leftover_outcomes

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import ROOT, FleetOfTest, keys_of
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import MEBIBYTE, fill, once_copied, outcomes_of, settings_of
from tests.integration.migration import Migration

SLOWLY = 100.0
"""Objects per second, so that there is a middle."""


def test_a_killed_worker_costs_nothing_and_its_copies_count_as_copied(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(2)
    large = 6 * MEBIBYTE
    fill(migration, 300, lambda number: b"x" * large if number == 299 else b"%d" % number)
    undisturbed = settings_of(migration, object_store, None, multipart_threshold=5 * MEBIBYTE)
    migration.plan(undisturbed)
    migration.copy(undisturbed)
    expected = outcomes_of(migration)
    for key in migration.target_keys():
        migration.target_s3.delete_object(Bucket=migration.target, Key=key)
    settings = settings_of(
        migration, object_store, fleet, workers=2, objects_per_second=SLOWLY, multipart_threshold=5 * MEBIBYTE
    )
    migration.plan(settings)

    def kill() -> None:
        for process in fleet.worker_processes():
            process.kill()
        # as a worker leaves it that dies in the middle of an upload
        migration.target_s3.create_multipart_upload(Bucket=migration.target, Key="avatar/avatar-00299.png")

    with once_copied(migration, 60, kill):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (300, 0, 300)
    assert outcomes_of(migration) == expected
    assert "Uploads" not in migration.target_s3.list_multipart_uploads(Bucket=migration.target)
    assert migration.plan(settings).objects["present"] == 300


def test_a_frozen_worker_is_given_up_and_does_no_harm_when_it_wakes(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(2, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=SLOWLY)
    migration.plan(settings)
    frozen = list[psutil.Process]()

    def freeze() -> None:
        frozen.append(fleet.worker_processes()[0])
        frozen[0].suspend()

    def wake() -> None:
        with suppress(psutil.NoSuchProcess):
            frozen[0].resume()

    with once_copied(migration, 40, freeze), once_copied(migration, 300, wake):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (400, 0, 400)
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 400
    assert migration.plan(settings).objects["present"] == 400


def test_a_shard_whose_workers_die_again_and_again_ends_the_run(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    fill(migration, 200)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)

    def kill() -> None:
        for process in fleet.worker_processes():
            process.kill()

    with (
        once_copied(migration, 60, kill),
        pytest.raises(RehomeError, match=r"one shard of 40 objects died .* the last at tls://127.0.0.1:\d+.*RH-765"),
    ):
        migration.copy(settings)
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known


def test_a_run_whose_workers_are_all_gone_ends_after_the_wait(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fleet = start(1)
    fill(migration, 200)
    settings = settings_of(migration, object_store, fleet, wait_s=3.0, objects_per_second=SLOWLY)
    migration.plan(settings)
    with (
        once_copied(migration, 60, lambda: os.killpg(fleet.workers[0].pid, signal.SIGKILL)),
        pytest.raises(RehomeError, match=r"for 3 s \(rehome_cluster.wait_s\) it has had no worker.*RH-765"),
    ):
        migration.copy(settings)
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
    other = tmp_path / "other"
    shutil.copytree(ROOT / "module_utils", other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "rehome" / "version.py").open("a") as file:
        file.write("# another\n")

    def replace() -> None:
        os.killpg(fleet.workers[0].pid, signal.SIGKILL)
        fleet.start_worker(PYTHONPATH=str(other))

    with once_copied(migration, 40, replace), pytest.raises(RefusedError, match=r"this worker has Rehome .*RH-763"):
        migration.copy(settings)


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
        pytest.raises(RehomeError, match=rf"{fleet.address}.*is lost.*goes on from here.*RH-765"),
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
    with (
        once_copied(migration, 60, scheduler.suspend),
        pytest.raises(RehomeError, match=r"the scheduler has answered nothing for 6 s.*goes on from here.*RH-765"),
    ):
        copy_planned(run, CopyCounts())
    known = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "begun")}
    fleet.stop()  # its workers have copied on meanwhile
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} <= known


CONTROLLER = """
import json, sys
from pathlib import Path
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.progress import Progress
from rehome.run import Run
from rehome.stages import copy_on_cluster
from rehome.stages.copy_objects import CopyCounts, copy_planned
copy_on_cluster.SHARD_OBJECTS = 40
settings = read_settings(json.loads(sys.argv[1]))
with Catalog.open(Path(sys.argv[2])) as catalog:
    copy_planned(Run(settings, catalog, Progress(settings.state_dir)), CopyCounts())
"""


def test_a_killed_controller_leaves_a_record_of_every_copy(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    fleet = start(1)
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet, objects_per_second=SLOWLY)
    migration.plan(settings)
    path = tmp_path / "1.duckdb"
    migration.close()
    given = _given(migration, object_store, fleet)
    with (
        _controller(given, path, object_store) as controller,
        once_copied(migration, 100, lambda: os.killpg(controller.pid, signal.SIGKILL)),
    ):
        assert controller.wait() == -signal.SIGKILL
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


@contextmanager
def _controller(given: dict[str, object], catalog: Path, store: S3Server) -> Iterator[subprocess.Popen[bytes]]:
    """Run the copy of this catalog in a process group of its own, which is killed at the end."""
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, json.dumps(given), str(catalog)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "module_utils"), **keys_of(store, "migrate")},
        start_new_session=True,
    )
    try:
        yield controller
    finally:
        controller.kill()
        controller.wait()


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
    given = _given(migration, object_store, fleet) | {"objects_per_second": 0.01, "max_requests": 8}
    with (
        _controller(given, path, object_store) as controller,
        once_copied(migration, 1, lambda: os.killpg(controller.pid, signal.SIGKILL)),
    ):
        controller.wait()
    other = settings_of(migration, object_store, fleet, name="other")
    left = migration.plan(other).objects["to_copy"]
    deadline = time.monotonic() + 60
    counts = CopyCounts()
    copy_planned(migration.run_with(other).until(lambda: time.monotonic() > deadline), counts)
    assert counts.done == left > 100


def _given(migration: Migration, store: S3Server, fleet: FleetOfTest) -> dict[str, object]:
    given: dict[str, object] = {}
    taken = migration.settings

    def take(**changes: object) -> object:
        given.update(changes)
        return taken(**changes)

    migration.settings = take  # type: ignore[method-assign, assignment]
    settings = settings_of(migration, store, fleet, objects_per_second=SLOWLY)
    migration.settings = taken  # type: ignore[method-assign]
    return {
        "name": "test",
        "include": ["avatar-*.png"],
        "exclude": [],
        "database": {"engine": "sqlite", "path": settings.database.path},
        "references": [{"table": "avatars", "column": "path", "form": "key"}],
        "on_conflict": "fail",
        "on_dangling": "fail",
        "journal_schema": "rehome",
        "state_dir": str(settings.state_dir),
        **given,
    }


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
    given = _given(migration, object_store, fleet)
    with _controller(given, path, object_store) as controller:
        with once_copied(migration, 60, lambda: os.killpg(controller.pid, signal.SIGSTOP)):
            pass
        settings = settings_of(migration, object_store, fleet)
        migration.plan(settings)
        counts = migration.copy(settings)
    there = {key.removeprefix("avatar/") for key in migration.target_keys()}
    told = {suffix for suffix, result, _, _ in outcomes_of(migration) if result in ("copied", "present")}
    assert told <= there
    assert counts.done == counts.planned
    assert len(there) == 400
