"""Workers of a cluster read what they are asked to, as this machine would."""

from __future__ import annotations

import pytest
from rehome.config.settings import Settings
from rehome.errors import RehomeError
from rehome.fleet.comparing import Pair, compare_shard, sample_shard
from rehome.s3.errors import S3StopError
from rehome.scan.by_movers import read_by_movers

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import FleetOfTest, exported
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import fill, fill_target_in_parts, left_in, pairs_of, settings_of
from tests.integration.migration import Migration

COUNT = 60
OTHER = 7
"""Its contents differ."""


def body(number: int) -> bytes:
    return b"%05d" % number


def other_body(number: int) -> bytes:
    return b"other" if number == OTHER else body(number)


@pytest.fixture
def pairs(migration: Migration) -> list[Pair]:
    """Pairs whose ETags prove nothing."""
    fill(migration, COUNT, body)
    fill_target_in_parts(migration, COUNT, other_body)
    return pairs_of(migration)


def compared(migration: Migration, settings: Settings, pairs: list[Pair]) -> dict[Pair, str | None]:
    """What movers find of each pair."""
    found: dict[Pair, str | None] = {}

    def take(shard: list[Pair], evidence: tuple[str | None, ...]) -> None:
        assert not found.keys() & set(shard)
        found.update(zip(shard, evidence, strict=True))

    assert settings.cluster is not None
    shards = (pairs[start : start + 10] for start in range(0, len(pairs), 10))
    run = migration.run_on_nothing(settings)
    read_by_movers(run, settings.cluster, compare_shard, shards, take, lambda _count: None)
    return found


def test_every_pair_is_compared_once_and_nothing_is_left_in_the_cluster(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, pairs: list[Pair]
) -> None:
    settings = settings_of(migration, object_store, fleet, workers=2)
    found = compared(migration, settings, pairs)
    assert [found[pair] for pair in pairs] == [None if n == OTHER else "bytes" for n in range(COUNT)]
    assert settings.cluster is not None
    assert left_in(settings.cluster) == {"scheduler": [], "tasks": 0, "mover-0": [], "mover-1": []}


def test_what_s3_refuses_a_worker_is_raised_here(
    start: Starter, object_store: S3Server, migration: Migration, pairs: list[Pair]
) -> None:
    fleet = start(0)
    fleet.start_worker(**exported("AKIANOBODY", "of-nobody"))
    settings = settings_of(migration, object_store, fleet)
    assert settings.cluster is not None
    run, found = migration.run_on_nothing(settings), list[object]()
    with pytest.raises(S3StopError, match=r"GET '(image|avatar)/avatar-\d+.png': InvalidAccessKeyId \(403\)"):
        read_by_movers(
            run, settings.cluster, sample_shard, [pairs], lambda _, same: found.append(same), lambda _count: None
        )
    assert found == []


def test_a_worker_without_keys_is_named(
    start: Starter, object_store: S3Server, migration: Migration, pairs: list[Pair]
) -> None:
    fleet = start(0)
    fleet.keys = {"AWS_EC2_METADATA_DISABLED": "true"}
    fleet.start_worker()
    with pytest.raises(RehomeError, match=r"worker mover-0: .*no credentials were found.*RH-204"):
        compared(migration, settings_of(migration, object_store, fleet), pairs)
