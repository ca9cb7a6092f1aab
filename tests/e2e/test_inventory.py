"""An inventory outside of the checkout: the user's settings, the project's playbooks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT, Played, World, Worlds, own_settings, play_to_end, start_program

pytestmark = pytest.mark.e2e

HOST = "acme-host"


class Ops:
    """A user's own inventory with the groups `acme`, which has settings, and `bare`, which has none."""

    def __init__(self, folder: Path, world: World, **settings: Any) -> None:
        self.inventory = folder / "ops" / "inventory"
        self.world = world
        (self.inventory / "group_vars").mkdir(parents=True)
        groups = {"acme": {"hosts": {HOST: {}}}, "bare": {"hosts": {"bare-host": {}}}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
        variables = own_settings(world) | {"rehome_state_dir": "{{ inventory_dir }}/../state"} | settings
        (self.inventory / "group_vars" / "acme.yml").write_text(yaml.safe_dump(variables))

    def play(
        self, *arguments: str, playbook: str = "migrate.yml", env: str = "acme", password: Path | None = None
    ) -> Played:
        """Run a playbook in the checkout, with the path of the inventory relative to it, as users give it."""
        relative = os.path.relpath(self.inventory, ROOT)
        environment = os.environ | ({"ANSIBLE_VAULT_PASSWORD_FILE": str(password)} if password else {})
        options = ["-i", relative, "-e", f"env={env}", *arguments]
        return play_to_end(start_program("ansible-playbook", playbook, *options, folder=ROOT, environment=environment))


@pytest.fixture
def sqlite_world(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = worlds.of("sqlite")
    world.seed(10)
    return world


def test_settings_are_found_beside_the_inventory_also_if_there_are_several(sqlite_world: World, tmp_path: Path) -> None:
    ops = Ops(tmp_path, sqlite_world)
    migrated = ops.play()
    assert migrated.code == 0, migrated.output
    assert all(path.startswith("avatar/") for _, path in sqlite_world.rows())
    assert (tmp_path / "ops" / "state" / "summary.json").exists()
    for inventories in (("-i", "inventory"), ("-i", str(sqlite_world.folder / "inventory"))):
        again = ops.play(*inventories)
        assert (again.code, again.changed) == (0, 0), again.output


def test_a_group_without_settings_is_named_with_the_file_to_write(sqlite_world: World, tmp_path: Path) -> None:
    ops = Ops(tmp_path, sqlite_world)
    refused = ops.play(env="bare")
    assert refused.code != 0
    file = ops.inventory / "group_vars" / "bare.yml"
    assert f"env (bare): the group has no settings. Write {file}." in refused.message.replace("\\", "")


def test_only_the_environments_of_the_own_inventory_are_known(sqlite_world: World, tmp_path: Path) -> None:
    refused = Ops(tmp_path, sqlite_world).play(env="prod")
    assert refused.code != 0
    assert "env (prod): names no environment" in refused.message
    assert "the inventory knows acme, bare." in refused.message


def test_secrets_are_kept_beside_the_inventory_and_found_there(sqlite_world: World, tmp_path: Path) -> None:
    admin = sqlite_world.record["s3"]["users"]["admin"]
    settings = own_settings(sqlite_world)
    for side in ("rehome_source", "rehome_target"):
        settings[side] = {name: value for name, value in settings[side].items() if not name.endswith("_key")}
    ops = Ops(
        tmp_path,
        sqlite_world,
        **settings,
        rehome_admin_source=admin,
        rehome_admin_target=admin,
        rehome_grants_name="rehome-acme",
        rehome_grants_database=False,
    )
    password = tmp_path / "vault-password"
    password.write_text("of the vault, and no other")
    granted = ops.play(playbook="playbooks/grants.yml", password=password)
    try:
        assert granted.code == 0, granted.output
        kept = ops.inventory / "host_vars" / HOST / "rehome_credentials.yml"
        assert kept.read_text().startswith("$ANSIBLE_VAULT;")
        migrated = ops.play(password=password)
        assert migrated.code == 0, migrated.output
        assert all(path.startswith("avatar/") for _, path in sqlite_world.rows())
    finally:
        removed = ops.play("-e", "rehome_grants_state=absent", playbook="playbooks/grants.yml", password=password)
        assert removed.code == 0, removed.output
