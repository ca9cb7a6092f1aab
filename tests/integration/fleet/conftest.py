"""Migrations whose objects a cluster copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.fleet.cluster import FleetOfTest, keys_of, running_fleet
from tests.integration.migration import Migration

Starter = Callable[..., FleetOfTest]


@pytest.fixture
def start(object_store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts a fleet of so many workers that a test may break, with this environment of the scheduler."""
    fleets = list[FleetOfTest]()

    def start(workers: int, **environment: str) -> FleetOfTest:
        made = FleetOfTest(tmp_path_factory.mktemp("fleet"), keys_of(object_store, "migrate"))
        fleets.append(made)
        made.start_scheduler(**environment)
        for _ in range(workers):
            made.start_worker()
        return made

    yield start
    for made in fleets:
        made.stop()


@pytest.fixture(scope="module")
def fleet(object_store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOfTest]:
    """A scheduler and two workers."""
    with running_fleet(tmp_path_factory.mktemp("fleet"), keys_of(object_store, "migrate")) as made:
        yield made


@pytest.fixture
def migration(
    object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Migration]:
    """A migration whose keys are in the environment. Its shards have 40 objects."""
    for name, value in keys_of(object_store, "migrate").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("rehome.fleet.shards.SHARD_OBJECTS", 40)
    made = Migration(object_store, buckets, sqlite, tmp_path)
    yield made
    made.close()
