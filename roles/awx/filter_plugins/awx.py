"""What the role needs to know before it writes: what an item names, what is not there yet, how a workflow differs.

All of it is pure: the API is asked by the lookup awx.awx.controller_api, and written by the modules of awx.awx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

Item = Mapping[str, Any]
There = Mapping[str, Sequence[str]]
"""The endpoint of a kind of items → the names of those that are in AWX."""

ENDPOINTS = {
    "controller_organizations": "organizations",
    "controller_credential_types": "credential_types",
    "controller_credentials": "credentials",
    "controller_execution_environments": "execution_environments",
    "controller_projects": "projects",
    "controller_inventories": "inventories",
    "controller_inventory_sources": "inventory_sources",
    "controller_notifications": "notification_templates",
    "controller_templates": "job_templates",
    "controller_workflows": "workflow_job_templates",
    "controller_schedules": "schedules",
    "controller_teams": "teams",
    "controller_roles": "roles",
}
"""A variable of awx/ → the endpoint of what it describes. A role has no name: it is an attribute of the others."""

NAMED_BY = {
    "organization": "organizations",
    "lookup_organization": "organizations",
    "credential_type": "credential_types",
    "credential": "credentials",
    "credentials": "credentials",
    "execution_environment": "execution_environments",
    "default_environment": "execution_environments",
    "project": "projects",
    "source_project": "projects",
    "inventory": "inventories",
    "notification_templates_error": "notification_templates",
    "notification_templates_approvals": "notification_templates",
    "job_templates": "job_templates",
    "workflows": "workflow_job_templates",
    "teams": "teams",
}
"""A key of an item → the endpoint of what its value names, alone or as a list."""

ENCRYPTED = "$encrypted$"
"""What the API shows in place of a secret."""

NODE_LINKS = ("success_nodes", "failure_nodes", "always_nodes")
NODE_PROMPTS: Mapping[str, Any] = {
    "job_type": None,
    "limit": None,
    "job_tags": None,
    "skip_tags": None,
    "scm_branch": None,
    "diff_mode": None,
    "verbosity": None,
    "inventory": None,
    "extra_data": {},
    "all_parents_must_converge": False,
}
"""What a node may have been given by hand → its value where awx/ says nothing. The module cannot take it away."""


def awx_names(item: Item, variable: str) -> list[tuple[str, str]]:
    """Return what this item of a `controller_*` variable names and is not itself: endpoint and name of each."""
    found = [(NAMED_BY[key], name) for key in item.keys() & NAMED_BY.keys() for name in _listed(item[key])]
    if variable == "controller_schedules":
        found.append(("job_templates", item["unified_job_template"]))
    if variable == "controller_workflows":
        for node in item.get("simplified_workflow_nodes", []):
            found += [("job_templates", name) for name in _listed(node.get("unified_job_template"))]
    return sorted(found)


def awx_asked(controller: Mapping[str, Sequence[Item]]) -> dict[str, list[str]]:
    """Return endpoint → all names that the items have, or name: what is worth asking for.

    controller: each `controller_*` variable with its items
    Raises AnsibleFilterError for a name that the API's filter `name__in` would take for two.
    """
    names: dict[str, set[str]] = {}
    for variable, items in controller.items():
        for item in items:
            own = [(ENDPOINTS[variable], name) for name in _listed(item.get("name"))]
            for endpoint, name in [*own, *awx_names(item, variable)]:
                if "," in name:
                    raise AnsibleFilterError(f"{name}: has a comma, and AWX's API lists by names between commas")
                names.setdefault(endpoint, set()).add(name)
    return {endpoint: sorted(found) for endpoint, found in sorted(names.items())}


def awx_missing(item: Item, variable: str, there: There) -> list[str]:
    """Return what the item names and AWX does not have."""
    return [name for endpoint, name in awx_names(item, variable) if name not in there.get(endpoint, [])]


def awx_ready(items: Iterable[Item], variable: str, there: There | None) -> list[Item]:
    """Return the items all of whose names AWX has: a dry run can only look at these. None: all are ready."""
    return [item for item in items if there is None or not awx_missing(item, variable, there)]


def awx_waiting(controller: Mapping[str, Sequence[Item]], there: There | None) -> list[str]:
    """Return a line for each item that a run would make or change, as it names what is not there yet."""
    return [
        _title(item, variable)
        for variable, items in controller.items()
        for item in items
        if there is not None and item.get("state") != "absent" and awx_missing(item, variable, there)
    ]


def awx_foreign(controller: Mapping[str, Sequence[Item]], there: There) -> list[str]:
    """Return a line for each name that AWX does not have and that awx/ does not make: a setting that is wrong."""
    made = {ENDPOINTS[variable]: {item.get("name") for item in items} for variable, items in controller.items()}
    wrong = {
        f"{name} ({endpoint})"
        for variable, items in controller.items()
        for item in items
        if item.get("state") != "absent"
        for endpoint, name in awx_names(item, variable)
        if name not in there.get(endpoint, []) and name not in made.get(endpoint, set())
    }
    return sorted(wrong)


def awx_notifications_differ(wanted: Sequence[Item], there: Sequence[Item], with_secrets: bool) -> list[Item]:
    """Return the notifications that are not as awx/ says. The module calls all that have a secret changed each time.

    there: notifications as the API lists them, with `$encrypted$` in place of secrets and defaults for what is not set
    with_secrets: count secrets as changed
    """
    found = {item["name"]: item for item in there}
    return [item for item in wanted if _notification_differs(item, found.get(item["name"]), with_secrets)]


def _notification_differs(wanted: Item, there: Item | None, with_secrets: bool) -> bool:
    if there is None or wanted.get("state") == "absent":
        return (there is None) != (wanted.get("state") == "absent")
    has = there["notification_configuration"]
    return any(there[key] != wanted[key] for key in ("description", "notification_type")) or any(
        with_secrets if has.get(key) == ENCRYPTED else has.get(key) != value
        for key, value in wanted["notification_configuration"].items()
    )


def awx_node_changes(wanted: Sequence[Item], there: Sequence[Item]) -> dict[str, list[dict[str, Any]]]:
    """Return how a workflow's nodes differ from what awx/ says, as far as the module does not see to it.

    wanted: nodes in the shape of `simplified_workflow_nodes`
    there: nodes as the API lists them
    `absent` are to be deleted. `linked` are to be linked, when all nodes are there: the module that makes an approval
    node would look for its links at the approval, which has none.
    """
    identifiers = {node["id"]: node["identifier"] for node in there}
    by_name = {node["identifier"]: node for node in wanted}
    absent = {
        node["identifier"]
        for node in there
        if node["identifier"] not in by_name or _is_another(by_name[node["identifier"]], node)
    }
    links = {node["identifier"]: _links(node, identifiers) for node in there if node["identifier"] not in absent}
    linked = []
    for name, node in by_name.items():
        meant = {link: sorted(node.get(link, [])) for link in NODE_LINKS}
        if meant != links.get(name, {link: [] for link in NODE_LINKS}) or absent & set().union(*meant.values()):
            linked.append({"identifier": name, **meant})
    return {"absent": [{"identifier": name} for name in sorted(absent)], "linked": linked}


def _links(node: Item, identifiers: Mapping[int, str]) -> dict[str, list[str]]:
    """Return a node's links by the identifiers of the nodes they lead to."""
    return {link: sorted(identifiers.get(number, str(number)) for number in node[link]) for link in NODE_LINKS}


def _is_another(wanted: Item, there: Item) -> bool:
    """Return whether the node has to be made anew: it is of another kind, or has what no module takes away."""
    runs = (there.get("summary_fields") or {}).get("unified_job_template") or {}
    is_approval = runs.get("unified_job_type") == "workflow_approval"
    return is_approval != ("approval_node" in wanted) or any(
        (there.get(prompt) or default) != wanted.get(prompt, default) for prompt, default in NODE_PROMPTS.items()
    )


def _listed(value: Any) -> list[str]:
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)


def _title(item: Item, variable: str) -> str:
    kind = variable.removeprefix("controller_").replace("_", " ")
    return f"{kind}: {item['name'] if 'name' in item else ' for '.join([item['role'], ', '.join(item['teams'])])}"


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name → filter."""
        return {
            function.__name__: function
            for function in (awx_asked, awx_foreign, awx_node_changes, awx_notifications_differ, awx_ready, awx_waiting)
        }
