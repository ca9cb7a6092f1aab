"""The playbooks work wherever they are started, under whatever configuration, or say what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, PLAY_TIMEOUT_S, ROOT, Played, World, Worlds, play_to_end, start_program

pytestmark = pytest.mark.e2e

VERBS = ["grants", "migrate", "plan", "preflight", "redirect", "retire", "rollback", "verify"]


@pytest.fixture(scope="module")
def seeded(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = worlds.of("sqlite")
    world.seed(5)
    return world


def elsewhere(folder: Path, *arguments: str, **exported: str) -> Played:
    """Run ansible-playbook in another folder than the project's, without its configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | exported
    return play_to_end(start_program("ansible-playbook", *arguments, folder=folder, environment=environment))


def test_a_playbook_runs_from_any_folder_without_the_configuration_of_the_project(seeded: World) -> None:
    before = seeded.everything()
    played = elsewhere(seeded.folder, str(ROOT / "migrate.yml"), "-i", "inventory", "-e", "env=sandbox", "--check")
    assert played.code == 0, played.output
    assert seeded.everything() == before


def test_a_site_has_a_configuration_roles_and_modules_of_its_own(seeded: World, tmp_path: Path) -> None:
    (tmp_path / "roles" / "preflight" / "tasks").mkdir(parents=True)
    (tmp_path / "roles" / "preflight" / "tasks" / "main.yml").write_text("- ansible.builtin.fail:\n")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "migration_preflight.py").write_text("raise SystemExit('of the site')\n")
    lines = ["[defaults]", "roles_path = roles", "library = library", "interpreter_python = /usr/bin/false"]
    lines += ["strategy = free", "[connection]", "pipelining = false"]
    configuration = tmp_path / "site.cfg"
    configuration.write_text("\n".join(lines))
    arguments = (str(ROOT / "playbooks" / "plan.yml"), "-i", str(seeded.folder / "inventory"), "-e", "env=sandbox")
    played = elsewhere(tmp_path, *arguments, ANSIBLE_CONFIG=str(configuration))
    assert played.code == 0, played.output


def test_all_playbooks_find_their_roles_and_modules_from_any_folder(tmp_path: Path) -> None:
    playbooks = [str(ROOT / "playbooks" / f"{verb}.yml") for verb in [*VERBS, "awx", "sandbox"]]
    played = elsewhere(tmp_path, *playbooks, "--syntax-check", "-e", "env=all")
    assert played.code == 0, played.output


WITHOUT_PRIVILEGES = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"] if os.geteuid() == 0 else []
"""What makes a file's mode hold for root, too."""


@pytest.fixture
def read_only_project(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project that cannot be written, as a container's image or a mounted volume may hold it."""
    project = tmp_path / "project"
    shutil.copytree(ROOT, project, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "tests"))
    folders = [project, *(path for path in project.rglob("*") if path.is_dir() and not path.is_symlink())]
    for path in project.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    yield project
    for folder in folders:
        folder.chmod(0o755)


def test_neither_the_project_nor_the_home_has_to_be_writable(
    seeded: World, read_only_project: Path, tmp_path: Path
) -> None:
    seeded.seed(5)
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    before = sorted(read_only_project.rglob("*"))
    played = subprocess.run(
        [*WITHOUT_PRIVILEGES, BIN / "ansible-playbook", *seeded.arguments()],
        cwd=read_only_project,
        # as the image exports it: Ansible itself cannot do without
        env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "ANSIBLE_HOME": str(tmp_path / "ansible")},
        capture_output=True,
        text=True,
        check=False,
        timeout=PLAY_TIMEOUT_S,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert seeded.summary["rows_rewritten"] == 5
    assert sorted(read_only_project.rglob("*")) == before
    assert list(home.iterdir()) == []
    probe = [*WITHOUT_PRIVILEGES, "touch", str(read_only_project / "probe"), str(home / "probe")]
    assert subprocess.run(probe, capture_output=True, check=False).returncode != 0, "it could be written after all"
    assert not (read_only_project / "probe").exists() and not (home / "probe").exists()


def test_where_there_is_no_inventory_the_message_says_how_to_name_one(tmp_path: Path) -> None:
    played = elsewhere(tmp_path, str(ROOT / "migrate.yml"), "-e", "env=sandbox")
    assert played.code != 0
    assert "env (sandbox): names no environment" in played.message
    assert "-i" in played.message


def test_a_python_without_the_packages_is_named_with_a_way_out(seeded: World, tmp_path: Path) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    before = seeded.everything()
    played = elsewhere(ROOT, *seeded.arguments(ansible_python_interpreter=str(bare)))
    assert played.code != 0
    assert f"ansible_python_interpreter ({bare}): No module named" in played.message
    assert "requirements.txt" in played.message
    assert sys.executable in played.message
    assert seeded.everything() == before


@pytest.mark.parametrize("callback", ["ansible.posix.json"])
def test_output_for_programs_holds_nothing_else(callback: str, seeded: World) -> None:
    process = subprocess.run(
        [BIN / "ansible-playbook", *seeded.arguments("--check")],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": callback},
        capture_output=True,
        text=True,
        check=False,
        timeout=PLAY_TIMEOUT_S,
    )
    assert process.returncode == 0, process.stdout
    assert json.loads(process.stdout)["stats"]["rehome-sandbox"]["failures"] == 0


@pytest.mark.parametrize("switch", [("--step",), ("--start-at-task", "Check everything before the first write")])
def test_a_run_that_may_leave_out_a_check_writes_nothing(switch: tuple[str, ...], seeded: World) -> None:
    before = seeded.everything()
    played = seeded.play(*switch)
    assert played.code != 0
    assert seeded.everything() == before


def test_a_playbook_of_ones_own_that_names_the_roles_is_held_to_the_settings_too(seeded: World, tmp_path: Path) -> None:
    playbook = tmp_path / "own.yml"
    play = {"hosts": "sandbox", "connection": "local", "gather_facts": False, "roles": ["plan"]}
    playbook.write_text(json.dumps([play | {"vars": {"rehome_exlude": ["x"]}}]))
    folders = {"ROLES_PATH": "roles", "LIBRARY": "library", "ACTION_PLUGINS": "action_plugins"}
    exported = {f"ANSIBLE_{name}": str(ROOT / folder) for name, folder in folders.items()}
    played = elsewhere(tmp_path, "own.yml", "-i", str(seeded.folder / "inventory"), **exported)
    assert played.code != 0
    assert (
        "rehome_exlude: is no variable of Rehome and would be ignored; did you mean rehome_exclude?" in played.message
    )
