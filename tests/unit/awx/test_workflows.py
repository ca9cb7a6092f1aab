"""The workflows: that nothing is changed before the approval, and nothing after a failure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.awx.conftest import Controller

LINKS = ("success_nodes", "failure_nodes", "always_nodes")
CHANGING = {"Rehome: migrate", "Rehome: retire", "Rehome: rollback", "Rehome: redirect", "Rehome: grants"}


@pytest.fixture(params=["migration with approval", "retirement with approval"])
def nodes(controller: Controller, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    (item,) = [item for item in controller["controller_workflows"] if item["name"] == f"Rehome: {request.param}"]
    return {node["identifier"]: node for node in item["simplified_workflow_nodes"]}


def next_of(node: dict[str, Any]) -> list[str]:
    return [name for link in LINKS for name in node.get(link, [])]


def test_nodes_link_to_nodes_and_run_templates_that_there_are(
    controller: Controller, nodes: dict[str, dict[str, Any]]
) -> None:
    templates = {item["name"] for item in controller["controller_templates"]}
    for node in nodes.values():
        assert set(next_of(node)) <= nodes.keys()
        assert ("approval_node" in node) != ("unified_job_template" in node)
        assert node.get("unified_job_template") in {None, *templates}


def test_each_node_is_reached_once_from_the_first(nodes: dict[str, dict[str, Any]]) -> None:
    reached = [name for node in nodes.values() for name in next_of(node)]
    (first,) = nodes.keys() - set(reached)
    assert first == next(iter(nodes))
    walked, here = [first], next_of(nodes[first])
    while here:
        (name,) = here
        assert name not in walked, "a cycle"
        walked.append(name)
        here = next_of(nodes[name])
    assert walked == list(nodes)


def test_nothing_leads_on_from_a_failure_or_a_denial(nodes: dict[str, dict[str, Any]]) -> None:
    for node in nodes.values():
        assert not node.get("failure_nodes")
        assert not node.get("always_nodes")


def test_nothing_is_changed_before_somebody_has_approved(nodes: dict[str, dict[str, Any]]) -> None:
    changing = [
        name
        for name, node in nodes.items()
        if node.get("unified_job_template") in CHANGING and node.get("job_type") != "check"
    ]
    assert len(changing) == 1
    before = [node for node in nodes.values() if changing[0] in next_of(node)]
    assert ["approval_node" in node for node in before] == [True]
    assert before[0]["approval_node"]["timeout"] > 0


def test_what_is_approved_is_shown_by_the_node_before(nodes: dict[str, dict[str, Any]]) -> None:
    (approval,) = [name for name, node in nodes.items() if "approval_node" in node]
    (before,) = [node for node in nodes.values() if approval in next_of(node)]
    assert before["unified_job_template"] == "Rehome: plan" or before["job_type"] == "check"
