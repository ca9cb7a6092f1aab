"""The lock file holds for each Python that Rehome runs on."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = "constraints.txt"
PYTHONS = {"3.11": "2.19", "3.12": "2.21", "3.13": "2.21"}
"""A Python → the Ansible that it gets: later releases need Python 3.12."""


def requirements(file: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pinned(file: str, python: str) -> dict[str, str]:
    """Each package that a Python gets, with its version."""
    versions: dict[str, str] = {}
    for requirement in requirements(file):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            (version,) = requirement.specifier
            name = canonicalize_name(requirement.name)
            assert version.operator == "=="
            assert name not in versions, f"{name} has two versions on Python {python}"
            versions[name] = version.version
    return versions


@pytest.mark.parametrize(("python", "ansible"), PYTHONS.items())
def test_each_python_gets_one_version_of_each_package_and_an_ansible_that_it_can_run(python: str, ansible: str) -> None:
    lock = pinned(LOCK, python)
    asked = pinned("requirements.txt", python) | pinned("requirements-dev.txt", python)
    asked |= pinned("requirements-cluster.txt", python) | pinned("requirements-kubernetes.txt", python)
    assert {name: lock.get(name) for name in asked} == asked
    assert asked["ansible-core"].startswith(f"{ansible}.")
    assert pinned("requirements-collections.txt", python).keys() == {"ansible"}


def test_what_is_installed_is_what_the_lock_file_says() -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = pinned(LOCK, python)
    assert {name: importlib.metadata.version(name) for name in wanted} == wanted


@pytest.mark.parametrize("extra", ["requirements-cluster.txt", "requirements-kubernetes.txt"])
def test_what_only_a_cluster_needs_is_left_out_on_a_single_machine_and_installed_for_the_tests(extra: str) -> None:
    assert f"-r {extra}" in (ROOT / "requirements-dev.txt").read_text().splitlines()
    for python in PYTHONS:
        assert not pinned(extra, python).keys() & pinned("requirements.txt", python).keys()


def test_a_mover_gets_the_versions_that_the_controller_has() -> None:
    text = (ROOT / "requirements-mover.txt").read_text()
    assert "-r requirements-cluster.txt" in text.splitlines()
    assert "==" not in text
    for python in PYTHONS:
        assert {requirement.name for requirement in requirements("requirements-mover.txt")} <= pinned(
            LOCK, python
        ).keys()
