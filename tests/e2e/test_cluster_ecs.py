"""A cluster of tasks of Amazon ECS, from nothing and away again."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError
from moto.secretsmanager.models import SecretsManagerBackend

from tests.e2e.conftest import ROOT, Played, play_to_end, start_program
from tests.e2e.ecs import Ecs, running_ecs, until
from tests.e2e.modules import OF_AWS, play_forked

pytestmark = pytest.mark.e2e

NOTHING: dict[str, Any] = {"services": {}, "definitions": [], "secrets": []}


@dataclass
class Site:
    """A controller, and an account at AWS."""

    folder: Path
    ecs: Ecs

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def play(
        self, *arguments: str, exported: dict[str, str] | None = None, started: bool = False, **variables: object
    ) -> Played:
        """started: as operators do, and not in forks"""
        given = {"cluster_folder": str(self.keys), "cluster_name": "test", "cluster_wait_s": 60}
        given |= {**self.ecs.settings, **variables}
        given = {name: value for name, value in given.items() if value is not None}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= self.ecs.keys | (exported or {})
        environment = {name: value for name, value in environment.items() if value}
        options = ["playbooks/cluster.yml", "-e", json.dumps(given), *arguments]
        if not started:
            return play_forked(options, environment, OF_AWS)
        return play_to_end(start_program("ansible-playbook", *options, folder=ROOT, environment=environment))

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.keys / "cluster.json").read_text())["rehome_cluster"]  # type: ignore[no-any-return]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "containers").mkdir()
    with running_ecs(tmp_path / "containers", {"AWS_ACCESS_KEY_ID": "of-the-role"}) as ecs:
        yield Site(tmp_path, ecs)


def test_tasks_are_there_after_one_command_and_gone_after_another(site: Site) -> None:
    dry = site.play("--check")
    assert dry.code == 0, dry.output
    assert dry.changed > 0
    assert site.ecs.everything() == NOTHING
    assert not site.keys.exists()

    up = site.play("--diff", "-v", workers=2, started=True)
    assert up.code == 0, up.output
    assert "PRIVATE KEY" not in up.output
    first = {"rehome-test-scheduler": ("rehome-test-scheduler:1", 1), "rehome-test-mover": ("rehome-test-mover:1", 2)}
    assert site.ecs.everything() == {
        "services": first,
        "definitions": ["rehome-test-mover:1", "rehome-test-scheduler:1"],
        "secrets": ["rehome-test"],
    }
    (scheduler,) = site.ecs.running("scheduler")
    assert site.record["address"] == f"tls://{scheduler.ip}:8786"
    assert site.record["workers"] == 2
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in site.keys.iterdir())
    assert_the_definitions_have_no_secret(site)
    assert_the_containers_keep_their_keys(site)

    started = site.ecs.started
    again = site.play(workers=2)
    assert (again.code, again.changed) == (0, 0), again.output
    dry = site.play("--check", workers=2)
    assert (dry.code, dry.changed) == (0, 0), dry.output
    assert site.play("--check", workers=3).changed == 1
    assert site.ecs.started == started

    more = site.play(workers=3)
    assert more.code == 0, more.output
    assert site.ecs.everything()["services"] == first | {"rehome-test-mover": ("rehome-test-mover:1", 3)}
    assert (site.ecs.started, site.record["workers"]) == (started + 1, 3)

    assert site.play("--check", state="absent").changed > 0
    assert site.ecs.running("mover")
    down = site.play(state="absent")
    assert down.code == 0, down.output
    assert site.ecs.everything() == NOTHING
    assert site.ecs.running("scheduler") + site.ecs.running("mover") == []
    assert not site.keys.exists()
    gone = site.play(state="absent")
    assert (gone.code, gone.changed) == (0, 0), gone.output


def test_tasks_end_and_come_back_and_are_not_forgotten_for_another_kind(site: Site) -> None:
    assert site.play(workers=1).code == 0
    first = site.ecs.everything()["services"]
    other = site.play(cluster_kind="ssh", state="absent")
    assert "was started with cluster_kind=ecs" in other.message
    assert "RH-103" in other.message
    assert site.keys.exists()

    assert site.play("--check", state="stopped").changed == 1
    assert site.ecs.running("mover")
    stopped = site.play(state="stopped")
    assert stopped.code == 0, stopped.output
    assert site.ecs.everything()["services"] == {name: (task, 0) for name, (task, _) in first.items()}
    assert site.ecs.running("scheduler") + site.ecs.running("mover") == []
    assert site.play(state="stopped").changed == 0
    dry = site.play("--check", workers=1)
    assert (dry.code, dry.changed) == (0, 3), dry.output  # the workers' definition has another address
    woken = site.play(workers=1)
    assert woken.code == 0, woken.output
    assert site.record["address"] == f"tls://{site.ecs.running('scheduler')[0].ip}:8786"


def assert_the_definitions_have_no_secret(site: Site) -> None:
    """Only the workers have the role that reaches the buckets, and the keys are named and not told."""
    client = site.ecs.client("ecs")
    for role in ("scheduler", "mover"):
        found = client.describe_task_definition(taskDefinition=f"rehome-test-{role}")["taskDefinition"]
        assert "BEGIN" not in json.dumps(found, default=str)
        assert found.get("taskRoleArn", "") == (site.ecs.roles["mover"] if role == "mover" else "")
        assert found["networkMode"] == "awsvpc"
        assert (found["cpu"], found["memory"]) == ("1024", "2048")


def assert_the_containers_keep_their_keys(site: Site) -> None:
    """The processes that copy have files that only they read, and no variable."""
    for container in site.ecs.running("scheduler") + site.ecs.running("mover"):
        process = Path(f"/proc/{container.process.pid}")
        assert b"PRIVATE KEY" not in (process / "environ").read_bytes()
        words = (process / "cmdline").read_text().split("\0")
        assert "PRIVATE KEY" not in " ".join(words)
        assert words[words.index("--host") + 1] == container.ip
        key = Path(words[words.index("--tls-key") + 1])
        assert "PRIVATE KEY" in key.read_text()
        assert (stat.S_IMODE(key.stat().st_mode), stat.S_IMODE(key.parent.stat().st_mode)) == (0o600, 0o700)


def test_tasks_are_replaced_where_keys_image_or_scheduler_are_others(site: Site) -> None:
    assert site.play(workers=1).code == 0
    before = [container.ip for container in site.ecs.running("scheduler") + site.ecs.running("mover")]
    keys = (site.keys / "member.pem").read_bytes()

    # nearly over: renewed
    (site.keys / "member.key").unlink()
    renewed = site.play(workers=1)
    assert renewed.code == 0, renewed.output
    assert (site.keys / "member.pem").read_bytes() != keys
    assert (
        json.loads(site.ecs.secret("rehome-test"))["cert"].encode() == (site.keys / "member.pem").read_bytes().strip()
    )
    after = [container.ip for container in site.ecs.running("scheduler") + site.ecs.running("mover")]
    assert not set(before) & set(after)
    assert site.play(workers=1).changed == 0

    # ECS has replaced the scheduler's task, which has another address now
    (scheduler,) = site.ecs.running("scheduler")
    scheduler.process.kill()
    until(lambda: [one.ip for one in site.ecs.running("scheduler")] not in ([], [scheduler.ip]), "no new scheduler")
    mended = site.play(workers=1)
    assert mended.code == 0, mended.output
    assert site.record["address"] == f"tls://{site.ecs.running('scheduler')[0].ip}:8786"

    larger = site.play(workers=1, cluster_ecs_memory=4096)
    assert larger.code == 0, larger.output
    found = site.ecs.client("ecs").describe_task_definition(taskDefinition="rehome-test-mover")["taskDefinition"]
    assert found["memory"] == "4096"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cluster_image": None}, ["cluster_image: is not set", "Containerfile.mover", "RH-101"]),
        (
            {"cluster_ecs_subnets": None, "cluster_ecs_task_role": ""},
            ["cluster_ecs_subnets: is not set", "cluster_ecs_task_role: is not set", "RH-101"],
        ),
        (
            {"cluster_ecs_cluster": "elsewhere"},
            [
                "cluster_ecs_cluster (elsewhere): there is no such ECS cluster in eu-west-1",
                "there are copies",
                "RH-102",
            ],
        ),
        ({"cluster_ecs_subnets": ["subnet-0123abcd"]}, ["cluster_ecs_subnets (subnet-0123abcd)", "RH-102"]),
        ({"cluster_ecs_security_groups": ["sg-0123abcd"]}, ["cluster_ecs_security_groups (sg-0123abcd)", "RH-102"]),
        ({"cluster_ecs_task_role": "nobody"}, ["cluster_ecs_task_role (nobody): there is no such role", "RH-102"]),
        ({"cluster_ecs_cpu": "lots"}, ["argument 'cluster_ecs_cpu' is of type str", "RH-102"]),
        ({"workers": 0}, ["workers (0)", "RH-102"]),
        ({"cluster_kind": "ssh", "state": "stopped"}, ["state (stopped)", "state=absent", "RH-103"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    given: dict[str, Any], told: list[str], site: Site
) -> None:
    played = site.play(**given)
    assert played.code != 0
    assert played.errors == 1, played.output
    for words in told:
        assert words in played.message
    assert site.ecs.everything() == NOTHING
    assert not site.keys.exists()


def test_a_region_that_nobody_named_and_a_profile_that_is_not_there_are_refused(site: Site, tmp_path: Path) -> None:
    nowhere = {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_REGION": ""}
    played = site.play(exported=nowhere)
    assert "Set cluster_ecs_region" in played.message
    assert "RH-922" in played.message
    played = site.play(cluster_ecs_profile="nobody")
    assert "nobody" in played.message
    assert "cluster_ecs_profile" in played.message
    assert site.ecs.everything() == NOTHING


def test_tasks_that_do_not_start_are_told_with_what_ecs_says_and_can_be_deleted(site: Site) -> None:
    site.ecs.refuses_images = True
    played = site.play(cluster_wait_s=3)
    assert played.code != 0
    assert "CannotPullContainerError" in played.message
    assert "RH-921" in played.message
    assert site.play(state="absent", cluster_wait_s=20).code == 0
    assert site.ecs.everything() == NOTHING
    assert not site.keys.exists()


def test_a_right_that_is_missing_half_way_is_told_and_what_was_made_can_be_deleted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise JsonRESTError("AccessDeniedException", "operator may not make secrets")

    with monkeypatch.context() as patch:
        patch.setattr(SecretsManagerBackend, "create_secret", deny)
        played = site.play()
    assert played.code != 0
    assert "Hand the keys of a member to the tasks" in played.message
    assert "operator may not make secrets" in played.message
    assert "state=absent (make cluster-down) deletes all of it" in played.message
    assert "RH-922" in played.message
    assert "PRIVATE KEY" not in played.output
    assert site.ecs.everything() == NOTHING
    assert site.play(state="absent").code == 0
    assert not site.keys.exists()
