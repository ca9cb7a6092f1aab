"""What builds the image: ansible-builder renders its definition, and no version is written twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import dask.config
import pytest
import yaml

from tests.unit.cluster.programs import load
from tests.unit.test_requirements import PYTHONS, pinned

ROOT = Path(__file__).parents[2]
DEFINITION = ROOT / "execution-environment.yml"
CONTAINERFILE = ROOT / "Containerfile"
OF_MOVERS = ROOT / "Containerfile.mover"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `ansible-builder create` makes."""
    folder = tmp_path_factory.mktemp("context")
    command = [Path(sys.executable).parent / "ansible-builder", "create", "-f", DEFINITION, "-c", folder]
    command += ["--output-filename", "Containerfile"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def instructions(file: Path) -> list[str]:
    """The instructions of a Containerfile, each on one line, without comments."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE)
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def exported(lines: list[str]) -> dict[str, str]:
    """What the instructions ENV say."""
    pairs = [pair for line in lines if line.startswith("ENV ") for pair in line.split()[1:]]
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements.yml", "configs/constraints.txt"])
def test_the_rendered_context_has_the_projects_own_files(context: Path, name: str) -> None:
    assert (context / "_build" / name).read_bytes() == (ROOT / Path(name).name).read_bytes()


def test_the_constraints_hold_for_all_that_the_rendered_image_installs(context: Path) -> None:
    lines = instructions(context / "Containerfile")
    first = next(number for number, line in enumerate(lines) if line.startswith("RUN ") and "pip" in line)
    before = lines[:first]
    assert "COPY _build/configs/constraints.txt /etc/rehome/constraints.txt" in before
    assert exported(before)["PIP_CONSTRAINT"] == "/etc/rehome/constraints.txt"
    # each stage but the first comes from the first, with what that exports
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert bases == ["$EE_BASE_IMAGE", *["base"] * (len(bases) - 1)]


def test_what_is_downloaded_can_be_of_a_mirror(context: Path) -> None:
    """A builder ignores an argument in a stage that does not name it; what is exported, later stages have as well."""
    rendered, plain = ("\n".join(instructions(file)) for file in (context / "Containerfile", CONTAINERFILE))
    base, galaxy, *_ = rendered.split("\nFROM ")[1:]
    assert (
        "\nARG PIP_INDEX_URL=https://pypi.org/simple\nENV PIP_INDEX_URL=$PIP_INDEX_URL\n" in base.partition(" pip ")[0]
    )
    assert "\nARG ANSIBLE_GALAXY_SERVER=https://galaxy.ansible.com/\n" in galaxy.partition("RUN ansible-galaxy")[0]
    assert "\nARG PIP_INDEX_URL\n" in plain.partition(" pip ")[0].partition("\nFROM ")[2]


def test_a_build_ends_with_an_error_where_the_engine_could_not_start(context: Path) -> None:
    """What is imported is what the engine imports of the packages that are compiled, and a time zone is found."""
    packages = {"duckdb", "httptools", "psycopg", "pymysql", "uvloop", "zoneinfo"}
    for file in (context / "Containerfile", CONTAINERFILE):
        checks = [line for line in instructions(file) if line.startswith("RUN ") and " -c " in line]
        (program,) = (re.findall(r'-c "(.*)"$', check)[0] for check in checks)
        assert set(re.findall(r"import ([\w, ]+);", program)[0].split(", ")) == packages
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
        assert any(line.endswith("pip check") for line in instructions(file))


def test_both_images_can_be_run_by_any_user(context: Path) -> None:
    for file in (context / "Containerfile", CONTAINERFILE):
        lines = instructions(file)
        assert exported(lines).items() >= {"ANSIBLE_HOME": "/tmp/.ansible", "LANG": "C.UTF-8"}.items()  # noqa: S108
        assert lines[-1].startswith("CMD ")
        assert [line for line in lines if line.startswith("USER ")][-1] == "USER 1000"


@pytest.mark.parametrize("file", [DEFINITION, CONTAINERFILE, OF_MOVERS], ids=lambda file: file.name)
def test_no_version_of_a_package_is_written_twice(file: Path) -> None:
    text = re.sub(r"#.*", "", file.read_text())
    assert re.findall(r"[=<>~!]=\s*\d[\w.]*", text) == []
    assert set(re.findall(r"[\w./-]+:\d[\w.-]*", text)) == {image(file)}


def image(file: Path) -> str:
    """The base image, whose version is written there alone."""
    if file == DEFINITION:
        name: str = yaml.safe_load(file.read_text())["images"]["base_image"]["name"]
        return name
    return next(line.removeprefix("ARG BASE=") for line in instructions(file) if line.startswith("ARG BASE="))


def test_what_is_named_without_a_version_is_in_the_constraints() -> None:
    wanted = yaml.safe_load(DEFINITION.read_text())["dependencies"]
    for python in PYTHONS:
        lock = pinned("constraints.txt", python)
        named = {wanted["ansible_core"]["package_pip"], wanted["ansible_runner"]["package_pip"]}
        assert named | pinned("requirements.txt", python).keys() <= lock.keys()


def test_both_images_have_a_python_that_is_tested() -> None:
    pythons = yaml.safe_load(DEFINITION.read_text())["dependencies"]["python_interpreter"]
    assert pythons["package_system"].removeprefix("python") in PYTHONS
    assert pythons["python_path"] == f"/usr/bin/{pythons['package_system']}"
    for file in (CONTAINERFILE, OF_MOVERS):
        assert re.findall(r"/python:(\d+\.\d+)", image(file))[0] in PYTHONS


def copied(file: Path) -> set[str]:
    return {name for line in instructions(file) if line.startswith("COPY ") for name in line.split()[1:-1]}


def test_the_plain_images_are_made_of_what_is_there_and_of_nothing_else() -> None:
    assert copied(CONTAINERFILE) == {"constraints.txt", "requirements.txt", "requirements-collections.txt"}
    lists = {"constraints.txt", "requirements-cluster.txt", "requirements-mover.txt"}
    assert copied(OF_MOVERS) == {*lists, "module_utils/rehome"}
    both = copied(CONTAINERFILE) | copied(OF_MOVERS)
    assert all((ROOT / name).exists() for name in both)
    # the builder is sent these alone: not the settings, nor the state
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored[1:]} == {*both, "**/__pycache__"}


def test_the_image_of_a_mover_ends_with_an_error_where_a_worker_could_not_start() -> None:
    (check,) = (line for line in instructions(OF_MOVERS) if line.startswith("RUN ") and " -c " in line)
    (program,) = re.findall(r'-c "(.*)"$', check)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "module_utils")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert any(line.endswith("pip check") for line in instructions(OF_MOVERS))
    assert [line for line in instructions(OF_MOVERS) if line.startswith("USER ")][-1] == "USER 1000"


def test_members_have_the_same_settings_of_dask_by_whomever_they_are_started() -> None:
    settings = load("cluster_member", "member").DASK
    of_image = exported(instructions(OF_MOVERS))
    assert {name: value for name, value in of_image.items() if name.startswith("DASK_")} == settings
    by_hand = re.findall(r"(DASK_\w+)=(\S+)", (ROOT / "docs" / "fleet.md").read_text())
    assert dict(by_hand) == settings


def test_dask_knows_every_setting_that_members_are_given() -> None:
    import distributed  # noqa: F401, PLC0415 - it adds its own to dask's

    for name in load("cluster_member", "member").DASK:
        setting = name.removeprefix("DASK_").lower().replace("__", ".")
        assert dask.config.get(setting, default="unknown") != "unknown", setting


def test_the_plain_image_has_the_collections_of_the_verbs() -> None:
    wanted = {entry["name"] for entry in yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]}
    moved = set(re.findall(r"/tmp/all/ansible_collections/(\w+)", CONTAINERFILE.read_text()))  # noqa: S108
    # playbooks/awx.yml and playbooks/cluster.yml, which need the others, are run from a checkout
    others = {"awx.awx", "community.aws", "kubernetes.core"}
    assert moved == {name.partition(".")[0] for name in wanted - others}
