from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rehome.errors import RefusedError

from interview.place import check_environment, find_place


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_new_inventory_gets_a_group_with_one_host(tmp_path: Path) -> None:
    place = find_place(tmp_path / "inventory", "staging")
    assert place.settings_file == tmp_path / "inventory" / "group_vars" / "staging.yml"
    assert place.vault_file == tmp_path / "inventory" / "host_vars" / "rehome-staging" / "vault.yml"
    text = place.new_hosts_text("staging")
    assert text is not None
    assert yaml.safe_load(text)["staging"] == {"hosts": {"rehome-staging": None}}


def test_an_inventory_keeps_its_comments_and_gets_the_group_at_its_end(tmp_path: Path) -> None:
    old = "---\n# mine\nall:\n  children:\n    prod:\n      hosts:\n        web: # one\n"
    write(tmp_path / "hosts.yml", old)
    new = find_place(tmp_path, "staging").new_hosts_text("staging")
    assert new is not None
    assert new.startswith(old)
    assert "staging" in yaml.safe_load(new)


def test_a_group_that_is_there_is_left_alone_and_its_host_is_used(tmp_path: Path) -> None:
    write(tmp_path / "hosts.yml", "all:\n  children:\n    staging:\n      hosts:\n        mover:\n")
    place = find_place(tmp_path, "staging")
    assert place.new_hosts_text("staging") is None
    assert place.host == "mover"
    assert place.vault_file.parent.name == "mover"


def test_a_group_with_two_hosts_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "hosts.yml", "staging:\n  hosts:\n    a:\n    b:\n")
    with pytest.raises(RefusedError, match="has 2 hosts, and a migration runs on exactly one"):
        find_place(tmp_path, "staging")


@pytest.mark.parametrize("text", ["[staging]\nhost1\n", "{all: {hosts: {}}}", "- x\n"])
def test_an_inventory_that_is_not_extended_says_what_to_add(tmp_path: Path, text: str) -> None:
    write(tmp_path / "hosts.yml", text)
    with pytest.raises(RefusedError, match=r"Add the group by hand \(staging:"):
        find_place(tmp_path, "staging").new_hosts_text("staging")


def test_the_settings_go_where_ansible_looks(tmp_path: Path) -> None:
    """Where there is a folder of the group's name, Ansible does not read a file of that name."""
    (tmp_path / "group_vars" / "staging").mkdir(parents=True)
    assert find_place(tmp_path, "staging").settings_file == tmp_path / "group_vars" / "staging" / "rehome.yml"
    write(tmp_path / "group_vars" / "prod.yaml", "a: 1")
    assert find_place(tmp_path, "prod").settings_file.name == "prod.yaml"


def test_a_file_of_the_host_that_would_be_hidden_is_named(tmp_path: Path) -> None:
    write(tmp_path / "host_vars" / "rehome-staging.yml", "a: 1")
    with pytest.raises(RefusedError, match="Ansible would no longer read it"):
        find_place(tmp_path, "staging")


def test_one_file_may_be_the_inventory(tmp_path: Path) -> None:
    place = find_place(tmp_path / "ops.yml", "staging")
    assert (place.folder, place.hosts_file) == (tmp_path, tmp_path / "ops.yml")


@pytest.mark.parametrize("name", ["", "all", "localhost", "my env", "a-b", "1st", "{{x}}"])
def test_what_is_no_name_of_a_group_is_no_environment(name: str) -> None:
    assert check_environment(name) is not None
    assert check_environment("staging_2") is None
