"""What awx/ says: that AWX and the roles that read it can take it, and that it fits the verbs."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.unit.ansible.test_contract import documented, tasks
from tests.unit.awx.conftest import FILES, ROLE, ROOT, Controller

MODULES = {
    "controller_organizations": "organization",
    "controller_credential_types": "credential_type",
    "controller_credentials": "credential",
    "controller_execution_environments": "execution_environment",
    "controller_projects": "project",
    "controller_inventories": "inventory",
    "controller_inventory_sources": "inventory_source",
    "controller_notifications": "notification_template",
    "controller_templates": "job_template",
    "controller_workflows": "workflow_job_template",
    "controller_schedules": "schedule",
    "controller_teams": "team",
    "controller_roles": "role",
}
"""A variable → the module of awx.awx whose options its items have."""
NODE = "workflow_job_template_node"
NODES = "simplified_workflow_nodes"
"""The only key that the configuration-as-code roles have and the module has not."""
TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "dict": (dict,), "list": (list,)}
VERBS = ("grants", "migrate", "preflight", "plan", "verify", "control", "discover", "rollback", "redirect", "retire")


def items(controller: Controller) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each item with its module; nodes with the workflow that they are in."""
    for variable, listed in controller.items():
        for item in listed:
            yield MODULES[variable], {key: value for key, value in item.items() if key != NODES}
            for node in item.get(NODES, []):
                yield NODE, {"workflow_job_template": item["name"], **node}


def test_every_item_has_options_of_its_module_with_values_that_it_takes(controller: Controller) -> None:
    names = {f"awx.awx.{module}" for module in (*MODULES.values(), NODE)}
    docs = {name.rpartition(".")[2]: facts["doc"]["options"] for name, facts in documented(*sorted(names)).items()}
    assert controller.keys() == MODULES.keys()
    for module, item in items(controller):
        options = docs[module]
        where = f"{module} {item.get('name') or item.get('identifier') or item.get('role')}"
        assert item.keys() <= options.keys(), f"{where}: has no option {item.keys() - options.keys()}"
        assert item.keys() >= {name for name, option in options.items() if option.get("required")}, where
        for name, value in item.items():
            option = options[name]
            assert isinstance(value, TYPES[option["type"]]), f"{where}.{name}: {value!r} is no {option['type']}"
            assert not isinstance(value, bool) or option["type"] == "bool", f"{where}.{name}"
            assert "choices" not in option or value in option["choices"], f"{where}.{name}: {value}"
            if option["type"] == "list" and option.get("elements"):
                assert all(isinstance(one, TYPES[option["elements"]]) for one in value), f"{where}.{name}"


def test_the_role_hands_on_all_that_an_item_has(controller: Controller) -> None:
    handed: dict[str, set[str]] = {}
    for path, module, given in tasks():
        if path.is_relative_to(ROLE) and module.startswith("awx.awx."):
            named = {key for value in given.values() for key in re.findall(r"awx_item\.(\w+)", str(value))}
            handed.setdefault(module.removeprefix("awx.awx."), set()).update(named)
    for module, item in items(controller):
        kept = item.keys() - {"workflow_job_template"}
        assert kept <= handed[module], f"{module}: {kept - handed[module]} would be ignored"


def test_there_is_nothing_that_plain_yaml_cannot_load() -> None:
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    names = {name for path in FILES for name in yaml.load(path.read_text(), Loader=loader)}  # noqa: S506
    assert names >= MODULES.keys()


def test_the_example_sets_nothing_that_the_role_does_not_know(example: dict[str, Any]) -> None:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert example.keys() < specs.keys()
    assert example.keys() >= {"awx_site_scm_url", "awx_site_image", "awx_site_environments"}


def test_a_site_that_sets_only_what_it_must_gets_what_it_needs(
    render: Callable[..., Controller], filters: ModuleType
) -> None:
    site = {"awx_site_scm_url": "https://git", "awx_site_image": "ee", "awx_site_environments": ["prod"]}
    controller = render(**site)
    absent = {item["name"] for listed in controller.values() for item in listed if item.get("state") == "absent"}
    assert absent == {"Rehome: inventory", "Rehome: failure", "Rehome: approval"}
    assert not filters.awx_foreign(controller, {})
    for module, item in items(controller):
        notified = {key: item[key] for key in item if key.startswith("notification_templates_")}
        assert not any(notified.values()), module
    assert all(item["extra_vars"] == {} for item in controller["controller_templates"])
    assert controller["controller_inventory_sources"][0]["source_project"] == "Rehome"


def test_two_titles_share_nothing_but_the_organization_and_the_credential_types(
    render: Callable[..., Controller], example: dict[str, Any]
) -> None:
    shared = {"controller_organizations", "controller_credential_types", "controller_teams", "controller_roles"}
    one, other = render(**example), render(**example, awx_site_title="Staging")
    for variable in MODULES.keys() - shared:
        assert not {item["name"] for item in one[variable]} & {item["name"] for item in other[variable]}, variable


def test_all_that_an_item_names_is_made_by_awx_or_is_a_name_that_the_site_gives(
    controller: Controller, render: Callable[..., Controller], example: dict[str, Any], filters: ModuleType
) -> None:
    assert filters.awx_foreign(controller, {}) == []
    site = {
        **example,
        "awx_site_scm_credential": "Git",
        "awx_site_vault_credentials": ["Vault"],
        "awx_site_administrator_credentials": ["Cloud"],
        "awx_site_image_credential": "Registry",
    }
    wrong = filters.awx_foreign(render(**site), {"credentials": ["Git"]})
    assert wrong == ["Cloud (credentials)", "Registry (credentials)", "Vault (credentials)"]


def test_each_verb_has_a_template_of_its_playbook(controller: Controller) -> None:
    templates = {item["name"]: item["playbook"] for item in controller["controller_templates"]}
    assert templates == {f"Rehome: {verb}": f"playbooks/{verb}.yml" for verb in VERBS}
    assert all((ROOT / playbook).exists() for playbook in templates.values())
    assert set(re.findall(r"^VERBS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()) == set(VERBS)


def test_templates_ask_for_what_is_safe_alone_and_run_one_at_a_time(controller: Controller) -> None:
    for item in controller["controller_templates"]:
        asked = {key for key, value in item.items() if key.startswith("ask_") and value}
        assert asked == {"ask_job_type_on_launch", "ask_diff_mode_on_launch"}, item["name"]
        assert item["allow_simultaneous"] is False
        assert (item["timeout"] == 0) == (item["name"] == "Rehome: migrate")
    for item in controller["controller_workflows"]:
        assert not [key for key, value in item.items() if key.startswith("ask_") and value]
        assert item["allow_simultaneous"] is False


def _surveyed(controller: Controller) -> list[dict[str, Any]]:
    return [*controller["controller_templates"], *controller["controller_workflows"]]


def test_surveys_ask_for_variables_that_the_verbs_know(controller: Controller, variable_names: ModuleType) -> None:
    known = variable_names.specified(ROOT / "roles")
    for item in _surveyed(controller):
        variables = [question["variable"] for question in item["survey_spec"]["spec"]]
        assert len(set(variables)) == len(variables)
        assert not variable_names.problems(dict.fromkeys(variables, ""), set(variables), known), item["name"]
        short = {"env", *variable_names._read_by_defaults(known)}
        assert set(variables) <= known.keys() | short, item["name"]


def test_every_survey_asks_for_the_environment_and_offers_none_as_the_default(controller: Controller) -> None:
    for item in _surveyed(controller):
        question = item["survey_spec"]["spec"][0]
        assert question["variable"] == "env"
        assert question["required"] is True
        assert "default" not in question
        assert question["choices"] == ["staging", "prod"]


@pytest.mark.parametrize(
    ("verb", "variables"),
    [
        ("plan", {"env", "rehome_limit"}),
        ("migrate", {"env", "approved_plan", "rehome_limit"}),
        ("rollback", {"env", "rehome_rollback_copies", "confirm"}),
        ("retire", {"env", "confirm"}),
        ("verify", {"env"}),
        ("migration with approval", {"env", "rehome_limit"}),
        ("retirement with approval", {"env", "confirm"}),
    ],
)
def test_surveys_ask_for_what_the_verb_takes(controller: Controller, verb: str, variables: set[str]) -> None:
    (item,) = [item for item in _surveyed(controller) if item["name"] == f"Rehome: {verb}"]
    assert {question["variable"] for question in item["survey_spec"]["spec"]} == variables


def test_each_environment_gets_its_own_place_for_the_state(controller: Controller, example: dict[str, Any]) -> None:
    for item in controller["controller_templates"]:
        text = item["extra_vars"]["rehome_state_uri"]
        uris = ast.literal_eval(re.fullmatch(r"\{\{ (.*)\[env\] \}\}", text)[1])  # type: ignore[index]
        assert uris == example["awx_site_state_uris"]


def test_a_schedule_answers_what_its_template_must_know(controller: Controller) -> None:
    templates = {item["name"]: item for item in controller["controller_templates"]}
    (schedule,) = controller["controller_schedules"]
    spec = templates[schedule["unified_job_template"]]["survey_spec"]["spec"]
    assert {question["variable"] for question in spec if question["required"]} == schedule["extra_data"].keys()
    assert schedule["rrule"] == "DTSTART;TZID=Europe/Berlin:20260101T023000 RRULE:FREQ=DAILY;INTERVAL=1"


def test_no_team_that_only_asks_or_decides_can_change_data_by_itself(controller: Controller) -> None:
    harmless = {"Rehome: preflight", "Rehome: plan", "Rehome: verify"}
    for item in controller["controller_roles"]:
        if item["role"] == "execute" and item["teams"] != ["Storage on call"]:
            assert item["teams"] == ["Storage operators"]
            assert set(item["job_templates"]) == harmless
        if item["role"] == "approval":
            assert item["teams"] == ["Change board"]
            assert "job_templates" not in item
    assert {item["role"] for item in controller["controller_roles"]} == {"execute", "approval", "read"}


def test_names_of_files_say_what_is_in_them() -> None:
    for path in FILES:
        variable = f"controller_{path.stem}"
        assert yaml_keys(path) >= {variable}, path


def yaml_keys(path: Path) -> set[str]:
    return set(re.findall(r"^(\w+):", path.read_text(), re.MULTILINE))
