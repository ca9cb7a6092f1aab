"""What the preflight asks every worker: packages, clock, reach, and rights on both buckets."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.checks import Check, refusals
from rehome.config.settings import Settings
from rehome.fleet.connect import connected
from rehome.fleet.engine import package_versions
from rehome.grants.principal_policy import set_policy
from rehome.preflight.cluster import check_cluster, look_at_cluster
from rehome.s3.probe.scratch import SCRATCH_NAME

from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import ROOT, FleetOfTest, exported, keys_of
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import fill, settings_of
from tests.integration.migration import Migration

ALONE = r", or leave rehome_cluster unset to work with this machine alone"


def statuses(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def test_workers_that_do_not_reach_the_buckets_are_told_by_the_preflight(
    start: Starter, fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 1)
    without_keys = start(0)
    without_keys.keys = {"AWS_EC2_METADATA_DISABLED": "true"}
    without_keys.start_worker()
    settings = settings_of(migration, object_store, without_keys)
    found = refusals(check_cluster(settings, dry_run=False, tries=True))
    assert all("1 of 1 workers, such as tls://127.0.0.1:" in finding.problem for finding in found)
    assert all(re.search(rf"{ALONE}\. \[RH-204\]$", str(finding)) for finding in found)
    # neither keys in the settings nor S3_SOURCE_… are of use to a worker
    assert [finding.setting for finding in found] == ["rehome_source.profile", "rehome_target.profile"]
    assert not any("access_key and" in finding.way_out or "S3_" in finding.way_out for finding in found)
    checks = check_cluster(settings_of(migration, object_store, fleet, workers=2), dry_run=False, tries=True)
    names = ("workers", "packages", "clock", "reach", "read rights", "write rights")
    assert statuses(checks) == dict.fromkeys(names, "pass")
    assert check_cluster(settings_of(migration, object_store, None), dry_run=False, tries=True) == []
    assert_nothing_is_left(object_store, migration)


def assert_nothing_is_left(store: S3Server, migration: Migration) -> None:
    """No scratch object, no marker and no upload, looked for by the administrator."""
    client = store.client()
    for bucket in (migration.source, migration.target):
        versions = client.list_object_versions(Bucket=bucket)
        keys = [one["Key"] for one in (*versions.get("Versions", []), *versions.get("DeleteMarkers", []))]
        assert [key for key in keys if SCRATCH_NAME in key] == []
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_workers_whose_keys_may_not_write_are_told_once_and_not_by_a_dry_run(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 1)
    fleet = start(0)
    fleet.keys = keys_of(object_store, "reader")
    fleet.start_worker()
    fleet.start_worker()
    settings = settings_of(migration, object_store, fleet, workers=2)
    (finding,) = refusals(check_cluster(settings, dry_run=False, tries=True))
    assert finding.setting == "rehome_target"
    told = r"^2 of 2 workers, such as tls://127.0.0.1:\d+, find: S3 does not let its credentials store objects there"
    assert re.match(told, finding.problem), finding
    assert re.search(rf"Grant s3:PutObject on .*{ALONE}\. \[RH-202\]$", str(finding))
    dry = check_cluster(settings, dry_run=True, tries=True)
    assert refusals(dry) == []
    assert (statuses(dry)["read rights"], statuses(dry)["write rights"]) == ("pass", "info")
    assert_nothing_is_left(object_store, migration)


@pytest.mark.needs("rights")
@pytest.mark.parametrize("method", ["server_side", "stream"])
def test_workers_whose_keys_may_not_read_are_told(
    start: Starter, object_store: S3Server, migration: Migration, method: str
) -> None:
    fill(migration, 1)
    iam, name = object_store.iam(), f"mover-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    source, target = (f"arn:aws:s3:::{bucket}" for bucket in (migration.source, migration.target))
    listing = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"]}
    writing = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"]}
    statements = [{**listing, "Resource": [source, target]}, {**writing, "Resource": [f"{target}/*"]}]
    set_policy(iam, "user", name, {"Version": "2012-10-17", "Statement": statements})
    fleet = start(0)
    fleet.start_worker(**exported(key["AccessKeyId"], key["SecretAccessKey"]))
    settings = settings_of(migration, object_store, fleet, copy_method=method)
    for dry_run in (True, False):
        found = refusals(check_cluster(settings, dry_run=dry_run, tries=True))
        assert len(found) == 1, found
        (finding,) = found
        assert finding.setting == {"server_side": "rehome_target", "stream": "rehome_source"}[method]
        assert re.search(r"1 of 1 workers, such as .* find: S3 does not let its credentials read", finding.problem)
        assert "Grant s3:GetObject on" in finding.way_out


def test_a_source_without_objects_leaves_the_right_to_read_open(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    checks = check_cluster(settings_of(migration, object_store, fleet), dry_run=False, tries=True)
    assert (statuses(checks)["read rights"], statuses(checks)["write rights"]) == ("info", "pass")


def test_a_worker_whose_clock_is_off_is_told(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    fill(migration, 1)
    fleet = start(0)
    for seconds in (100, 1000):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(f"import time; now = time.time; time.time = lambda: now() + {seconds}")
        fleet.start_worker(PYTHONPATH=f"{folder}:{ROOT / 'module_utils'}")
    settings = settings_of(migration, object_store, fleet, workers=2)
    stopped, warned = (check for check in check_cluster(settings, dry_run=True, tries=True) if check.name == "clock")
    assert re.match(r"1 of 2 workers, such as .* by about [\d,]+ s ahead of this machine's; S3 refuses", stopped.found)
    assert re.match(r"1 of 2 workers, such as .* by about [\d,]+ s ahead of this machine's$", warned.found)
    assert (stopped.status, warned.status) == ("stop", "warn")


def test_workers_that_copy_by_other_packages_are_told(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = package_versions() | {"httptools": "0.0.1"}
    monkeypatch.setattr("rehome.preflight.cluster.package_versions", lambda: ours)
    checks = check_cluster(settings_of(migration, object_store, fleet, workers=2), dry_run=True, tries=True)
    assert statuses(checks)["packages"] == "warn"


def test_a_machine_that_does_not_reach_the_buckets_asks_no_worker_to(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    checks = check_cluster(settings_of(migration, object_store, fleet, workers=2), dry_run=False, tries=False)
    assert statuses(checks)["reach"] == "info"
    assert "read rights" not in statuses(checks)


def test_a_verb_that_copies_nothing_is_warned_of_what_keeps_it_from_comparing(
    start: Starter, fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 1)
    settings = settings_of(migration, object_store, fleet, workers=2)
    asyncio.run(_wait_for_workers(settings))
    names = ("workers", "packages", "clock", "reach")
    assert statuses(look_at_cluster(settings, tries=True)) == dict.fromkeys(names, "pass")
    assert settings.cluster is not None
    gone = replace(settings, cluster=replace(settings.cluster, address="tls://127.0.0.1:1"))
    (check,) = look_at_cluster(gone, tries=True)
    assert check.status == "warn"
    told = r"^rehome_cluster.address \(tls://127.0.0.1:1\): cannot be reached .*where it needs workers: .*long listing"
    assert re.search(rf"{told}\. Correct the address.*{ALONE}.*\[RH-761\]$", check.text), check.text
    without_keys = start(0)
    (check,) = look_at_cluster(settings_of(migration, object_store, without_keys, wait_s=3600.0), tries=True)
    assert (check.name, check.status, str(check.trouble)) == ("workers", "warn", "RH-764")
    without_keys.keys = {"AWS_EC2_METADATA_DISABLED": "true"}
    without_keys.start_worker()
    asyncio.run(_wait_for_workers(settings_of(migration, object_store, without_keys)))
    found = look_at_cluster(settings_of(migration, object_store, without_keys), tries=True)
    reach = [check for check in found if check.name == "reach"]
    assert [(check.status, str(check.trouble)) for check in reach] == [("warn", "RH-204")] * 2
    assert refusals(found) == []
    assert look_at_cluster(settings_of(migration, object_store, None), tries=True) == []


async def _wait_for_workers(settings: Settings) -> None:
    assert settings.cluster is not None
    async with connected(settings.cluster):
        pass
