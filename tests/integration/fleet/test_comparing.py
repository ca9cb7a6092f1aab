"""Contents are compared by the workers of a cluster: the same is found as on one machine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rehome.ansible_module.stopping import StopRequestedError
from rehome.catalog.catalog import Catalog
from rehome.config.settings import Settings
from rehome.control.controls import Door
from rehome.control.orders import Order
from rehome.errors import RefusedError, RehomeError
from rehome.fleet.reading import Reads
from rehome.planning.plan import make_plan
from rehome.report.lists import VERIFY_LISTS, write_lists
from rehome.run import Run
from rehome.scan.scan import scan
from rehome.stages import deletion_candidates as deletable
from rehome.stages.delete_side import BucketState, DeleteSide
from rehome.stages.verify_sample import compare_sample

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import FleetOfTest
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import fill, fill_target_in_parts, left_in, once, settings_of
from tests.integration.migration import Migration

COUNT = 120
OTHER = 7
"""Its contents differ."""
SLOWLY = 40.0
"""Pairs per second, so that there is a middle."""
DOOR = Door("a file", "resume it")


def body(number: int) -> bytes:
    return b"%05d" % number


def other_body(number: int) -> bytes:
    return b"other" if number == OTHER else body(number)


class Found(NamedTuple):
    """What a plan finds: its digest, counts, proofs, outcomes, and the digests of its lists."""

    plan: str
    objects: dict[str, int]
    compared: list[tuple[Any, ...]]
    outcomes: list[tuple[Any, ...]]
    lists: dict[str, str]


@pytest.fixture
def store(object_store: S3Server) -> S3Server:
    """The store of both buckets."""
    return object_store


@pytest.fixture(autouse=True)
def shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of ten pairs."""
    monkeypatch.setattr("rehome.scan.compare.SHARD_PAIRS", 10)


@pytest.fixture
def compared(migration: Migration) -> Migration:
    """A migration of pairs whose ETags prove nothing."""
    fill(migration, COUNT, body)
    fill_target_in_parts(migration, COUNT, other_body)
    return migration


@pytest.fixture
def found_alone(compared: Migration, store: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    """What this machine finds. From then on it must not compare."""

    async def fail(*_: object) -> None:
        raise AssertionError("compared on this machine")

    settings = settings_of(compared, store, None, state_dir=new_folder(tmp_path, "alone"))
    found = found_by(compared.run_on_nothing(settings))
    monkeypatch.setattr("rehome.scan.compare._compare_here", fail)
    return found


def new_folder(folder: Path, name: str) -> str:
    """Return a state folder, which has no proofs yet."""
    (folder / name).mkdir()
    return str(folder / name)


def found_by(run: Run) -> Found:
    """What a plan finds."""
    scan(run)
    plan, catalog = make_plan(run.catalog, run.settings), run.catalog
    written = write_lists(catalog, run.settings, VERIFY_LISTS)
    return Found(
        plan.sha256,
        plan.objects,
        sorted(catalog.query("SELECT suffix, evidence FROM compared")),
        sorted(catalog.query("SELECT suffix, result, target_etag, evidence FROM outcomes")),
        {name: file["sha256"] for name, file in written.items()},
    )


@contextmanager
def once_compared(run: Run, least: int, do: Callable[[], object]) -> Iterator[None]:
    """Do something once so many pairs are compared, while the block is at work."""

    def is_reached() -> bool:
        told = run.progress.snapshot()
        done = told.get("done", 0)
        return told.get("stage") == "compare contents" and isinstance(done, int) and done >= least

    with once(is_reached, do):
        yield


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The movers that have read a shard."""
    names = set[str]()
    arrived = Reads.arrived

    def note(self: Reads[Any, Any], parcel: Any, arrival: Any) -> RehomeError | None:
        names.add(arrival.mover)
        return arrived(self, parcel, arrival)

    monkeypatch.setattr(Reads, "arrived", note)
    return names


def test_movers_find_what_one_machine_finds(
    fleet: FleetOfTest,
    store: S3Server,
    compared: Migration,
    found_alone: Found,
    tmp_path: Path,
    readers: set[str],
) -> None:
    assert found_alone.compared == [
        (f"avatar-{number:05}.png", None if number == OTHER else "bytes") for number in range(COUNT)
    ]
    assert found_alone.objects["conflict"] == 1
    assert [evidence for _, _, _, evidence in found_alone.outcomes] == ["bytes"] * (COUNT - 1)
    settings = settings_of(compared, store, fleet, workers=2, state_dir=new_folder(tmp_path, "movers"))
    run = compared.run_on_nothing(settings)
    assert found_by(run) == found_alone
    assert readers == {"mover-0", "mover-1"}
    told = run.progress.snapshot()
    assert (told["stage"], told["done"], told["counts"]) == ("compare contents", COUNT, {"movers": 2})
    assert settings.cluster is not None
    assert left_in(settings.cluster) == {"scheduler": [], "tasks": 0, "mover-0": [], "mover-1": []}


def test_a_cluster_that_is_not_there_is_told_if_something_is_to_be_compared(
    fleet: FleetOfTest, store: S3Server, compared: Migration
) -> None:
    settings = settings_of(compared, store, fleet)
    assert settings.cluster is not None
    gone = replace(settings, cluster=replace(settings.cluster, address="tls://127.0.0.1:1"))
    with pytest.raises(
        RefusedError, match=r"^rehome_cluster.address \(tls://127.0.0.1:1\): cannot be reached .*RH-761"
    ):
        scan(compared.run_on_nothing(gone))
    for number in range(COUNT):
        compared.target_s3.delete_object(Bucket=compared.target, Key=f"avatar/avatar-{number:05}.png")
    run = compared.run_on_nothing(gone)
    assert found_by(run).objects["to_copy"] == COUNT, "nothing to compare: nobody is asked"


def test_killed_workers_cost_nothing(
    start: Starter, store: S3Server, compared: Migration, found_alone: Found, tmp_path: Path
) -> None:
    fleet = start(2)
    folder = new_folder(tmp_path, "movers")
    settings = settings_of(compared, store, fleet, workers=2, objects_per_second=SLOWLY, state_dir=folder)
    run = compared.run_on_nothing(settings)

    def kill() -> None:
        for process in fleet.worker_processes():
            process.kill()

    with once_compared(run, 10, kill):
        assert found_by(run) == found_alone


def test_a_killed_scheduler_is_told_and_the_same_command_goes_on(
    start: Starter, store: S3Server, compared: Migration, found_alone: Found, tmp_path: Path
) -> None:
    fleet = start(2)
    folder = new_folder(tmp_path, "movers")
    settings = settings_of(compared, store, fleet, workers=2, objects_per_second=SLOWLY, state_dir=folder)
    run = compared.run_on_nothing(settings)
    assert fleet.scheduler is not None
    with (
        once_compared(run, 20, fleet.scheduler.kill),
        pytest.raises(RehomeError, match=rf"{fleet.address}.*is lost.*goes on from here.*RH-765"),
    ):
        scan(run)
    proven = run.catalog.count("FROM outcomes")
    assert 10 <= proven < COUNT
    again = start(1)
    run = compared.run_on_nothing(settings_of(compared, store, again, state_dir=folder))
    found = found_by(run)
    assert run.progress.snapshot()["total"] == COUNT - proven
    assert (found.plan, found.objects, found.compared, found.lists) == (
        found_alone.plan,
        found_alone.objects,
        found_alone.compared,
        found_alone.lists,
    )


def test_a_pause_and_a_stop_reach_the_workers(fleet: FleetOfTest, store: S3Server, compared: Migration) -> None:
    settings = settings_of(compared, store, fleet, workers=2, objects_per_second=SLOWLY)
    stops, seen = list[bool](), list[object]()
    run = compared.run_on_nothing(settings).until(lambda: bool(stops))

    def pause() -> None:
        run.controls.hear(DOOR, Order(paused=True))
        # until all have heard of it, and what was in flight has ended
        time.sleep(2)
        for _ in range(2):
            seen.append(run.progress.snapshot()["done"])
            time.sleep(1)
        stops.append(True)

    with once_compared(run, 20, pause), pytest.raises(RehomeError, match="the run is to stop"):
        scan(run)
    assert seen[0] == seen[1] != COUNT
    assert settings.cluster is not None
    assert left_in(settings.cluster)["tasks"] == 0


def test_an_interrupt_leaves_nothing_in_the_cluster(fleet: FleetOfTest, store: S3Server, compared: Migration) -> None:
    """A plan is ended by a signal, wherever it is."""

    def interrupt(_number: int, _frame: object) -> None:
        raise StopRequestedError

    settings = settings_of(compared, store, fleet, workers=2, objects_per_second=SLOWLY)
    run = compared.run_on_nothing(settings)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        main = threading.main_thread().ident
        assert main is not None
        with (
            once_compared(run, 20, lambda: signal.pthread_kill(main, signal.SIGUSR1)),
            # DuckDB makes an error of its own of what a handler raises within a query
            pytest.raises((StopRequestedError, RuntimeError), match=r"^$|^Query interrupted"),
        ):
            scan(run)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert settings.cluster is not None
    assert left_in(settings.cluster) == {"scheduler": [], "tasks": 0, "mover-0": [], "mover-1": []}


def test_a_sample_is_read_by_movers(
    fleet: FleetOfTest, store: S3Server, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(migration, COUNT, body)
    migration.plan(settings_of(migration, store, None))
    migration.copy(settings_of(migration, store, None))
    migration.plan(settings_of(migration, store, None))
    migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-00007.png", Body=b"other")
    found = []
    for at_work in (None, fleet):
        settings = settings_of(migration, store, at_work, verify_sample=COUNT)
        counts = compare_sample(migration.run_with(settings))
        found.append((counts, migration.catalog.query("SELECT * FROM differing")))
        migration.catalog.run("DELETE FROM differing")
        monkeypatch.setattr("rehome.scan.compare._compare_here", None)
    assert found[0] == found[1]
    assert (found[0][0].sampled, found[0][0].differing) == (COUNT, 1)


def test_weak_evidence_is_proven_by_movers_before_a_deletion(
    fleet: FleetOfTest, store: S3Server, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(migration, COUNT, body)
    alone = settings_of(migration, store, None)
    migration.plan(alone)
    migration.copy(alone)
    original = deletable.make_plan

    def weakly(catalog: Catalog, settings: Settings) -> Any:
        plan = original(catalog, settings)
        catalog.run("UPDATE object_verdicts SET weak = true")
        last = "(SELECT place FROM objects WHERE suffix = 'avatar-00007.png')"
        catalog.run(f"UPDATE object_verdicts SET other_etag = 'another-1' WHERE rowid IN {last}")
        return plan

    monkeypatch.setattr(deletable, "make_plan", weakly)
    bucket = BucketState("enabled", locks=False, noncurrent_days=None, now=datetime.now(UTC))
    found = []
    for settings in (alone, settings_of(migration, store, fleet, workers=2)):
        for side in (DeleteSide.legacy_objects(settings), DeleteSide.copies(settings)):
            run = migration.run_on_nothing(settings)
            deletable.make_tables(run.catalog)
            classes, size = deletable.classify(run, side, {}, bucket)
            found.append((classes, size, sorted(run.catalog.query("SELECT suffix, class FROM judged"))))
        monkeypatch.setattr("rehome.scan.compare._compare_here", None)
    assert found[:2] == found[2:]
    assert [classes["to_delete"] for classes, _, _ in found] == [COUNT - 1] * 4
    assert [classes["unverified"] for classes, _, _ in found] == [1] * 4
