"""Migrations whose cluster is there only for them."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import PLAY_TIMEOUT_S, ROOT, Played, World, Worlds, copied, play_to_end, until_it_copies
from tests.e2e.ecs import Ecs, running_ecs, until
from tests.e2e.kubernetes import Kubernetes, running_kubernetes
from tests.e2e.modules import OF_AWS, OF_KUBERNETES, play_forked
from tests.integration.fleet.cluster import exported

pytestmark = pytest.mark.e2e

OBJECTS = 2_100
"""More than one shard."""
RUNNING: dict[str, Callable[[Path, Mapping[str, str]], AbstractContextManager[Ecs | Kubernetes]]] = {
    "ecs": running_ecs,
    "kubernetes": running_kubernetes,
}
SCALED_TO_NOTHING = {"rehome-test-scheduler": 0, "rehome-test-mover": 0}


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> World:
    return worlds.of("sqlite")


@pytest.fixture
def keys(world: World) -> dict[str, str]:
    """Those of the operator, and those that the movers' role gives."""
    migrate = world.record["s3"]["users"]["migrate"]
    return exported(migrate["access_key"], migrate["secret_key"])


@pytest.fixture(params=["ecs", "kubernetes"])
def service(
    world: World, keys: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Ecs | Kubernetes]:
    """A service of each kind, which the environment names in its variables."""
    (tmp_path / "containers").mkdir()
    store = world.record["s3"]
    endpoint = {"endpoint_url": store["endpoint_url"], "region": store["region"]}
    file = world.folder / "inventory" / "host_vars" / "rehome-sandbox.yml"
    file.parent.mkdir(exist_ok=True)
    with RUNNING[request.param](tmp_path / "containers", keys) as made:
        settings = {
            "rehome_source": {"bucket": store["source_bucket"], "prefix": "image/", **endpoint},
            "rehome_target": {"bucket": store["target_bucket"], "prefix": "avatar/", **endpoint},
            "rehome_cluster": {"workers": 2},
            **made.settings,
        }
        file.write_text(yaml.safe_dump(settings))
        yield made
    file.unlink()


@pytest.fixture
def how(service: Ecs | Kubernetes, keys: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """How the playbook is run."""
    # the client of Kubernetes keeps what it has found of a server in TMPDIR
    operator = service.keys if isinstance(service, Ecs) else {"TMPDIR": str(tmp_path)}
    of_cluster = {"cluster_folder": str(tmp_path / "keys"), "cluster_name": "test", "cluster_wait_s": 60}
    return {"playbook": "playbooks/migrate_on_cluster.yml", "exported": {**operator, **keys}, **of_cluster}


def run(
    world: World, service: Ecs | Kubernetes, how: dict[str, Any], *arguments: str, started: bool = False, **others: Any
) -> Played:
    """started: as operators do, and not in forks"""
    given = how | others
    if started:
        return world.play(*arguments, **given)
    environment = {**os.environ, **given.pop("exported")}
    modules = OF_AWS if isinstance(service, Ecs) else OF_KUBERNETES
    played = play_forked(world.arguments(*arguments, **given), environment, modules)
    world.assert_figures_add_up()
    world.assert_troubles_have_codes()
    return played


def counts(service: Ecs | Kubernetes) -> dict[str, int]:
    if isinstance(service, Kubernetes):
        return service.replicas()
    return {name: count for name, (_, count) in service.everything()["services"].items()}


def assert_nothing_runs(service: Ecs | Kubernetes) -> None:
    assert counts(service) == SCALED_TO_NOTHING
    until(lambda: not (service.pods if isinstance(service, Kubernetes) else service.containers), "something runs")


def test_a_cluster_is_scaled_up_for_a_migration_and_to_nothing_after_it(
    world: World, service: Ecs | Kubernetes, how: dict[str, Any]
) -> None:
    world.seed(OBJECTS)
    before = world.everything()
    dry = run(world, service, how, "--check")
    assert dry.code == 0, dry.output
    assert world.everything() == before
    assert counts(service) == {}

    played = run(world, service, how, started=True)
    assert played.code == 0, played.output
    assert (world.summary["complete"], world.summary["objects_copied"]) == (True, OBJECTS)
    assert sum(world.summary["movers"].values()) == OBJECTS
    assert len(world.summary["movers"]) == 2
    world.assert_no_row_dangles()
    assert_nothing_runs(service)


def test_a_cluster_is_scaled_to_nothing_after_a_migration_that_failed(
    world: World, service: Ecs | Kubernetes, how: dict[str, Any]
) -> None:
    world.seed(10)
    world.query("UPDATE avatars SET path = 'image/avatar-nowhere.png' WHERE id = 1")
    played = run(world, service, how)
    assert played.code != 0
    assert "RH-605" in played.message
    assert service.started >= 3
    assert_nothing_runs(service)
    assert world.objects("production-s3") == {}


def test_a_cluster_that_does_not_come_up_is_scaled_to_nothing(
    world: World, service: Ecs | Kubernetes, how: dict[str, Any]
) -> None:
    world.seed(10)
    service.refuses_images = True
    played = run(world, service, how, cluster_wait_s=3)
    assert played.code != 0
    assert "CannotPullContainerError" in played.message or "ImagePullBackOff" in played.message
    assert set(counts(service).values()) == {0}
    assert world.objects("production-s3") == {}


@pytest.mark.usefixtures("signals_of_a_shell")
@pytest.mark.parametrize("service", ["kubernetes"], indirect=True)
def test_a_migration_that_is_interrupted_scales_nothing_and_one_command_does(
    world: World, service: Ecs | Kubernetes, how: dict[str, Any]
) -> None:
    """Ansible ends without its `always` block, as the docs say."""
    world.seed(400)
    started = world.start(**how, rehome_objects_per_second=10)
    until_it_copies(world, PLAY_TIMEOUT_S)
    os.killpg(started.pid, signal.SIGINT)
    stopped = play_to_end(started)
    assert stopped.code != 0
    assert stopped.output.count("interrupted: migrate_on_cluster was stopped in 'copy' at ") == 1, stopped.output
    assert copied(world) < 200
    world.assert_no_row_dangles()
    assert counts(service) == {"rehome-test-scheduler": 1, "rehome-test-mover": 2}
    down = run(world, service, how, playbook="playbooks/cluster.yml", state="stopped")
    assert down.code == 0, down.output
    assert_nothing_runs(service)


@pytest.mark.parametrize("service", ["ecs"], indirect=True)
def test_an_image_with_another_engine_is_refused_before_anything_is_copied(
    world: World, service: Ecs, how: dict[str, Any], tmp_path: Path
) -> None:
    world.seed(10)
    service.engine = tmp_path / "engine"
    shutil.copytree(ROOT / "module_utils", service.engine)
    with (service.engine / "rehome" / "fleet" / "mover.py").open("a") as file:
        file.write("# of another checkout\n")
    played = run(world, service, how)
    assert played.code != 0
    assert "RH-763" in played.message
    assert counts(service) == SCALED_TO_NOTHING
    assert world.objects("production-s3") == {}


@pytest.mark.parametrize("service", ["ecs"], indirect=True)
def test_a_cluster_that_cannot_be_scaled_is_refused(
    world: World, service: Ecs | Kubernetes, how: dict[str, Any]
) -> None:
    world.seed(10)
    played = run(world, service, how, cluster_kind="ssh")
    assert played.code != 0
    assert "cluster_kind (ssh): has nothing that could be scaled" in played.message
    assert "RH-103" in played.message
    assert counts(service) == {}
