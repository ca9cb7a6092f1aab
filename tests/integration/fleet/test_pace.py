"""One rate for all workers, a pause that reaches them, and a stop."""

from __future__ import annotations

import time
from typing import Any

from rehome.control.controls import Door
from rehome.control.orders import Order
from rehome.stages.copy_objects import CopyCounts, copy_planned

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import FleetOfTest
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import fill, once_copied, outcomes_of, settings_of
from tests.integration.migration import Migration

RATE = 100.0
SHARD = 40
"""Objects of a shard, by the fixture."""
DOOR = Door("a file", "resume it")


def test_the_rate_is_that_of_the_whole_run(fleet: FleetOfTest, object_store: S3Server, migration: Migration) -> None:
    fill(migration, 600)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=RATE)
    migration.plan(settings)
    counts = migration.copy(settings)
    assert counts.copied == 600
    assert len(counts.movers) == 2
    stored = migration.target_s3.list_objects_v2(Bucket=migration.target)["Contents"]
    # Of all seconds together: a store that halts for a moment dates later what it was sent before.
    seconds = sorted(item["LastModified"].replace(microsecond=0) for item in stored)
    took_s = (seconds[-1] - seconds[0]).total_seconds() + 1
    assert 600 / took_s <= 1.1 * RATE


def test_a_worker_that_comes_in_the_middle_is_held_to_the_rate_from_its_first_object_on(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """What a lost worker had is waiting for it when it comes, before it is told its share."""
    fleet = start(1)
    rate = 10.0
    fill(migration, 100)
    settings = settings_of(migration, object_store, fleet, objects_per_second=rate)
    migration.plan(settings)
    with once_copied(migration, 10, lambda: [process.kill() for process in fleet.worker_processes()]):
        assert migration.copy(settings).copied == 100
    stored = migration.target_s3.list_objects_v2(Bucket=migration.target)["Contents"]
    seconds = sorted(item["LastModified"].replace(microsecond=0) for item in stored)
    took_s = (seconds[-1] - seconds[0]).total_seconds() + 1
    assert 100 / took_s <= 1.1 * rate


def test_progress_grows_by_all_of_a_shard_when_it_has_come(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=RATE)
    migration.plan(settings)
    run, counts = migration.run_with(settings), CopyCounts()
    shown = set[int]()

    def watch() -> None:
        while counts.done < 300:
            state: Any = run.progress.snapshot()
            shown.add(state["done"] if state["stage"] == "copy" else 0)
            time.sleep(0.05)

    with once_copied(migration, 10, watch):
        copy_planned(run, counts)
    assert len(shown) > 2
    assert {done % SHARD for done in shown} == {0}


def test_a_pause_reaches_all_workers_and_they_go_on(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=RATE)
    migration.plan(settings)
    run = migration.run_with(settings)
    seen = list[int]()

    def pause() -> None:
        run.controls.hear(DOOR, Order(paused=True))
        # until all have heard of it, and what was in flight has ended
        time.sleep(2)
        for _ in range(2):
            seen.append(len(migration.target_keys()))
            time.sleep(1)
        run.controls.hear(DOOR, Order(limits={"objects_per_second": 1000.0}))

    counts = CopyCounts()
    with once_copied(migration, 40, pause):
        copy_planned(run, counts)
    assert seen[0] == seen[1] < 400
    assert counts.copied == 400


def test_a_stop_ends_the_wait_for_workers(start: Starter, object_store: S3Server, migration: Migration) -> None:
    fleet = start(0)
    fill(migration, 10)
    settings = settings_of(migration, object_store, fleet, wait_s=3600.0)
    migration.plan(settings)
    began = time.monotonic()
    run = migration.run_with(settings).until(lambda: time.monotonic() > began + 2)
    counts = CopyCounts()
    copy_planned(run, counts)
    assert counts.done == 0
    assert migration.target_keys() == []


def test_a_stop_ends_the_workers_and_every_copy_is_recorded(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 400)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=RATE)
    migration.plan(settings)
    stops = list[bool]()
    run = migration.run_with(settings).until(lambda: bool(stops))
    counts = CopyCounts()
    with once_copied(migration, 40, lambda: stops.append(True)):
        copy_planned(run, counts)
    there = {key.removeprefix("avatar/") for key in migration.target_keys()}
    assert 40 <= len(there) < 400
    assert {suffix for suffix, result, _, _ in outcomes_of(migration) if result == "copied"} == there
    assert counts.copied == len(there)
    time.sleep(0.5)
    assert {key.removeprefix("avatar/") for key in migration.target_keys()} == there
