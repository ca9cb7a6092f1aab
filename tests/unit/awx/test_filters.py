"""What is not there yet, and how a workflow differs."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from tests.unit.awx.conftest import ROOT, Controller, loaded

WANTED: list[dict[str, Any]] = [
    {"identifier": "plan", "unified_job_template": "Plan", "success_nodes": ["approval"]},
    {"identifier": "approval", "approval_node": {"name": "Approve"}, "success_nodes": ["migrate"]},
    {"identifier": "migrate", "unified_job_template": "Migrate", "job_type": "check"},
]


def there() -> list[dict[str, Any]]:
    """The nodes of WANTED as the API lists them."""
    runs = {"plan": ("Plan", "job"), "approval": ("Approve", "workflow_approval"), "migrate": ("Migrate", "job")}
    nodes: list[dict[str, Any]] = [
        {
            "id": number,
            "identifier": name,
            "summary_fields": {"unified_job_template": {"name": template, "unified_job_type": kind}},
            "success_nodes": [],
            "failure_nodes": [],
            "always_nodes": [],
            "job_type": None,
            "extra_data": {},
            "all_parents_must_converge": False,
            "limit": None,
            "diff_mode": None,
        }
        for number, (name, (template, kind)) in enumerate(runs.items(), start=7)
    ]
    nodes[0]["success_nodes"], nodes[1]["success_nodes"], nodes[2]["job_type"] = [8], [9], "check"
    return nodes


def links(identifier: str, *success: str) -> dict[str, Any]:
    return {"identifier": identifier, "success_nodes": list(success), "failure_nodes": [], "always_nodes": []}


def test_a_workflow_that_is_as_it_should_be_has_no_changes(filters: ModuleType) -> None:
    assert filters.awx_node_changes(WANTED, there()) == {"absent": [], "linked": []}


def test_a_new_workflow_has_all_its_links_to_make(filters: ModuleType) -> None:
    linked = [links("plan", "approval"), links("approval", "migrate")]
    assert filters.awx_node_changes(WANTED, []) == {"absent": [], "linked": linked}


def test_a_node_that_is_not_wanted_goes_and_a_link_to_it_with_it(filters: ModuleType) -> None:
    nodes = there()
    nodes.append({**nodes[2], "id": 10, "identifier": "by-hand"})
    nodes[2]["failure_nodes"] = [10]
    changes = filters.awx_node_changes(WANTED, nodes)
    assert changes == {"absent": [{"identifier": "by-hand"}], "linked": [links("migrate")]}


@pytest.mark.parametrize(
    "by_hand",
    [
        {"limit": "one-host"},
        {"diff_mode": True},
        {"job_type": None},
        {"job_type": "run"},
        {"extra_data": {"rehome_on_conflict": "overwrite"}},
        {"all_parents_must_converge": True},
    ],
)
def test_a_node_that_was_given_more_by_hand_is_made_anew_with_its_links(
    filters: ModuleType, by_hand: dict[str, Any]
) -> None:
    nodes = there()
    nodes[2].update(by_hand)
    changes = filters.awx_node_changes(WANTED, nodes)
    assert changes == {"absent": [{"identifier": "migrate"}], "linked": [links("approval", "migrate")]}


def test_a_job_in_place_of_an_approval_is_made_an_approval_again(filters: ModuleType) -> None:
    nodes = there()
    nodes[1]["summary_fields"]["unified_job_template"] = {"name": "Approve", "unified_job_type": "job"}
    changes = filters.awx_node_changes(WANTED, nodes)
    assert changes["absent"] == [{"identifier": "approval"}]
    assert changes["linked"] == [links("plan", "approval"), links("approval", "migrate")]


def test_a_link_that_goes_round_the_approval_is_taken_away(filters: ModuleType) -> None:
    nodes = there()
    nodes[0]["success_nodes"] = [8, 9]
    assert filters.awx_node_changes(WANTED, nodes) == {"absent": [], "linked": [links("plan", "approval")]}


def test_what_names_something_that_is_not_there_waits_in_a_dry_run_only(filters: ModuleType) -> None:
    projects = [{"name": "Rehome", "organization": "Storage", "credential": "", "default_environment": "EE"}]
    nothing: dict[str, list[str]] = {}
    has_all = {"organizations": ["Storage"], "execution_environments": ["EE"]}
    assert filters.awx_missing(projects[0], "controller_projects", {"organizations": ["Storage"]}) == ["EE"]
    assert filters.awx_ready(projects, "controller_projects", nothing) == []
    assert filters.awx_ready(projects, "controller_projects", has_all) == projects
    assert filters.awx_ready(projects, "controller_projects", None) == projects
    controller = {"controller_projects": projects}
    assert filters.awx_waiting(controller, nothing) == ["projects: Rehome"]
    assert filters.awx_waiting(controller, has_all) == []
    assert filters.awx_waiting(controller, None) == []


ORGANIZATION = {"organizations"}
NAMES = {
    "controller_organizations": set(),
    "controller_credential_types": set(),
    "controller_credentials": ORGANIZATION | {"credential_types"},
    "controller_execution_environments": ORGANIZATION | {"credentials"},
    "controller_projects": ORGANIZATION | {"credentials", "execution_environments"},
    "controller_inventories": ORGANIZATION,
    "controller_inventory_sources": ORGANIZATION | {"inventories", "projects", "execution_environments"},
    "controller_notifications": ORGANIZATION,
    "controller_templates": ORGANIZATION
    | {"projects", "inventories", "execution_environments", "credentials", "notification_templates"},
    "controller_workflows": ORGANIZATION | {"job_templates", "notification_templates"},
    "controller_schedules": ORGANIZATION | {"job_templates"},
    "controller_teams": ORGANIZATION,
    "controller_roles": ORGANIZATION | {"teams", "job_templates", "workflow_job_templates"},
}
"""A variable of awx/ → the endpoints of all that its items name."""


@pytest.mark.parametrize("variable", NAMES)
def test_all_that_an_item_names_is_known(filters: ModuleType, render: Callable[..., Controller], variable: str) -> None:
    site = loaded(ROOT / "awx" / "site.example.yml")
    site |= {"awx_site_scm_credential": "Git", "awx_site_image_credential": "Registry"}
    named = {endpoint for item in render(**site)[variable] for endpoint, _ in filters.awx_names(item, variable)}
    assert named == NAMES[variable]


def test_all_names_are_asked_for_once(filters: ModuleType) -> None:
    controller = {
        "controller_teams": [{"name": name, "organization": "Storage"} for name in ("b", "a")],
        "controller_roles": [{"role": "read", "teams": ["a"], "workflows": ["w"], "lookup_organization": "Storage"}],
    }
    asked = {"organizations": ["Storage"], "teams": ["a", "b"], "workflow_job_templates": ["w"]}
    assert filters.awx_asked(controller) == asked


def test_a_name_with_a_comma_is_refused_as_the_api_would_take_it_for_two(filters: ModuleType) -> None:
    with pytest.raises(AnsibleFilterError, match="a, b: has a comma"):
        filters.awx_asked({"controller_teams": [{"name": "a, b", "organization": "Storage"}]})
