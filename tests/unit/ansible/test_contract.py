"""What Ansible does not check by itself: that tasks, documentation, specs and defaults say the same."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.executor.module_common import NEW_STYLE_PYTHON_MODULE_RE
from ansible.playbook.task import Task
from packaging.specifiers import SpecifierSet
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC, GRANTS_SPEC

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
TASK_FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("*.yml")])
TASK_FILES += sorted(ROOT.glob("playbooks/*.yml"))
OF_GRANTS = ("rehome_grants_", "rehome_admin_")
FREE = ("add_host", "import_playbook", "set_fact", "meta")
"""Modules whose options are the caller's own names, or a word without a name."""
FILLED_IN = {"run_pid", "run_verb", "run_job", "run_origin", "free_form"}
"""What no task gives, as the action plugin does, or as it is the task's text."""
KEYWORDS = {*Task.fattributes, "block", "rescue", "always"}


def tasks() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Every task of the project: its file, its module, and the module's arguments."""
    for path in TASK_FILES:
        for entry in yaml.safe_load(path.read_text()) or []:
            if isinstance(entry, dict):
                yield from _tasks_in(path, entry)


def _tasks_in(path: Path, entry: dict[str, Any]) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    inner = [entry.get(name) or [] for name in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always")]
    for task in [task for part in inner for task in part]:
        yield from _tasks_in(path, task)
    if "hosts" not in entry and not any(inner):
        (module,) = entry.keys() - KEYWORDS
        yield path, module, entry[module] if isinstance(entry[module], dict) else {}


@cache
def documented(*names: str) -> dict[str, Any]:
    """What `ansible-doc` knows about these modules."""
    command = [BIN / "ansible-doc", "-t", "module", "--json", *names]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)


def test_every_task_uses_options_that_its_module_has() -> None:
    found = [task for task in tasks() if not task[1].endswith(FREE)]
    assert {module for _, module, _ in found} >= {"migration_plan", "s3_batch_copy", "db_path_rewrite"}
    docs = documented(*sorted({module for _, module, _ in found}))
    for path, module, given in found:
        options = docs[module]["doc"].get("options", {})
        known = set(options) | {alias for option in options.values() for alias in option.get("aliases", [])}
        assert given.keys() <= known, f"{path}: {module} has no option {given.keys() - known}"
        for name, value in given.items():
            choices = options.get(name, {}).get("choices")
            templated = isinstance(value, str) and "{{" in value
            assert not choices or templated or value in choices, f"{path}: {module}.{name}: {value}"
        missing = {name for name, option in options.items() if option.get("required")} - given.keys() - FILLED_IN
        assert not missing, f"{path}: {module} needs {missing}"


def test_every_module_documents_exactly_its_options() -> None:
    for module, facts in documented(*MODULES).items():
        options = facts["doc"]["options"]
        assert options.keys() == spec_of(module).keys(), module
        for name, spec in spec_of(module).items():
            _same(f"{module}.{name}", options[name], spec)


def spec_of(module: str) -> dict[str, Any]:
    """What the module takes: what all take, and what it names itself."""
    text = (ROOT / "library" / f"{module}.py").read_text()
    if "run_module" not in text and "run_beside" not in text:
        return PLUGIN_SPECS[module]
    own: dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "OPTIONS":
            own = eval(ast.unparse(statement.value), {"GRANTS_SPEC": GRANTS_SPEC})  # noqa: S307 - our own source
    return {**ARGUMENT_SPEC, **own}


PLUGIN_SPECS = {
    "variable_names": {
        "roles": {"type": "path", "required": True},
        "short": {"type": "list", "elements": "str", "default": []},
    },
    "run_facts": {
        "state_dir": {"type": "str"},
        "failed": {"type": "bool", "required": True},
        "counts": {"type": "dict", "default": {}},
        "outcome": {"type": "str"},
    },
    "vault_file": {"path": {"type": "path", "required": True}, "content": {"type": "dict", "default": {}}},
}


def _same(where: str, doc: dict[str, Any], spec: dict[str, Any]) -> None:
    assert doc["type"] == spec.get("type", "str"), where
    assert doc.get("elements") == spec.get("elements"), where
    assert doc.get("choices") == spec.get("choices"), where
    assert doc.get("default") == spec.get("default"), where
    assert bool(doc.get("required")) == bool(spec.get("required")), where
    inner = doc.get("suboptions", {})
    assert inner.keys() == spec.get("options", {}).keys(), where
    for name in inner:
        _same(f"{where}.{name}", inner[name], spec["options"][name])


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_returns_and_how_it_is_used(module: str) -> None:
    facts = documented(*MODULES)[module]
    assert facts["return"]
    (example,) = yaml.safe_load(facts["examples"])
    assert module in example


def test_secrets_are_marked_and_nothing_else_that_sounds_like_one() -> None:
    marked = {path for path, spec in _leaves("", ARGUMENT_SPEC) if spec.get("no_log") is True}
    sides = {f"settings.{side}.{name}" for side in ("source", "target") for name in ("secret_key", "session_token")}
    assert marked == sides | {"settings.database.password", "settings.database.url"}
    of_grants = {path for path, spec in _leaves("", GRANTS_SPEC["options"]) if spec.get("no_log") is True}
    admins = {f"admin_{side}.{name}" for side in ("source", "target") for name in ("secret_key", "session_token")}
    assert of_grants == admins | {"admin_database.password"}


def _leaves(path: str, specs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, spec in specs.items():
        yield f"{path}{name}", spec
        yield from _leaves(f"{path}{name}.", spec.get("options", {}))


@pytest.mark.parametrize("role", sorted(path.parts[-3] for path in ROOT.glob("roles/*/meta/argument_specs.yml")))
def test_a_roles_defaults_are_what_its_specification_says(role: str) -> None:
    spec = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
    options = spec["argument_specs"]["main"]["options"]
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(path.read_text()) if path.exists() else {}
    assert defaults == {name: option["default"] for name, option in options.items() if "default" in option}


def test_every_variable_reaches_the_modules() -> None:
    variables = yaml.safe_load((ROOT / "roles/rehome/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    handed = yaml.safe_load((ROOT / "roles/rehome/vars/main.yml").read_text())
    of_grants = {name for name in variables["options"] if name.startswith(OF_GRANTS)}
    # hooks are tasks, which the roles include; credentials of the verb's principal are laid over the others
    of_roles = {"rehome_hooks", "rehome_credentials", "rehome_principal", "ansible_python_interpreter"}
    others = variables["options"].keys() - of_grants - of_roles
    laid_over = {
        part: f"rehome_{part} | combine(rehome_kept.{part} | default({{}}))"
        for part in ("source", "target", "database")
    }
    laid_over["cluster"] = "rehome_cluster_of_group | combine(rehome_cluster) if rehome_cluster else none"
    settings = re.findall(r"'(\w+)': (.+),$", handed["rehome_settings"], re.MULTILINE)
    assert dict(settings) == _handed(others) | laid_over
    grants = {name: value.strip("{ }") for name, value in handed["rehome_grants_settings"].items()}
    assert grants == _handed(of_grants)


def _handed(variables: Iterable[str]) -> dict[str, str]:
    return {name.removeprefix("rehome_").removeprefix("grants_"): name for name in variables}


@pytest.mark.parametrize("module", sorted(set(MODULES) - PLUGIN_SPECS.keys()))
def test_ansible_sees_that_a_module_takes_its_options_as_json(module: str) -> None:
    assert NEW_STYLE_PYTHON_MODULE_RE.search((ROOT / "library" / f"{module}.py").read_bytes())


def test_every_module_has_its_action_plugin() -> None:
    assert sorted(path.stem for path in (ROOT / "action_plugins").glob("*.py")) == MODULES


def test_playbooks_are_tables_of_contents() -> None:
    for path in ROOT.glob("playbooks/*.yml"):
        assert len(path.read_text().splitlines()) <= 20, path


def _needs(role: str) -> list[str]:
    meta = yaml.safe_load((ROOT / "roles" / role / "meta" / "main.yml").read_text())
    return [needed["role"] for needed in meta["dependencies"]]


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "playbooks").glob("*.yml")))
def test_the_first_role_of_a_play_loads_the_settings_and_no_other_does_again(name: str) -> None:
    roles = [given["name"] for path, module, given in tasks() if path.name == name and module.endswith("import_role")]
    assert ["rehome" in _needs(role) for role in roles] == [place == 0 for place in range(len(roles))]


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=str)
def test_a_role_that_takes_the_settings_has_them_whatever_a_play_begins_with(path: Path) -> None:
    """`ending` tells how any run ended, also one whose settings were refused."""
    role = path.relative_to(ROOT / "roles").parts[0]
    if role != "ending" and "{{ rehome_settings }}" in path.read_text():
        assert role == "settings" or {"rehome", "settings"} & {*_needs(role)}


def test_a_role_is_not_validated_only_where_it_has_no_variables_or_refuses_wrong_ones_itself() -> None:
    unchecked = {
        given["name"]
        for _, module, given in tasks()
        if module.endswith(("import_role", "include_role")) and given.get("rolespec_validate") is False
    }
    assert {"passes", "plan", "copy", "rewrite", "verify", "summary", "ending"} <= unchecked
    for role in unchecked - {"cluster"}:
        spec = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
        assert spec["argument_specs"]["main"]["options"] == {}, role


def test_the_wheel_has_the_collections_that_requirements_yml_names() -> None:
    wanted = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    package = importlib.metadata.distribution("ansible").locate_file("ansible_collections")
    for collection in wanted:
        manifest = Path(str(package), *collection["name"].split("."), "MANIFEST.json")
        version = json.loads(manifest.read_text())["collection_info"]["version"]
        assert version in SpecifierSet(collection["version"]), collection["name"]
