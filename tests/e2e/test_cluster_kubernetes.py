"""A cluster of pods of Kubernetes, from nothing and away again."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Played, play_to_end, start_program
from tests.e2e.kubernetes import Kubernetes, running_kubernetes
from tests.e2e.modules import OF_KUBERNETES, play_forked

pytestmark = pytest.mark.e2e

FIRST = {"deployments/rehome-test-mover", "deployments/rehome-test-scheduler"}
ALL = {*FIRST, "secrets/rehome-test", "services/rehome-test"}


@dataclass
class Site:
    """A controller, and a cluster."""

    folder: Path
    kubernetes: Kubernetes

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def play(self, *arguments: str, started: bool = False, **variables: object) -> Played:
        """started: as operators do, and not in forks"""
        given = {"cluster_folder": str(self.keys), "cluster_name": "test", "cluster_wait_s": 60}
        given |= {**self.kubernetes.settings, **variables}
        given = {name: value for name, value in given.items() if value is not None}
        options = ["playbooks/cluster.yml", "-e", json.dumps(given), *arguments]
        # the client keeps what it has found of a server there
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        if not started:
            return play_forked(options, environment, OF_KUBERNETES)
        return play_to_end(start_program("ansible-playbook", *options, folder=ROOT, environment=environment))

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.keys / "cluster.json").read_text())["rehome_cluster"]  # type: ignore[no-any-return]

    def deployment(self, role: str) -> dict[str, Any]:
        found: dict[str, Any] = self.kubernetes.objects["deployments", f"rehome-test-{role}"]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "pods").mkdir()
    with running_kubernetes(tmp_path / "pods", {"AWS_ACCESS_KEY_ID": "of-the-account"}) as kubernetes:
        yield Site(tmp_path, kubernetes)


def test_pods_are_there_after_one_command_and_gone_after_another(site: Site) -> None:
    kubernetes = site.kubernetes
    dry = site.play("--check")
    assert dry.code == 0, dry.output
    assert dry.changed > 0
    assert kubernetes.writes == []
    assert not site.keys.exists()

    up = site.play("--diff", "-v", workers=2, started=True)
    assert up.code == 0, up.output
    assert "PRIVATE KEY" not in up.output
    assert base64.b64encode((site.keys / "member.key").read_bytes()).decode() not in up.output
    assert kubernetes.everything().keys() == ALL
    assert kubernetes.replicas() == {"rehome-test-scheduler": 1, "rehome-test-mover": 2}
    (scheduler,) = kubernetes.running("rehome-test-scheduler")
    assert site.record["address"] == f"tls://{scheduler.ip}:8786"
    assert site.record["workers"] == 2
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in site.keys.iterdir())
    assert_pods_have_no_more_than_they_need(site)
    for pod in [scheduler, *kubernetes.running("rehome-test-mover")]:
        words = Path(f"/proc/{pod.process.pid}/cmdline").read_text().split("\0")
        assert words[words.index("--host") + 1] == pod.ip

    before, started = kubernetes.everything(), kubernetes.started
    again = site.play(workers=2)
    assert (again.code, again.changed) == (0, 0), again.output
    dry = site.play("--check", workers=2)
    assert (dry.code, dry.changed) == (0, 0), dry.output
    assert site.play("--check", workers=3).changed == 1
    assert (kubernetes.everything(), kubernetes.started) == (before, started)

    more = site.play(workers=3)
    assert more.code == 0, more.output
    assert kubernetes.replicas()["rehome-test-mover"] == 3
    assert (kubernetes.started, site.record["workers"]) == (started + 2, 3)  # a pod and its address
    changed = {name for name, generation in kubernetes.everything().items() if generation != before[name]}
    assert changed == {"deployments/rehome-test-mover"}

    assert site.play("--check", state="absent").changed > 0
    assert kubernetes.everything().keys() == ALL
    down = site.play(state="absent")
    assert down.code == 0, down.output
    assert kubernetes.everything() == {}
    assert not site.keys.exists()
    gone = site.play(state="absent")
    assert (gone.code, gone.changed) == (0, 0), gone.output


def test_pods_end_and_come_back(site: Site) -> None:
    kubernetes = site.kubernetes
    assert site.play(workers=2).code == 0
    assert site.play("--check", state="stopped").changed == 1
    assert kubernetes.running("rehome-test-mover")
    stopped = site.play(state="stopped")
    assert stopped.code == 0, stopped.output
    assert set(kubernetes.replicas().values()) == {0}
    assert site.play(state="stopped").changed == 0
    assert site.play(workers=2).code == 0
    assert kubernetes.replicas() == {"rehome-test-scheduler": 1, "rehome-test-mover": 2}


def assert_pods_have_no_more_than_they_need(site: Site) -> None:
    for role in ("scheduler", "mover"):
        spec = site.deployment(role)["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] == ("mover" if role == "mover" else "default")
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "KEY" not in json.dumps(spec)
        assert spec["volumes"][0]["secret"]["defaultMode"] == 0o440
        assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_pods_are_replaced_where_the_keys_are_others_and_take_what_is_asked_for(site: Site) -> None:
    assert site.play(workers=1).code == 0
    (before,) = site.kubernetes.running("rehome-test-mover")
    (site.keys / "member.key").unlink()
    renewed = site.play(
        workers=1,
        cluster_kubernetes_token=True,
        cluster_kubernetes_pull_secrets=["registry", "other"],
        cluster_kubernetes_node_selector={"kubernetes.io/arch": "amd64"},
    )
    assert renewed.code == 0, renewed.output
    (after,) = site.kubernetes.running("rehome-test-mover")
    assert after.process.pid != before.process.pid
    secret = site.kubernetes.objects["secrets", "rehome-test"]["data"]
    assert base64.b64decode(secret["member.pem"]) == (site.keys / "member.pem").read_bytes()
    spec = site.deployment("mover")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is True
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}]
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert site.deployment("scheduler")["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"cluster_image": None, "cluster_kubernetes_namespace": None},
            ["cluster_image: is not set", "cluster_kubernetes_namespace: is not set", "RH-101"],
        ),
        ({"cluster_kubernetes_context": "elsewhere"}, ["cluster_kubernetes_context (elsewhere)", "RH-922"]),
        ({"cluster_kubernetes_namespace": "nowhere"}, ["cluster_kubernetes_namespace (nowhere)", "RH-102"]),
        ({"cluster_kubernetes_kubeconfig": "/nowhere/kubeconfig"}, ["/nowhere/kubeconfig", "RH-922"]),
        ({"cluster_kubernetes_memory": ["much"]}, ["RH-922"]),
        ({"cluster_kubernetes_service": "NodePort"}, ["value of cluster_kubernetes_service must be", "RH-102"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    given: dict[str, Any], told: list[str], site: Site
) -> None:
    played = site.play(**given)
    assert played.code != 0
    for words in told:
        assert words in played.message
    assert site.kubernetes.writes == []
    assert not site.keys.exists()


@pytest.mark.parametrize("right", [("create", "deployments"), ("create", "secrets"), ("list", "deployments")])
def test_a_right_that_is_missing_is_told_before_anything_is_made(right: tuple[str, str], site: Site) -> None:
    site.kubernetes.forbidden.add(right)
    played = site.play()
    assert played.code != 0
    assert f'cannot {right[0]} resource \\"{right[1]}\\"' in played.message or "Forbidden" in played.message
    assert "RH-922" in played.message
    assert site.kubernetes.writes == []
    assert not site.keys.exists()


def test_pods_that_do_not_start_are_told_with_what_kubernetes_says_and_can_be_deleted(site: Site) -> None:
    site.kubernetes.refuses_images = True
    played = site.play(cluster_wait_s=3)
    assert played.code != 0
    assert "ImagePullBackOff: Back-off pulling image registry.invalid/rehome-mover:1" in played.message
    assert "RH-921" in played.message
    assert site.play(state="absent").code == 0
    assert site.kubernetes.everything() == {}


def test_a_controller_without_the_package_is_told_what_to_install(site: Site, tmp_path: Path) -> None:
    # as Python says of a package that is not there
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as of\nfind = of.find_spec\n"
        "of.find_spec = lambda name, *a: None if name == 'kubernetes' else find(name, *a)\n"
    )
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        played = site.play()
    finally:
        del os.environ["PYTHONPATH"]
    assert "has no package kubernetes" in played.message
    assert "requirements-kubernetes.txt" in played.message
    assert "RH-911" in played.message
    assert site.kubernetes.writes == []
