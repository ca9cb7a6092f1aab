"""Listings that workers of a cluster go on with: the catalog is that of one machine, row for row."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from rehome.ansible_module.stopping import StopRequestedError
from rehome.control.controls import Door
from rehome.control.orders import Order
from rehome.errors import RehomeError
from rehome.fleet.reading import Arrival, Reads
from rehome.run import Run
from rehome.s3.errors import S3RequestError
from rehome.s3.listing.listing import DISORDERED, Left
from rehome.scan import list_by_movers
from rehome.scan.scan import scan_buckets

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.fleet.cluster import FleetOfTest, keys_of, running_fleet
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import left_in, settings_of
from tests.integration.migration import Migration

COUNT = 400
PAGE = 5
Found = dict[str, Any]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing is long from 60 keys on, so that it has a middle."""
    monkeypatch.setattr("rehome.scan.buckets.PAGE_KEYS", PAGE)
    monkeypatch.setattr("rehome.scan.buckets.KEYS_HERE", 60)
    monkeypatch.setattr(list_by_movers, "SHARD_KEYS", 10)


def store(migration: Migration, names: Sequence[str]) -> None:
    """Store objects of these names in the source, and every other one in the target."""

    def put(number: int) -> None:
        body = b"%d" % number
        migration.s3.put_object(Bucket=migration.source, Key=f"image/{names[number]}", Body=body)
        if number % 2:
            migration.target_s3.put_object(Bucket=migration.target, Key=f"avatar/{names[number]}", Body=body)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(put, range(len(names))))


def names(count: int = COUNT) -> list[str]:
    return [f"avatar-{number:05}.png" if number % 7 else f"other-{number:05}.png" for number in range(count)]


def listed(migration: Migration, settings: Any) -> Found:
    """What the catalog has after both buckets are listed."""
    run = migration.run_on_nothing(settings)
    scan_buckets(run)
    return found_in(run)


def found_in(run: Run) -> Found:
    read = run.catalog.query
    kept = {name: value for name, value in run.catalog.metadata().items() if name != "listed_alone"}
    return kept | {
        "source": sorted(read("SELECT * FROM source_objects"), key=str),
        "target": sorted(read("SELECT * FROM target_objects"), key=str),
        "foreign": read("SELECT * FROM foreign_samples ORDER BY ALL"),
    }


@contextmanager
def on_arrivals(do: dict[int, Callable[[], object]]) -> Iterator[list[str]]:
    """Yield the workers of the shards that came back, and do something when that many have."""
    movers = list[str]()
    arrived = Reads.arrived

    def note(self: Reads[Any, Any], parcel: Any, arrival: Arrival[Any]) -> RehomeError | None:
        ended = arrived(self, parcel, arrival)
        movers.append(arrival.mover)
        do.get(len(movers), lambda: None)()
        return ended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reads, "arrived", note)
        yield movers


def test_the_catalog_is_that_of_one_machine(fleet: FleetOfTest, object_store: S3Server, migration: Migration) -> None:
    odd = ["avatar-ü &<>'\"+%.png", "avatar-中文 😀.png", "avatar-\uffee.png", "avatar-1/2/3.png", "avatar-1-2.png"]
    store(migration, [*names(), *odd])
    alone = listed(migration, settings_of(migration, object_store, None))
    with on_arrivals({}) as movers:
        by_movers = listed(migration, settings_of(migration, object_store, fleet, workers=2))
    assert by_movers == alone
    assert len(by_movers["source"]) == COUNT + len(odd) - len(by_movers["foreign"])
    assert len(movers) > 10
    assert set(movers) == {"mover-0", "mover-1"}
    snapshot = migration.progress
    assert '"movers": 2' in (snapshot._path).read_text()


def test_a_short_listing_asks_no_cluster(object_store: S3Server, migration: Migration, fleet: FleetOfTest) -> None:
    store(migration, names(40))
    with on_arrivals({}) as movers:
        found = listed(migration, settings_of(migration, object_store, fleet))
    assert movers == []
    assert found == listed(migration, settings_of(migration, object_store, None))


def test_a_server_that_sorts_by_code_points_beyond_the_first_plane(
    moto: Moto, buckets: Buckets, sqlite: SQLite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keys that SeaweedFS does not store."""
    keys = keys_of(moto, "migrate")
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    for bucket in (buckets.source, buckets.target):
        moto.client().create_bucket(Bucket=bucket)
    migration = Migration(moto, buckets, sqlite, tmp_path)
    odd = [f"avatar-{first}{last}.png" for first in "a/\x7f\ud7ff\uffee😀" for last in ("", "//", "\\", " ", "+", "😀")]
    store(migration, [*names(150), *odd])
    alone = listed(migration, settings_of(migration, moto, None))
    folder = tmp_path / "fleet"
    folder.mkdir()
    with running_fleet(folder, keys) as fleet, on_arrivals({}) as movers:
        assert listed(migration, settings_of(migration, moto, fleet, workers=2)) == alone
    assert len(movers) > 5
    migration.close()


def test_a_killed_worker_leaves_neither_gap_nor_double(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    store(migration, names())
    fleet = start(2)
    alone = listed(migration, settings_of(migration, object_store, None))

    def kill() -> None:
        for process in fleet.worker_processes()[:1]:
            process.kill()

    with on_arrivals({3: kill, 9: kill}) as movers:
        found = listed(migration, settings_of(migration, object_store, fleet, workers=2))
    assert found == alone
    assert len(movers) > 9


def test_a_lost_scheduler_ends_the_listing_and_the_next_run_lists_anew(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    store(migration, names())
    fleet = start(1)
    assert fleet.scheduler is not None
    run = migration.run_on_nothing(settings_of(migration, object_store, fleet))
    with (
        on_arrivals({3: fleet.scheduler.kill}),
        pytest.raises(RehomeError, match=rf"{fleet.address}.*is lost.*run the same command again.*RH-765"),
    ):
        scan_buckets(run)
    assert found_in(run) == {"source": [], "target": [], "foreign": []}
    again = start(1)
    found = listed(migration, settings_of(migration, object_store, again))
    assert found == listed(migration, settings_of(migration, object_store, None))


def test_what_is_added_and_deleted_meanwhile_makes_no_double(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    store(migration, names())
    stays = {name for name in names()[::2] if name.startswith("avatar")}

    def change() -> None:
        for number, name in enumerate(names()):
            if name not in stays:
                migration.s3.delete_object(Bucket=migration.source, Key=f"image/{name}")
            if not number % 5:
                migration.s3.put_object(Bucket=migration.source, Key=f"image/{name}.new.png", Body=b"")

    with on_arrivals({2: change}):
        found = [row[0] for row in listed(migration, settings_of(migration, object_store, fleet, workers=2))["source"]]
    assert len(found) == len(set(found))
    assert set(found) >= stays


@pytest.mark.parametrize("way", ["asked", "signal"])
def test_a_stop_ends_the_listing_and_leaves_nothing_in_the_cluster(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, way: str
) -> None:
    store(migration, names())
    settings = settings_of(migration, object_store, fleet, workers=2)
    run = migration.run_on_nothing(settings)
    stop = threading.Event()

    def hear(_number: int, _frame: FrameType | None) -> None:
        raise StopRequestedError

    def signal_soon() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()

    before = signal.signal(signal.SIGUSR1, hear)
    try:
        with (
            on_arrivals({3: stop.set if way == "asked" else signal_soon}),
            # DuckDB makes an error of its own of what a handler raises within a query
            pytest.raises(
                RehomeError if way == "asked" else (StopRequestedError, RuntimeError),
                match="is to stop" if way == "asked" else r"^$|^Query interrupted",
            ),
        ):
            scan_buckets(Run(settings, run.catalog, run.progress, stop.is_set))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found_in(run) == {"source": [], "target": [], "foreign": []}
    assert settings.cluster is not None
    assert left_in(settings.cluster) == {"scheduler": [], "tasks": 0, "mover-0": [], "mover-1": []}


def test_a_paused_run_lists_on(fleet: FleetOfTest, object_store: S3Server, migration: Migration) -> None:
    """As without a cluster: what only reads is not paused."""
    store(migration, names(150))
    run = migration.run_on_nothing(settings_of(migration, object_store, fleet, workers=2))
    run.controls.hear(Door("a file", "resume it"), Order(paused=True))
    with on_arrivals({}) as movers:
        scan_buckets(run)
    assert found_in(run) == listed(migration, settings_of(migration, object_store, None))
    assert len(movers) > 5


def test_keys_that_workers_find_in_no_order_are_listed_here(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(migration, names())

    class Disordered(list_by_movers.Ranges):
        def add(self, left: Left) -> None:
            raise S3RequestError(200, DISORDERED, "no order", None, verb="GET")

    monkeypatch.setattr(list_by_movers, "Ranges", Disordered)
    run = migration.run_on_nothing(settings_of(migration, object_store, fleet, workers=2))
    with on_arrivals({}) as movers:
        scan_buckets(run)
    assert len(movers) <= 1
    assert run.catalog.metadata()["listed_alone"].startswith(f"s3://{migration.source}/image/ and s3://")
    assert found_in(run) == listed(migration, settings_of(migration, object_store, None))
