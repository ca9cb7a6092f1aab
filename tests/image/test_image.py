"""The images, in containers that may do no more than the Deployment of movers allows: what `make image` tries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT, World, Worlds
from tests.e2e.kubernetes import running_kubernetes
from tests.image.built import Builder, Image, bound
from tests.integration.fleet.cluster import exported

pytestmark = pytest.mark.timeout(1200)  # packages are fetched, and layers copied

OBJECTS = 2_100
"""More than one shard."""
NOBODY = 12345


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    builder = Builder(tmp_path_factory.mktemp("images"))
    try:
        builder.base()
        yield builder
    finally:
        builder.remove()


@pytest.fixture(scope="module")
def mover(builder: Builder) -> Image:
    return builder.image("Containerfile.mover")


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> World:
    return worlds.of("sqlite")


def test_a_mover_without_a_command_says_what_a_worker_takes(mover: Image) -> None:
    told = mover.run("mover")
    assert told.code == 0, told.output
    assert "Usage: python -m dask worker" in told.output


def test_pods_of_the_image_copy_a_migration(world: World, mover: Image, tmp_path: Path) -> None:
    migrate, store = world.record["s3"]["users"]["migrate"], world.record["s3"]
    keys = exported(migrate["access_key"], migrate["secret_key"])
    service = {"endpoint_url": store["endpoint_url"], "region": store["region"]}
    world.seed(OBJECTS)
    file = world.folder / "inventory" / "host_vars" / "rehome-sandbox.yml"
    file.parent.mkdir(exist_ok=True)
    (tmp_path / "pods").mkdir()
    with running_kubernetes(tmp_path / "pods", keys, mover.start) as kubernetes:
        settings = {
            "rehome_source": {"bucket": store["source_bucket"], "prefix": "image/", **service},
            "rehome_target": {"bucket": store["target_bucket"], "prefix": "avatar/", **service},
            "rehome_cluster": {"workers": 2},
            "cluster_folder": str(tmp_path / "keys"),
            "cluster_name": "test",
            "cluster_wait_s": 60,
            **kubernetes.settings,
        }
        file.write_text(yaml.safe_dump(settings))
        try:
            played = world.play(playbook="playbooks/migrate_on_cluster.yml", exported=keys)
        finally:
            file.unlink()
        logs = "".join(log.read_text() for log in (tmp_path / "pods").glob("*.log"))
        assert played.code == 0, played.output + logs
        assert (world.summary["complete"], world.summary["objects_copied"]) == (True, OBJECTS)
        assert (len(world.summary["movers"]), sum(world.summary["movers"].values())) == (2, OBJECTS)
        world.assert_no_row_dangles()
        assert set(kubernetes.replicas().values()) == {0}


def test_the_execution_environment_migrates_as_a_user_without_a_name_from_a_project_that_is_only_read(
    world: World, builder: Builder
) -> None:
    image = builder.image("Containerfile")
    world.seed(OBJECTS)
    for path in [world.folder, *world.folder.rglob("*")]:
        os.chown(path, NOBODY, -1, follow_symlinks=False)
    mounts = [bound(ROOT, str(ROOT)), bound(world.folder, str(world.folder), "rw")]
    command = ["env", "-C", str(ROOT), "HOME=/", "ansible-playbook", *world.arguments()]
    played = image.run("controller", *command, user=NOBODY, mounts=mounts)
    assert played.code == 0, played.output
    assert (world.summary["complete"], world.summary["objects_copied"]) == (True, OBJECTS)
    world.assert_no_row_dangles()
