"""A copy on workers of a cluster: as on one machine, row for row."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rehome.checks import refusals
from rehome.config.cluster import Cluster
from rehome.errors import RehomeError
from rehome.fleet.connect import connected
from rehome.preflight.cluster import check_cluster

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import FleetOfTest
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import MEBIBYTE, fill, fill_target_in_parts, left_in, outcomes_of, settings_of
from tests.integration.migration import Migration


def test_objects_are_copied_by_both_workers_and_each_outcome_is_recorded(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 1000)
    settings = settings_of(migration, object_store, fleet, workers=2)
    migration.plan(settings)
    counts = migration.copy(settings)
    assert (counts.copied, counts.done, counts.method) == (1000, 1000, "server_side")
    assert set(counts.movers) == {"mover-0", "mover-1"}
    assert sum(counts.movers.values()) == 1000
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 1000
    assert len(migration.target_keys()) == 1000
    assert list((settings.state_dir / "outcomes").glob("*.begun")) == []
    assert migration.plan(settings).objects["present"] == 1000


def test_its_outcomes_are_those_of_one_machine(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    """Copies, objects that are there by then, with the same content or other content, and ones that changed."""
    fill(migration, 100)
    found = []
    for at_work in (None, fleet):
        settings = settings_of(migration, object_store, at_work)
        migration.plan(settings)
        migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-00001.png", Body=b"1")
        migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-00002.png", Body=b"other")
        migration.s3.put_object(Bucket=migration.source, Key="image/avatar-00003.png", Body=b"changed")
        migration.copy(settings)
        found.append(outcomes_of(migration))
        migration.s3.put_object(Bucket=migration.source, Key="image/avatar-00003.png", Body=b"3")
        for key in migration.target_keys():
            migration.target_s3.delete_object(Bucket=migration.target, Key=key)
    alone, by_workers = found
    assert by_workers == alone
    assert [result for _, result, _, _ in alone][:5] == ["copied", "present", "conflict", "changed", "copied"]


@pytest.mark.parametrize("method", ["server_side", "stream"])
def test_large_objects_are_copied_in_parts_and_leave_no_upload_open(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, method: str
) -> None:
    bodies = {0: b"a" * 20 * MEBIBYTE, 1: b"b" * 6 * MEBIBYTE, 2: b"c"}
    fill(migration, 3, bodies.__getitem__)
    settings = settings_of(migration, object_store, fleet, copy_method=method, multipart_threshold=5 * MEBIBYTE)
    migration.plan(settings)
    counts = migration.copy(settings)
    assert (counts.copied, counts.method) == (3, method)
    for number, body in bodies.items():
        assert migration.content(f"avatar/avatar-{number:05}.png") == body
    assert "Uploads" not in migration.target_s3.list_multipart_uploads(Bucket=migration.target)


def test_what_stops_a_worker_stops_the_run_with_its_reason(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """The workers' own keys may only read: the controller finds them denied, and says so as without a cluster."""
    fleet = start(0)
    fleet.start_worker(**_keys(object_store, "reader"))
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    with pytest.raises(RehomeError, match=r"the copy cannot go on, after 0 of 300 objects: .*AccessDenied"):
        migration.copy(settings)
    results = [result for _, result, _, _ in outcomes_of(migration)]
    assert results.count("failed") >= 50
    assert set(results) <= {"failed", "begun"}


def test_what_stops_a_worker_with_its_last_objects_is_told_with_the_worker(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """The fiftieth failure is the reason, while the other ten are in flight: all have outcomes, and none is left."""
    fleet = start(0)
    fleet.start_worker(**_keys(object_store, "reader"))
    fill(migration, 60)
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    with pytest.raises(
        RehomeError, match=r"the copy cannot go on, after 0 of 60 objects: .*AccessDenied.*worker mover-0"
    ):
        migration.copy(settings)
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["failed"] * 60


def test_workers_without_keys_are_named(start: Starter, object_store: S3Server, migration: Migration) -> None:
    fleet = start(0)
    fleet.keys = {"AWS_EC2_METADATA_DISABLED": "true"}
    fleet.start_worker()
    fill(migration, 10)
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    with pytest.raises(RehomeError, match=r"worker mover-0: .*no credentials were found.*RH-204"):
        migration.copy(settings)


def test_no_secret_reaches_the_scheduler_the_nannies_the_logs_or_the_events(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    """The controller has its keys in the settings, the workers theirs in a profile."""
    keys = object_store.users["migrate"]
    profile = tmp_path / "credentials"
    lines = "[mover]", f"aws_access_key_id={keys.access_key}", f"aws_secret_access_key={keys.secret_key}"
    profile.write_text("\n".join(lines))
    fleet = start(0)
    fleet.keys = {"AWS_SHARED_CREDENTIALS_FILE": str(profile), "AWS_EC2_METADATA_DISABLED": "true"}
    fleet.start_worker()
    fill(migration, 200)
    # they are compared, and not copied
    fill_target_in_parts(migration, 3, lambda number: b"%d" % number)
    settings = settings_of(migration, object_store, fleet, with_keys=True)
    assert settings.source.secret_key == keys.secret_key
    assert refusals(check_cluster(settings, dry_run=False, tries=True)) == []
    assert migration.plan(settings).objects["present"] == 3
    assert fleet.scheduler is not None
    memory = _memory(fleet.scheduler.pid)
    assert b"avatar-00002.png" in memory and b"avatar-00199.png" not in memory, "what is compared is found"
    assert migration.copy(settings).copied == 197
    memory += _memory(fleet.scheduler.pid)
    assert b"avatar-00199.png" in memory, "what it passes on is found"
    assert settings.cluster is not None
    told = asyncio.run(_told(settings.cluster))
    assert "rehome-" in told and "add-worker" in told, "tasks and events are found"
    (nanny,) = fleet.workers
    logs = fleet.log("scheduler") + fleet.log("worker-0")
    for secret in (keys.secret_key, keys.access_key):
        assert secret.encode() not in memory
        assert secret.encode() not in _memory(nanny.pid)
        assert secret not in told + logs
    # nor anything of the database
    assert str(settings.database.path).encode() not in memory


async def _told(cluster: Cluster) -> str:
    """All that the scheduler tells of a run: its tasks and what became of them, events, and everybody's logs."""
    async with connected(cluster) as client:
        logs = [
            await client.get_scheduler_logs(),
            await client.get_worker_logs(),
            await client.get_worker_logs(nanny=True),
        ]
        tasks = await client.run_on_scheduler(lambda dask_scheduler: repr(list(dask_scheduler.transition_log)))
        return repr([tasks, await client.get_events(), logs])


def _memory(pid: int) -> bytes:
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if rights.startswith("rw") and "[v" not in line:
                first, last = (int(number, 16) for number in span.split("-"))
                memory.seek(first)
                found.append(memory.read(last - first))
    return b"".join(found)


def _keys(store: S3Server, user: str) -> dict[str, str]:
    keys = store.users[user]
    return {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}


def test_nothing_is_left_in_the_cluster(fleet: FleetOfTest, object_store: S3Server, migration: Migration) -> None:
    fill(migration, 50)
    settings = settings_of(migration, object_store, fleet)
    migration.plan(settings)
    migration.copy(settings)
    assert settings.cluster is not None
    assert left_in(settings.cluster) == {"scheduler": [], "tasks": 0, "mover-0": [], "mover-1": []}
