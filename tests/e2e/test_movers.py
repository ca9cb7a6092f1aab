"""The playbooks with a cluster: as without one, and each mover's share is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import World, Worlds
from tests.integration.fleet.cluster import FleetOfTest, exported, running_fleet

OBJECTS = 2_150
"""More than one shard."""
COMPARED = 40
"""Of them, so many are in the target already, with ETags that say nothing."""
SAMPLED = 30


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> World:
    return worlds.of("sqlite")


@pytest.fixture(scope="module")
def keys(world: World) -> dict[str, str]:
    migrate = world.record["s3"]["users"]["migrate"]
    return exported(migrate["access_key"], migrate["secret_key"])


@pytest.fixture(scope="module")
def fleet(world: World, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOfTest]:
    with running_fleet(tmp_path_factory.mktemp("fleet"), keys) as made:
        yield made


def settings_of(world: World, fleet: FleetOfTest) -> dict[str, Any]:
    """The settings that leave the keys to each machine."""
    store = world.record["s3"]
    service = {"endpoint_url": store["endpoint_url"], "region": store["region"]}
    return {
        "rehome_source": {"bucket": store["source_bucket"], "prefix": "image/", **service},
        "rehome_target": {"bucket": store["target_bucket"], "prefix": "avatar/", **service},
        "rehome_cluster": fleet.settings(workers=2),
    }


def put_in_parts(world: World, count: int) -> None:
    """Store some of the source's objects in the target as another program has uploaded them."""
    s3 = world.sandbox.store.client()
    for key in sorted(world.objects("legacy-s3"))[:count]:
        body = s3.get_object(Bucket="legacy-s3", Key=key)["Body"].read()
        where = {"Bucket": "production-s3", "Key": key.replace("image/", "avatar/")}
        upload = {**where, "UploadId": s3.create_multipart_upload(**where)["UploadId"]}
        part = s3.upload_part(**upload, PartNumber=1, Body=body)
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})


def test_a_migration_by_movers_is_complete_and_can_be_taken_back(
    world: World, fleet: FleetOfTest, keys: dict[str, str]
) -> None:
    world.seed(OBJECTS)
    put_in_parts(world, COMPARED)
    rows = world.rows()
    settings = settings_of(world, fleet) | {"rehome_verify_sample": SAMPLED}
    played = world.play(exported=keys, **settings)
    assert played.code == 0, played.output
    summary = world.summary
    assert (summary["complete"], summary["objects_copied"]) == (True, OBJECTS - COMPARED)
    assert (summary["objects_present"], summary["objects_sampled"]) == (COMPARED, SAMPLED)
    assert (summary["objects_conflict"], summary["objects_differing"]) == (0, 0)
    assert sum(summary["movers"].values()) == OBJECTS - COMPARED
    assert set(summary["movers"]) == {"mover-0", "mover-1"}
    assert f"{OBJECTS - COMPARED:,} objects copied" in played.output
    assert "by 2 movers" in played.output
    world.assert_no_row_dangles()
    again = world.play(exported=keys, **settings)
    assert (again.code, again.changed) == (0, 0), again.output
    deleter = world.record["s3"]["users"]["retire"]
    back = world.play(
        playbook="playbooks/rollback.yml",
        exported=exported(deleter["access_key"], deleter["secret_key"]),
        rehome_rollback_copies="remove",
        rehome_confirm=world.record["s3"]["target_bucket"],
        **settings,
    )
    assert back.code == 0, back.output
    assert world.rows() == rows
    assert len(world.objects("production-s3")) == COMPARED, "which were there before"
    report = (world.state / "report.md").read_text() if (world.state / "report.md").exists() else ""
    assert keys["AWS_SECRET_ACCESS_KEY"] not in played.output + back.output + report + json.dumps(summary)


def test_a_run_waits_once_for_a_worker_that_does_not_come(
    world: World, fleet: FleetOfTest, keys: dict[str, str]
) -> None:
    world.seed(10)
    wait_s = 15.0
    settings = settings_of(world, fleet) | {"rehome_cluster": fleet.settings(workers=3, wait_s=wait_s)}
    played = world.play(exported=keys, **settings, rehome_verify_sample=4)
    assert played.code == 0, played.output
    assert "2 of 3 workers are at" in played.output
    stages = json.loads((world.state / "report.json").read_text())["stages"]
    # those that connect: a pass has a plan and a copy, and the verification reads its sample
    took_s = {stage["stage"]: stage["seconds"] for stage in stages if stage["stage"] in ("copy", "verify")}
    assert len(took_s) == 2
    assert max(took_s.values()) < wait_s, took_s


@pytest.fixture
def movers(world: World) -> Iterator[None]:
    """A group of the inventory whose hosts are the movers."""
    file = world.folder / "inventory" / "movers.yml"
    file.write_text(yaml.safe_dump({"movers": {"hosts": {"mover-0": None, "mover-1": None}}}))
    yield
    file.unlink()


@pytest.mark.usefixtures("movers")
def test_the_cluster_on_a_groups_hosts_is_found_by_what_was_recorded_of_it(
    world: World, fleet: FleetOfTest, keys: dict[str, str], tmp_path: Path
) -> None:
    world.seed(10)
    record = tmp_path / "cluster.json"
    recorded = {"rehome_cluster": fleet.settings(workers=2), "cluster_members": ["mover-0/1", "mover-1/1"]}
    record.write_text(json.dumps(recorded))
    settings = settings_of(world, fleet) | {"rehome_cluster": {"hosts": "movers", "record": str(record)}}
    played = world.play(exported=keys, **settings)
    assert played.code == 0, played.output
    assert sum(world.summary["movers"].values()) == 10


@pytest.mark.usefixtures("movers")
def test_a_group_without_a_cluster_is_told_before_anything_is_copied_and_to_no_verb_that_copies_nothing(
    world: World, fleet: FleetOfTest, keys: dict[str, str]
) -> None:
    world.seed(10)
    before = world.everything()
    settings = settings_of(world, fleet) | {"rehome_cluster": {"hosts": "movers"}, "cluster_name": "never-started"}
    for playbook in ("migrate.yml", "playbooks/preflight.yml"):
        played = world.play(playbook=playbook, exported=keys, **settings)
        assert played.code != 0
        assert "rehome_cluster.hosts (movers): no cluster was started there from this controller" in played.message
        assert "make cluster-up ENV=sandbox" in played.message
        assert "or leave rehome_cluster unset to work with this machine alone" in played.message
    assert world.everything() == before
    plan = world.play(playbook="playbooks/plan.yml", exported=keys, **settings)
    assert plan.code == 0, plan.output


def test_a_group_that_is_none_is_told_to_every_verb(world: World, fleet: FleetOfTest, keys: dict[str, str]) -> None:
    settings = settings_of(world, fleet) | {"rehome_cluster": {"hosts": "movres"}}
    played = world.play(playbook="playbooks/plan.yml", exported=keys, **settings)
    assert played.code != 0
    assert "rehome_cluster.hosts (movres): the inventory has no such group, or it has no hosts." in played.message


def test_keys_in_the_settings_are_refused_together_with_a_cluster(
    world: World, fleet: FleetOfTest, keys: dict[str, str]
) -> None:
    world.seed(10)
    before = world.everything()
    played = world.play(rehome_cluster=fleet.settings())
    assert played.code != 0
    assert "rehome_source.access_key: is set together with rehome_cluster" in played.message
    assert world.everything() == before


def test_a_cluster_that_is_not_there_is_told_by_the_preflight(
    world: World, fleet: FleetOfTest, keys: dict[str, str]
) -> None:
    world.seed(10)
    before = world.everything()
    settings = settings_of(world, fleet)
    settings["rehome_cluster"]["address"] = "tls://127.0.0.1:1"
    played = world.play(exported=keys, **settings)
    assert played.code != 0
    assert "rehome_cluster.address (tls://127.0.0.1:1): cannot be reached" in played.message
    assert "RH-761" in played.message
    assert world.everything() == before


def test_a_verification_asks_the_cluster_only_if_there_is_something_to_read(
    world: World, fleet: FleetOfTest, keys: dict[str, str]
) -> None:
    world.seed(10)
    settings = settings_of(world, fleet)
    assert world.play(exported=keys, **settings).code == 0
    verify = {"playbook": "playbooks/verify.yml", "exported": keys}
    sampled = world.play(**verify, **settings, rehome_verify_sample=4)
    assert (sampled.code, world.summary["objects_sampled"]) == (0, 4), sampled.output
    settings["rehome_cluster"]["address"] = "tls://127.0.0.1:1"
    told = "rehome_cluster.address (tls://127.0.0.1:1): cannot be reached"
    nothing = world.play(**verify, **settings)
    assert (nothing.code, world.summary["complete"]) == (0, True), nothing.output
    assert told in nothing.output and "The run ends where it needs workers" in nothing.output
    refused = world.play(**verify, **settings, rehome_verify_sample=4)
    assert refused.code != 0
    assert told in refused.message and "RH-761" in refused.message
