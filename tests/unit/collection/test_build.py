from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from collection.build import COLLECTION, HERE, LEFT_OUT, ROOT, assemble, qualified


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assemble(tmp_path_factory.mktemp("collection"))


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_modules_roles_and_playbooks_are_all_there_but_those_of_the_checkout(folder: Path) -> None:
    def names(where: Path, pattern: str) -> set[str]:
        return {path.name for path in where.glob(pattern)} - set(LEFT_OUT)

    assert names(folder, "plugins/modules/*.py") == names(ROOT, "library/*.py")
    assert names(folder, "plugins/action/*.py") == names(ROOT, "action_plugins/*.py")
    assert names(folder, "roles/*") == names(ROOT, "roles/*")
    assert names(folder, "playbooks/*") == names(ROOT, "playbooks/*.yml")
    assert not [path for path in folder.rglob("*") if path.name in (*LEFT_OUT, "molecule", "tests", "__pycache__")]


def test_no_module_is_named_without_its_collection(folder: Path) -> None:
    modules = {path.stem for path in (ROOT / "library").glob("*.py")}

    def used(value: Any) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in used(item)}
        if not isinstance(value, dict):
            return set()
        return set(value) | used(value.get("block", [])) | used(value.get("rescue", []))

    found = {name for path in folder.glob("roles/*/tasks/*.yml") for name in used(loaded(path))}
    assert {f"{COLLECTION}.{name}" for name in modules} <= found
    assert not modules & found
    for path in folder.glob("plugins/modules/*.py"):
        assert not re.search(rf"^ *(- )?({'|'.join(modules)}):", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_no_role_is_named_without_its_collection(folder: Path) -> None:
    named = []
    for path in folder.glob("roles/*/meta/main.yml"):
        named += [entry["role"] for entry in loaded(path).get("dependencies", [])]
    for path in folder.glob("playbooks/*.yml"):
        for play in loaded(path):
            named += [entry if isinstance(entry, str) else entry["role"] for entry in play.get("roles", [])]
        named += re.findall(r"import_role: {name: ([\w.]+)[,}]", path.read_text(encoding="utf-8"))
    for path in folder.glob("roles/*/tasks/*.yml"):
        named += re.findall(r"(?:include|import)_role:\n +name: (\S+)", path.read_text(encoding="utf-8"))
    assert len(named) > 30
    assert all(name.startswith(f"{COLLECTION}.") for name in named), named


def test_nothing_is_relative_to_the_place_where_it_is_installed(folder: Path) -> None:
    for path in [*folder.glob("roles/**/*.yml"), *folder.glob("playbooks/*.yml")]:
        assert "playbook_dir" not in path.read_text(encoding="utf-8"), path
    assert loaded(folder / "roles/rehome/vars/main.yml")["rehome_project_folder"] == "{{ inventory_dir }}/.rehome"


def test_the_roles_defaults_still_agree_with_their_specification(folder: Path) -> None:
    options = loaded(folder / "roles/rehome/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = loaded(folder / "roles/rehome/defaults/main.yml")
    assert defaults == {name: option["default"] for name, option in options.items() if "default" in option}


def test_names_are_qualified_only_where_they_are_names() -> None:
    text = "- name: Copy\n  s3_batch_copy:\n    settings: 1\n- copy\n- a plan: of the copy\n"
    assert qualified(text) == text.replace("s3_batch_copy:", f"{COLLECTION}.s3_batch_copy:")


def test_the_collection_depends_on_what_requirements_yml_names_but_for_awx_and_clusters() -> None:
    wanted = {entry["name"]: entry["version"] for entry in loaded(ROOT / "requirements.yml")["collections"]}
    for left_out in ("awx.awx", "community.aws", "kubernetes.core"):  # with the roles that need them
        del wanted[left_out]
    assert loaded(HERE / "galaxy.yml")["dependencies"] == wanted
