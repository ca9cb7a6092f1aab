"""Migrations whose cluster is there only for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT, Played, World, Worlds
from tests.e2e.ecs import Ecs, running_ecs
from tests.e2e.modules import OF_AWS, play_forked
from tests.integration.fleet.cluster import exported

pytestmark = pytest.mark.e2e

OBJECTS = 2_100
"""More than one shard."""
SCALED_TO_NOTHING = {"rehome-test-scheduler": 0, "rehome-test-mover": 0}


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> World:
    return worlds.of("sqlite")


@pytest.fixture
def keys(world: World) -> dict[str, str]:
    """Those of the operator, and those that the movers' role gives."""
    migrate = world.record["s3"]["users"]["migrate"]
    return exported(migrate["access_key"], migrate["secret_key"])


@pytest.fixture
def ecs(world: World, keys: dict[str, str], tmp_path: Path) -> Iterator[Ecs]:
    """An ECS that the environment names in its variables."""
    (tmp_path / "containers").mkdir()
    store = world.record["s3"]
    service = {"endpoint_url": store["endpoint_url"], "region": store["region"]}
    file = world.folder / "inventory" / "host_vars" / "rehome-sandbox.yml"
    file.parent.mkdir(exist_ok=True)
    with running_ecs(tmp_path / "containers", keys) as made:
        settings = {
            "rehome_source": {"bucket": store["source_bucket"], "prefix": "image/", **service},
            "rehome_target": {"bucket": store["target_bucket"], "prefix": "avatar/", **service},
            "rehome_cluster": {"workers": 2},
            **made.settings,
        }
        file.write_text(yaml.safe_dump(settings))
        yield made
    file.unlink()


def run(
    world: World,
    ecs: Ecs,
    keys: dict[str, str],
    folder: Path,
    *arguments: str,
    started: bool = False,
    **variables: Any,
) -> Played:
    """started: as operators do, and not in forks"""
    given = {"cluster_folder": str(folder / "keys"), "cluster_name": "test", "cluster_wait_s": 60, **variables}
    playbook = "playbooks/migrate_on_cluster.yml"
    if started:
        return world.play(*arguments, playbook=playbook, exported={**ecs.keys, **keys}, **given)
    options = world.arguments(*arguments, playbook=playbook, **given)
    played = play_forked(options, {**os.environ, **ecs.keys, **keys}, OF_AWS)
    world.assert_figures_add_up()
    world.assert_troubles_have_codes()
    return played


def counts(ecs: Ecs) -> dict[str, int]:
    return {name: count for name, (_, count) in ecs.everything()["services"].items()}


def test_a_cluster_is_scaled_up_for_a_migration_and_to_nothing_after_it(
    world: World, ecs: Ecs, keys: dict[str, str], tmp_path: Path
) -> None:
    world.seed(OBJECTS)
    before = world.everything()
    dry = run(world, ecs, keys, tmp_path, "--check")
    assert dry.code == 0, dry.output
    assert world.everything() == before
    assert ecs.everything()["services"] == {}

    played = run(world, ecs, keys, tmp_path, started=True)
    assert played.code == 0, played.output
    assert (world.summary["complete"], world.summary["objects_copied"]) == (True, OBJECTS)
    assert sum(world.summary["movers"].values()) == OBJECTS
    assert len(world.summary["movers"]) == 2
    world.assert_no_row_dangles()
    assert counts(ecs) == SCALED_TO_NOTHING
    assert ecs.running("scheduler") + ecs.running("mover") == []


def test_a_cluster_is_scaled_to_nothing_after_a_migration_that_failed(
    world: World, ecs: Ecs, keys: dict[str, str], tmp_path: Path
) -> None:
    world.seed(10)
    world.query("UPDATE avatars SET path = 'image/avatar-nowhere.png' WHERE id = 1")
    played = run(world, ecs, keys, tmp_path)
    assert played.code != 0
    assert "RH-605" in played.message
    assert ecs.started == 3
    assert counts(ecs) == SCALED_TO_NOTHING
    assert ecs.running("scheduler") + ecs.running("mover") == []
    assert world.objects("production-s3") == {}


def test_a_cluster_that_does_not_come_up_is_scaled_to_nothing(
    world: World, ecs: Ecs, keys: dict[str, str], tmp_path: Path
) -> None:
    world.seed(10)
    ecs.refuses_images = True
    played = run(world, ecs, keys, tmp_path, cluster_wait_s=3)
    assert played.code != 0
    assert "CannotPullContainerError" in played.message
    assert set(counts(ecs).values()) == {0}
    assert world.objects("production-s3") == {}


def test_an_image_with_another_engine_is_refused_before_anything_is_copied(
    world: World, ecs: Ecs, keys: dict[str, str], tmp_path: Path
) -> None:
    world.seed(10)
    ecs.engine = tmp_path / "engine"
    shutil.copytree(ROOT / "module_utils", ecs.engine)
    with (ecs.engine / "rehome" / "fleet" / "mover.py").open("a") as file:
        file.write("# of another checkout\n")
    played = run(world, ecs, keys, tmp_path)
    assert played.code != 0
    assert "RH-763" in played.message
    assert counts(ecs) == SCALED_TO_NOTHING
    assert world.objects("production-s3") == {}


def test_a_cluster_that_cannot_be_scaled_is_refused(
    world: World, ecs: Ecs, keys: dict[str, str], tmp_path: Path
) -> None:
    world.seed(10)
    played = run(world, ecs, keys, tmp_path, cluster_kind="ssh")
    assert played.code != 0
    assert "cluster_kind (ssh): has nothing that could be scaled" in played.message
    assert "RH-103" in played.message
    assert ecs.everything()["services"] == {}
