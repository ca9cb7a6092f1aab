"""Stages that are paused and retuned while they work: by the service, streamed, in parts, and back again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehome.control.controls import Controls, Door
from rehome.control.orders import Order
from rehome.run import Run
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.stages.failure_limit import CriticalFailuresError
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned
from rehome.stages.rollback_rows import plan_rollback, roll_back

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration

DOOR = Door("a test", "wait")
PATIENCE_S = 60
STILL_S = 1.0


@pytest.fixture
def migration(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Migration]:
    made = Migration(object_store, buckets, sqlite, tmp_path)
    yield made
    made.close()


class Held:
    """A stage that works in a thread of its own."""

    def __init__(self, run: Run, work: Callable[[Run], object]) -> None:
        self.controls = Controls()
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._run = replace(run, controls=self.controls, stopping=self.stop.is_set)
        self._work = work
        self._thread = threading.Thread(target=self._do)

    def _do(self) -> None:
        try:
            self._work(self._run)
        except BaseException as error:
            self.error = error

    def start(self) -> None:
        self._thread.start()

    def ask(self, **order: Any) -> None:
        self.controls.hear(DOOR, Order(**order))

    def ends(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


@contextmanager
def held(run: Run, work: Callable[[Run], object]) -> Iterator[Held]:
    made = Held(run, work)
    try:
        yield made
    finally:
        made.stop.set()
        made._thread.join(PATIENCE_S)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def assert_still(look: Callable[[], Any]) -> Any:
    """Assert that what is in flight ends, and that nothing is written then."""
    before = look()
    until = time.monotonic() + PATIENCE_S
    while True:
        time.sleep(0.3)
        now = look()
        if now == before:
            break
        assert time.monotonic() < until
        before = now
    time.sleep(STILL_S)
    assert look() == before
    return before


@pytest.mark.parametrize("method", ["server_side", "stream"])
def test_a_copy_is_paused_goes_on_and_is_complete(migration: Migration, method: str) -> None:
    settings = migration.settings(copy_method=method, objects_per_second=20)
    for number in range(100):
        migration.put(f"avatar-{number}.png")
    migration.plan(settings)
    counts = CopyCounts()
    with held(migration.run_with(settings), lambda run: copy_planned(run, counts)) as stage:
        stage.start()
        wait_until(lambda: len(migration.target_keys()) >= 5)
        stage.ask(paused=True)
        assert 5 <= len(assert_still(migration.target_keys)) < 100
        stage.ask(limits={"objects_per_second": 1000.0, "requests": 2})
        stage.ends()
    assert (counts.copied, len(migration.target_keys())) == (100, 100)
    assert stage.controls.take_paused() > STILL_S
    assert stage.controls.snapshot()["limits"] == {"requests": 2, "objects_per_second": 1000.0}


def test_an_object_of_many_parts_is_paused_between_them(migration: Migration) -> None:
    body = b"x" * (40 * 1024**2)
    migration.put("avatar-large.png", body)
    settings = migration.settings(copy_method="stream", multipart_threshold=5 * 1024**2, max_requests=1)
    migration.plan(settings)
    counts = CopyCounts()

    def parts() -> int:
        found = migration.target_s3.list_multipart_uploads(Bucket=migration.target).get("Uploads", [])
        return sum(
            len(
                migration.target_s3.list_parts(
                    Bucket=migration.target, Key=upload["Key"], UploadId=upload["UploadId"]
                ).get("Parts", [])
            )
            for upload in found
        )

    with held(migration.run_with(settings), lambda run: copy_planned(run, counts)) as stage:
        stage.start()
        wait_until(lambda: parts() >= 1 or counts.copied > 0)
        stage.ask(paused=True)
        assert_still(parts)
        stage.ask()
        stage.ends()
    assert counts.copied == 1
    assert migration.content("avatar/avatar-large.png") == body


def test_a_paused_copy_that_is_stopped_ends_at_once_and_the_next_goes_on(migration: Migration) -> None:
    settings = migration.settings(objects_per_second=20)
    for number in range(60):
        migration.put(f"avatar-{number}.png")
    migration.plan(settings)
    counts = CopyCounts()
    with held(migration.run_with(settings), lambda run: copy_planned(run, counts)) as stage:
        stage.start()
        wait_until(lambda: counts.copied >= 3)
        stage.ask(paused=True)
        assert_still(migration.target_keys)
        stage.stop.set()
        stage.ends()
    assert counts.copied < 60
    settings = migration.settings()
    migration.plan(settings)
    migration.copy(settings)
    assert len(migration.target_keys()) == 60


def test_a_rewrite_and_its_rollback_are_paused_and_go_on(migration: Migration) -> None:
    settings = migration.settings()
    for number in range(20):
        migration.put(f"avatar-{number}.png")
    migration.plan(settings)
    migration.copy(settings)
    rewritten = RewriteCounts()
    with held(migration.run_with(settings), lambda run: rewrite_planned(run, rewritten)) as stage:
        stage.ask(paused=True)
        stage.start()
        assert_still(migration.paths)
        assert rewritten.rewritten == 0
        stage.ask(limits={"chunk_ms": 20, "connections": 1})
        stage.ends()
    assert rewritten.rewritten == 20
    assert rewritten.throttled_s["control"] > STILL_S
    run = migration.run_with(settings)
    counts = plan_rollback(run)
    with held(run, lambda run: roll_back(run, counts)) as stage:
        stage.ask(paused=True)
        stage.start()
        assert all(path.startswith("avatar/") for path in assert_still(migration.paths))
        stage.ask()
        stage.ends()
    assert all(path.startswith("image/") for path in migration.paths())


def test_more_failures_than_critical_end_the_rewrite_and_what_was_done_is_kept(migration: Migration) -> None:
    settings = migration.settings(critical={"failures": 0})
    for number in range(5):
        migration.put(f"avatar-{number}.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.refuse("avatar/avatar-3.png")
    counts = RewriteCounts()
    with pytest.raises(CriticalFailuresError) as ended:
        rewrite_planned(migration.run_with(settings), counts)
    assert str(ended.value).startswith(
        "rehome_critical.failures (0): the run has ended by itself: 1 rows were refused by the database"
    )
    assert str(ended.value).endswith("[RH-720]")
    assert (counts.rewritten, counts.refused) == (4, 1)
    counts = RewriteCounts()
    rewrite_planned(migration.run_with(migration.settings(critical={"failures": 1})), counts)
    assert counts.refused == 1
