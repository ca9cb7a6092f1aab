"""The collection installed into an empty folder, without the checkout's ansible.cfg."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from collection.build import COLLECTION, build
from tests.e2e.conftest import Played, World, Worlds, own_settings, play_to_end, start_program

pytestmark = pytest.mark.e2e

HOST = "rehome-prod"


@dataclass(frozen=True)
class Installed:
    """A folder with nothing but the installed collection and an inventory."""

    folder: Path
    world: World

    @property
    def state(self) -> Path:
        return self.folder / "my-inventory" / ".rehome" / HOST / "avatars"

    def run(self, program: str, *arguments: str) -> Played:
        """Run one of Ansible's programs in the folder, as a user without a checkout does."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        environment |= {"ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"), "HOME": str(self.folder)}
        return play_to_end(start_program(program, *arguments, folder=self.folder, environment=environment))

    def play(self, verb: str, *arguments: str, env: str = "prod") -> Played:
        playbook = f"{COLLECTION}.{verb}"
        return self.run("ansible-playbook", playbook, "-e", f"env={env}", "-i", "my-inventory", *arguments)

    def files(self) -> set[Path]:
        """Return the files of the collection, without compiled ones."""
        return {path for path in (self.folder / "collections").rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def installed(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    installed = Installed(tmp_path_factory.mktemp("empty"), worlds.of("sqlite"))
    tarball = build(tmp_path_factory.mktemp("build"))
    done = installed.run("ansible-galaxy", "collection", "install", str(tarball), "-p", "collections", "--no-deps")
    assert done.code == 0, done.output
    inventory = installed.folder / "my-inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text(yaml.safe_dump({"prod": {"hosts": {HOST: {}}}}))
    # not in the inventory's folder, where every YAML file is read as an inventory
    hooks = {"rehome_hooks": {"after_copy": "../hook.yml"}}
    (inventory / "group_vars" / "prod.yml").write_text(yaml.safe_dump(own_settings(installed.world) | hooks))
    return installed


def test_all_verbs_of_a_migration_work_from_an_empty_folder(installed: Installed) -> None:
    world = installed.world
    world.seed(20)
    hook = "- {ansible.builtin.copy: {content: '', dest: '{{ inventory_dir }}/../copied', mode: '0600'}}"
    (installed.folder / "hook.yml").write_text(hook)
    before, files = world.everything(), installed.files()

    planned = installed.play("plan")
    assert planned.code == 0, planned.output
    tried = installed.play("migrate", "--check")
    assert tried.code == 0, tried.output
    assert world.everything() == before

    migrated = installed.play("migrate")
    assert migrated.code == 0, migrated.output
    assert migrated.changed > 0
    assert all(path.startswith("avatar/") for _, path in world.rows())
    assert (installed.state / "summary.json").exists()
    assert (installed.folder / "copied").exists()

    again = installed.play("migrate", "-e", "{rehome_hooks: {}}")
    assert (again.code, again.changed) == (0, 0), again.output

    rolled_back = installed.play("rollback")
    assert rolled_back.code == 0, rolled_back.output
    assert world.rows() == [(user, path.replace("avatar/", "image/", 1)) for user, path in world.rows()]
    assert installed.files() == files


def test_what_is_wrong_is_reported_as_in_the_checkout(installed: Installed) -> None:
    unknown = installed.play("migrate", env="nope")
    assert unknown.code != 0
    assert "env (nope): names no environment" in unknown.message
    assert "the inventory knows prod." in unknown.message

    nothing = installed.run("ansible-playbook", f"{COLLECTION}.migrate", "-e", "env=prod", "-i", "nowhere")
    assert nothing.code != 0
    assert "the inventory knows none." in nothing.message


def test_its_documentation_can_be_read(installed: Installed) -> None:
    module = installed.run("ansible-doc", f"{COLLECTION}.s3_batch_copy")
    assert f"{COLLECTION}.s3_batch_copy:" in module.output, module.output
    role = installed.run("ansible-doc", "-t", "role", f"{COLLECTION}.rehome")
    assert "`.rehome' in the inventory's folder" in " ".join(role.output.split()), role.output


def test_a_variable_that_would_be_ignored_is_refused_there_too(installed: Installed) -> None:
    played = installed.play("plan", "-e", "rehome_limits=5")
    assert played.code != 0
    assert "rehome_limits: is no variable of Rehome and would be ignored; did you mean rehome_limit?" in played.message
