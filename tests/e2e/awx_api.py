"""A stand-in for AWX's REST API: as much of it as the modules of awx.awx use, in memory, on loopback.

It is not AWX. Its behaviour follows AWX 24.6's source where the modules depend on it: lists with filters and pages,
named fields only, unique names, associations, `$encrypted$` in place of secrets, surveys that are checked, approvals
that are nodes' and have no links of their own, and who may write. It runs no jobs.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

ENCRYPTED = "$encrypted$"
Json = dict[str, Any]
MAX_PAGE = 10
"""AWX lists up to 200 at once. Fewer show who forgets to turn the page."""


PASSWORD = "admin:hush-admin"
"""Who may have a token for a password."""


class HttpError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def invalid(**errors: object) -> HttpError:
    return HttpError(400, {key: [value] if isinstance(value, str) else value for key, value in errors.items()})


@dataclass(frozen=True)
class Kind:
    """What one endpoint holds.

    fields: name → default; a field that is not here is ignored, as Django REST framework does
    foreign: name → the endpoint that its number is of
    related: name of an association → the endpoint of its members
    roles: the object roles that can be given
    """

    type: str
    fields: Mapping[str, Any]
    foreign: Mapping[str, str] = field(default_factory=dict)
    related: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    key: str = "name"


ASKED = {
    f"ask_{what}_on_launch": False
    for what in (
        *("credential", "diff_mode", "execution_environment", "forks", "instance_groups", "inventory"),
        *("job_slice_count", "job_type", "labels", "limit", "scm_branch", "skip_tags", "tags", "timeout"),
        *("variables", "verbosity"),
    )
}
NOTIFIED = {f"notification_templates_{when}": "notification_templates" for when in ("started", "success", "error")}
PROMPTS = {
    **dict.fromkeys(("job_type", "job_tags", "limit", "skip_tags", "scm_branch", "diff_mode", "verbosity")),
    **dict.fromkeys(("forks", "job_slice_count", "timeout", "execution_environment", "inventory")),
}
LINKS = ("success_nodes", "failure_nodes", "always_nodes")
SURVEYED = {"survey_enabled": False, "allow_simultaneous": False}
TEMPLATE = {
    "playbook": "",
    "job_type": "run",
    "forks": 0,
    "verbosity": 0,
    "diff_mode": False,
    "become_enabled": False,
    "use_fact_cache": False,
    "job_slice_count": 1,
    "timeout": 0,
    "force_handlers": False,
    "start_at_task": "",
    "host_config_key": "",
}
WORKABLE = {"limit": "", "job_tags": "", "skip_tags": "", "scm_branch": "", "extra_vars": "", "description": ""}

KINDS: Mapping[str, Kind] = {
    "organizations": Kind(
        "organization",
        {"description": "", "max_hosts": 0, "default_environment": None},
        roles=("admin_role", "auditor_role", "execute_role", "read_role"),
    ),
    "credential_types": Kind("credential_type", {"description": "", "kind": "", "inputs": {}, "injectors": {}}),
    "credentials": Kind(
        "credential",
        {"description": "", "organization": None, "credential_type": None, "inputs": {}},
        {"organization": "organizations", "credential_type": "credential_types"},
        roles=("admin_role", "use_role", "read_role"),
    ),
    "execution_environments": Kind(
        "execution_environment",
        {"description": "", "organization": None, "image": "", "credential": None, "pull": ""},
        {"organization": "organizations", "credential": "credentials"},
    ),
    "projects": Kind(
        "project",
        {
            **dict.fromkeys(("organization", "credential", "default_environment")),
            **dict.fromkeys(("description", "local_path", "scm_url", "scm_branch", "scm_refspec"), ""),
            **{"scm_type": "", "scm_clean": False, "scm_update_on_launch": False, "scm_update_cache_timeout": 0},
            **{"allow_override": False, "timeout": 0, "scm_revision": "", "status": "never updated"},
        },
        {"organization": "organizations", "credential": "credentials", "default_environment": "execution_environments"},
        NOTIFIED,
        roles=("admin_role", "use_role", "update_role", "read_role"),
    ),
    "inventories": Kind(
        "inventory",
        {"description": "", "organization": None, "kind": "", "host_filter": None, "variables": ""},
        {"organization": "organizations"},
        roles=("admin_role", "use_role", "adhoc_role", "update_role", "read_role"),
    ),
    "inventory_sources": Kind(
        "inventory_source",
        {
            **dict.fromkeys(("description", "source", "source_path", "source_vars", "scm_branch", "limit"), ""),
            **dict.fromkeys(("inventory", "source_project", "execution_environment", "credential", "organization")),
            **{"overwrite": False, "overwrite_vars": False, "update_on_launch": False, "update_cache_timeout": 0},
            **{"timeout": 0, "verbosity": 1, "enabled_var": "", "enabled_value": "", "host_filter": ""},
        },
        {
            "inventory": "inventories",
            "source_project": "projects",
            "execution_environment": "execution_environments",
            "credential": "credentials",
        },
        NOTIFIED,
    ),
    "notification_templates": Kind(
        "notification_template",
        {
            **{"description": "", "organization": None, "notification_type": "", "notification_configuration": {}},
            "messages": None,
        },
        {"organization": "organizations"},
    ),
    "job_templates": Kind(
        "job_template",
        {
            **{**TEMPLATE, **WORKABLE, **ASKED, **SURVEYED},
            **dict.fromkeys(("organization", "inventory", "project", "execution_environment", "webhook_credential")),
        },
        {
            "organization": "organizations",
            "inventory": "inventories",
            "project": "projects",
            "execution_environment": "execution_environments",
        },
        {"credentials": "credentials", "labels": "labels", "instance_groups": "instance_groups", **NOTIFIED},
        roles=("admin_role", "execute_role", "read_role"),
    ),
    "workflow_job_templates": Kind(
        "workflow_job_template",
        {**WORKABLE, **ASKED, **SURVEYED, "organization": None, "inventory": None},
        {"organization": "organizations", "inventory": "inventories"},
        {"labels": "labels", "notification_templates_approvals": "notification_templates", **NOTIFIED},
        roles=("admin_role", "execute_role", "approval_role", "read_role"),
    ),
    "workflow_job_template_nodes": Kind(
        "workflow_job_template_node",
        {
            **PROMPTS,
            **{"identifier": "", "workflow_job_template": None, "unified_job_template": None},
            **{"extra_data": {}, "all_parents_must_converge": False},
        },
        {"workflow_job_template": "workflow_job_templates", "unified_job_template": "unified_job_templates"},
        {**dict.fromkeys(LINKS, "workflow_job_template_nodes"), "credentials": "credentials", "labels": "labels"},
        key="identifier",
    ),
    "workflow_approval_templates": Kind("workflow_approval_template", {"description": "", "timeout": 0}),
    "schedules": Kind(
        "schedule",
        {**PROMPTS, "description": "", "unified_job_template": None, "rrule": "", "extra_data": {}, "enabled": True},
        {"unified_job_template": "unified_job_templates"},
        {"credentials": "credentials", "labels": "labels", "instance_groups": "instance_groups"},
    ),
    "teams": Kind(
        "team",
        {"description": "", "organization": None},
        {"organization": "organizations"},
        roles=("admin_role", "member_role", "read_role"),
    ),
    "labels": Kind("label", {"organization": None}, {"organization": "organizations"}),
    "instance_groups": Kind("instance_group", {}),
}
UNIFIED = ("projects", "inventory_sources", "job_templates", "workflow_job_templates")
"""What a node or a schedule can run. Approvals are unified job templates, too, but are in no list."""
SECRET = {"email": ("password",), "slack": ("token",), "webhook": ("password",), "pagerduty": ("token",)}
"""A type of notification → the fields of its configuration that are not shown."""
CONFIGURATION: Mapping[str, Json] = {
    "email": {
        **dict.fromkeys(("host", "port", "username", "password", "use_tls", "use_ssl", "sender", "recipients")),
        "timeout": 30,
    },
    "webhook": {
        **dict.fromkeys(("url", "headers")),
        **{"disable_ssl_verification": False, "username": "", "password": "", "http_method": "POST"},
    },
    "slack": {**dict.fromkeys(("token", "channels")), "hex_color": ""},
}
"""A type of notification → its fields; None: has to be given."""


@dataclass
class User:
    """Who a token belongs to."""

    username: str
    is_superuser: bool = False
    administers: tuple[str, ...] = ()
    scope: str = "write"


class Awx:
    """What is stored, and the rules about it."""

    def __init__(self, lacks: tuple[str, ...] = ()) -> None:
        self.lock = threading.RLock()
        self.items: dict[str, dict[int, Json]] = {endpoint: {} for endpoint in KINDS}
        self.associated: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], Json] = {}
        self.granted: dict[int, list[int]] = {}
        self.role_of: dict[int, tuple[str, int, str]] = {}
        self.secrets: dict[tuple[str, int], Json] = {}
        self.updates: dict[int, str] = {}
        self.users: dict[str, User] = {"of-admin": User("admin", is_superuser=True)}
        self.lacks = lacks
        self.unreachable: set[str] = set()
        self.writes: list[str] = []
        self.fail_after: int | None = None
        self._last = 0

    # what a test looks at and does by hand

    def named(self, endpoint: str, name: str) -> Json:
        """The item of this name; raises KeyError if there is none."""
        for item in self.items[endpoint].values():
            if item[KINDS[endpoint].key] == name:
                return item
        raise KeyError(name)

    def names(self, endpoint: str) -> set[str]:
        return {item[KINDS[endpoint].key] for item in self.items[endpoint].values()}

    def related(self, endpoint: str, number: int, association: str) -> set[str]:
        """The names of what is associated with an item."""
        there = KINDS[endpoint].related[association]
        numbers = self.associated.get((endpoint, number, association), [])
        return {self.items[there][one][KINDS[there].key] for one in numbers}

    def associations(self, endpoint: str) -> list[str]:
        return list(KINDS[endpoint].related)

    def name_of(self, endpoint: str, key: str, number: int | None) -> str | None:
        """The name of the item that this field names by its number."""
        there = KINDS[endpoint].foreign.get(key, "")
        endpoints = (*UNIFIED, "workflow_approval_templates") if there == "unified_job_templates" else (there,)
        names = [self.items[one][number]["name"] for one in endpoints if number in self.items.get(one, {})]
        return names[0] if names and number is not None else None

    def nodes(self, workflow: str) -> list[Json]:
        number = self.named("workflow_job_templates", workflow)["id"]
        nodes = self.items["workflow_job_template_nodes"].values()
        return [node for node in nodes if node["workflow_job_template"] == number]

    def path(self, workflow: str) -> list[str]:
        """The identifiers of the nodes in the order in which they run while all succeed. Each has one that follows."""
        following = {
            node["id"]: self.associated.get(("workflow_job_template_nodes", node["id"], "success_nodes"), [])
            for node in self.nodes(workflow)
        }
        (here,) = following.keys() - {number for numbers in following.values() for number in numbers}
        walked = [here]
        while following[here]:
            (here,) = following[here]
            walked.append(here)
        return [self.items["workflow_job_template_nodes"][number]["identifier"] for number in walked]

    def copy(self) -> Awx:
        """Another one with the same contents."""
        other = Awx(self.lacks)
        with self.lock:
            kept = {name: value for name, value in vars(self).items() if name != "lock"}
            vars(other).update(copy.deepcopy(kept))
        return other

    def roles(self, team: str) -> set[tuple[str, str]]:
        """The roles that the team has: name of the item, and role."""
        number = self.named("teams", team)["id"]
        held = [self.role_of[role] for role, teams in self.granted.items() if number in teams]
        return {(self.items[endpoint][item]["name"], role) for endpoint, item, role in held}

    def everything(self) -> str:
        """All that is stored, as text: to see that nothing was written."""
        keyed = {
            str(key): value for kept in (self.surveys, self.secrets, self.associated) for key, value in kept.items()
        }
        return json.dumps([self.items, self.granted, keyed], sort_keys=True)

    def make(self, endpoint: str, **given: Any) -> int:
        """Make an item as if by hand."""
        return int(self.create(endpoint, given, User("hand", is_superuser=True))["id"])

    # requests

    def answer(self, method: str, path: str, query: list[tuple[str, str]], body: Json, user: User) -> tuple[int, Any]:
        """Return the status and the body of an answer. Raises HttpError."""
        with self.lock:
            if method != "GET":
                self._may_write(method, path, user)
            parts = [part for part in path.removeprefix("/api/v2").split("/") if part]
            if parts == ["me"]:
                return 200, self._page([{"id": 1, "type": "user", **vars(user)}], query, path)
            if parts[:1] == ["project_updates"]:
                return 200, self._update(int(parts[1]))
            if parts[:1] == ["roles"]:
                return self._role(method, int(parts[1]), query, path, body)
            if parts == ["unified_job_templates"]:
                found = [(endpoint, item) for endpoint in UNIFIED for item in self.items[endpoint].values()]
                return 200, self._list(found, query, path, user)
            if not parts or parts[0] not in KINDS or parts[0] in self.lacks:
                raise HttpError(404, {"detail": "The requested resource could not be found."})
            return self._of_kind(method, parts, query, path, body, user)

    def _update(self, number: int) -> Json:
        status = self.updates[number]
        update = {"id": number, "url": f"/api/v2/project_updates/{number}/", "status": status, "scm_revision": "abc"}
        return {**update, "failed": status == "failed", "finished": "2026-01-01", "event_processing_finished": True}

    def _fetch(self, item: Json) -> int:
        """Fetch a project, and return the number of the update."""
        self._last += 1
        item["status"] = self.updates[self._last] = "failed" if item["scm_url"] in self.unreachable else "successful"
        return self._last

    def _may_write(self, method: str, path: str, user: User) -> None:
        if self.fail_after is not None and len(self.writes) >= self.fail_after:
            raise HttpError(502, {"detail": "Bad gateway"})
        forbidden = HttpError(403, {"detail": "You do not have permission to perform this action."})
        if user.scope != "write":
            raise forbidden
        if not user.is_superuser and (not user.administers or "/credential_types/" in path):
            raise forbidden
        if not user.is_superuser and method == "POST" and path.endswith("/organizations/"):
            raise forbidden
        self.writes.append(f"{method} {path}")

    def _of_kind(
        self, method: str, parts: list[str], query: list[tuple[str, str]], path: str, body: Json, user: User
    ) -> tuple[int, Any]:
        endpoint = parts[0]
        if len(parts) == 1:
            if method == "POST":
                return 201, self.create(endpoint, body, user)
            if endpoint == "workflow_approval_templates":
                raise HttpError(405, {"detail": 'Method "GET" not allowed.'})
            return 200, self._list([(endpoint, item) for item in self.items[endpoint].values()], query, path, user)
        number = int(parts[1])
        if number not in self.items[endpoint]:
            raise HttpError(404, {"detail": "The requested resource could not be found."})
        if len(parts) == 2:
            return self._detail(method, endpoint, number, body, user)
        return self._below(method, endpoint, number, parts[2], query, path, body, user)

    def _detail(self, method: str, endpoint: str, number: int, body: Json, user: User) -> tuple[int, Any]:
        if method == "PATCH":
            self._store(endpoint, number, body)
        if method == "DELETE":
            self._delete(endpoint, number)
            return 204, None
        return 200, self._shown(endpoint, self.items[endpoint][number], user, patched=method == "PATCH")

    def _below(
        self,
        method: str,
        endpoint: str,
        number: int,
        what: str,
        query: list[tuple[str, str]],
        path: str,
        body: Json,
        user: User,
    ) -> tuple[int, Any]:
        if what == "survey_spec":
            if method == "POST":
                self.surveys[endpoint, number] = checked_survey(body)
                return 200, {}
            return 200, self.surveys.get((endpoint, number), {})
        if (endpoint, what, method) == ("projects", "update", "POST"):
            return 202, self._update(self._fetch(self.items[endpoint][number]))
        if what == "create_approval_template" and method == "POST":
            approval = self.create("workflow_approval_templates", body, user)
            self.items[endpoint][number]["unified_job_template"] = approval["id"]
            return 201, approval
        if what not in KINDS[endpoint].related:
            raise HttpError(404, {"detail": "The requested resource could not be found."})
        return self._association(method, endpoint, number, what, query, path, body, user)

    def _association(
        self,
        method: str,
        endpoint: str,
        number: int,
        what: str,
        query: list[tuple[str, str]],
        path: str,
        body: Json,
        user: User,
    ) -> tuple[int, Any]:
        there = KINDS[endpoint].related[what]
        numbers = self.associated.setdefault((endpoint, number, what), [])
        if method == "GET":
            return 200, self._list([(there, self.items[there][one]) for one in numbers], query, path, user)
        one = int(body["id"])
        if one not in self.items[there]:
            raise HttpError(404, {"detail": "The requested resource could not be found."})
        if body.get("disassociate"):
            numbers[:] = [other for other in numbers if other != one]
            return 204, None
        if what == "credentials":
            self._one_of_a_type(numbers, one)
        if what in LINKS:
            self._no_cycle(number, one, what)
        if one not in numbers:
            numbers.append(one)
        return 204, None

    def _one_of_a_type(self, numbers: list[int], one: int) -> None:
        types = [self.items["credentials"][number]["credential_type"] for number in numbers if number != one]
        if self.items["credentials"][one]["credential_type"] in types:
            raise HttpError(400, {"error": "Cannot assign multiple credentials of one type."})

    def _no_cycle(self, parent: int, child: int, what: str) -> None:
        for link in LINKS:
            if link != what and child in self.associated.get(("workflow_job_template_nodes", parent, link), []):
                raise HttpError(400, {"Error": "Relationship not allowed."})
        reached, todo = set(), [child]
        while todo:
            node = todo.pop()
            reached.add(node)
            for link in LINKS:
                todo += self.associated.get(("workflow_job_template_nodes", node, link), [])
        if parent in reached:
            raise HttpError(400, {"Error": "Cycle detected."})

    def _role(self, method: str, role: int, query: list[tuple[str, str]], path: str, body: Json) -> tuple[int, Any]:
        teams = self.granted.setdefault(role, [])
        if method == "GET":
            listed = [("teams", self.items["teams"][team]) for team in teams]
            return 200, self._list(listed, query, path, User("admin", is_superuser=True))
        teams[:] = [team for team in teams if team != body["id"]]
        if not body.get("disassociate"):
            teams.append(int(body["id"]))
        return 204, None

    # items

    def create(self, endpoint: str, given: Json, user: User) -> Json:
        """Store a new item and return how it is shown. Raises HttpError."""
        kind = KINDS[endpoint]
        if not given.get(kind.key):
            raise invalid(**{kind.key: "This field is required."})
        alike = ("organization", "inventory", "workflow_job_template", "credential_type")
        for other in self.items[endpoint].values() if endpoint != "workflow_approval_templates" else []:
            if all(other.get(name) == given.get(name) for name in (kind.key, *alike)):
                raise invalid(__all__=f"{kind.type} with this name already exists.")
        self._last += 1
        number = self._last
        self.items[endpoint][number] = {"id": number, kind.key: given[kind.key], **json.loads(json.dumps(kind.fields))}
        for role in kind.roles:
            self._last += 1
            self.role_of[self._last] = (endpoint, number, role)
        try:
            self._store(endpoint, number, given)
        except HttpError:
            del self.items[endpoint][number]
            raise
        return self._shown(endpoint, self.items[endpoint][number], user, patched=True)

    def _store(self, endpoint: str, number: int, given: Json) -> None:
        kind, item = KINDS[endpoint], self.items[endpoint][number]
        for name, value in given.items():
            if name in kind.foreign and value is not None and not self._exists(kind.foreign[name], value):
                raise invalid(**{name: f'Invalid pk "{value}" - object does not exist.'})
        # The workflow of a node cannot be changed.
        known = {name: value for name, value in given.items() if name == kind.key or name in kind.fields}
        if endpoint == "credentials" and "inputs" in known:
            known["inputs"] = self._credential_inputs({**item, **known}, number)
        if endpoint == "notification_templates" and "notification_configuration" in known:
            known["notification_configuration"] = self._configuration({**item, **known}, number)
        if endpoint == "credential_types":
            check_injectors({**item, **known})
        if endpoint == "schedules":
            self._check_schedule({**item, **known})
        if endpoint == "job_templates":
            self._check_playbook({**item, **known})
        item.update(json.loads(json.dumps(known)))
        if endpoint == "projects" and any(name.startswith("scm_") or name == "credential" for name in known):
            item["current_update"] = self._fetch(item)

    def _exists(self, endpoint: str, number: int) -> bool:
        endpoints = (*UNIFIED, "workflow_approval_templates") if endpoint == "unified_job_templates" else (endpoint,)
        return any(number in self.items[one] for one in endpoints)

    def _credential_inputs(self, item: Json, number: int) -> Json:
        fields = self.items["credential_types"][item["credential_type"]]["inputs"].get("fields", [])
        unknown = item["inputs"].keys() - {one["id"] for one in fields}
        if unknown:
            raise invalid(inputs=f"Additional properties are not allowed ({', '.join(sorted(unknown))})")
        for value in item["inputs"].values():
            if not isinstance(value, str):
                raise invalid(inputs=f"{value!r} is not of type 'string'")
        return self._hidden(("credentials", number), item["inputs"], [one["id"] for one in fields if one.get("secret")])

    def _configuration(self, item: Json, number: int) -> Json:
        fields = CONFIGURATION[item["notification_type"]]
        given = item["notification_configuration"]
        if lacking := [name for name, default in fields.items() if default is None and name not in given]:
            raise invalid(non_field_errors=f"Missing required fields for Notification Configuration: {lacking}.")
        secret = SECRET[item["notification_type"]]
        return self._hidden(("notification_templates", number), {**fields, **given}, secret)

    def _hidden(self, of: tuple[str, int], values: Json, secret: Any) -> Json:
        kept = self.secrets.setdefault(of, {})
        kept.update({name: values[name] for name in secret if values.get(name) not in (None, "", ENCRYPTED)})
        return {name: ENCRYPTED if name in secret and value else value for name, value in values.items()}

    def _check_schedule(self, item: Json) -> None:
        if not re.fullmatch(r"DTSTART(;TZID=[^:]+)?:\d{8}T\d{6}Z? RRULE:FREQ=\w+;INTERVAL=\d+(;.*)?", item["rrule"]):
            raise invalid(rrule="Valid DTSTART required in rrule.")
        for endpoint in ("job_templates", "workflow_job_templates"):
            for question in self.surveys.get((endpoint, item["unified_job_template"]), {}).get("spec", []):
                if question["required"] and question["variable"] not in item["extra_data"]:
                    raise invalid(variables_needed_to_start=f"'{question['variable']}' value missing")

    def _check_playbook(self, item: Json) -> None:
        if self.items["projects"].get(item["project"], {}).get("status") != "successful":
            raise invalid(playbook="Playbook not found for project.")

    def _delete(self, endpoint: str, number: int) -> None:
        del self.items[endpoint][number]
        for key, numbers in list(self.associated.items()):
            if key[:2] == (endpoint, number):
                del self.associated[key]
            elif KINDS[key[0]].related[key[2]] == endpoint:
                numbers[:] = [other for other in numbers if other != number]

    # how it is shown

    def _shown(self, endpoint: str, item: Json, user: User, patched: bool = False) -> Json:
        kind, number = KINDS[endpoint], item["id"]
        url = f"/api/v2/{endpoint}/{number}/"
        related = {name: f"{url}{name}/" for name in kind.related}
        summary: Json = {"user_capabilities": {"edit": self._may_edit(endpoint, item, user)}}
        if endpoint in ("job_templates", "workflow_job_templates"):
            related["survey_spec"] = f"{url}survey_spec/"
        if kind.roles:
            ids = {role: id_ for id_, (of, one, role) in self.role_of.items() if (of, one) == (endpoint, number)}
            summary["object_roles"] = {role: {"id": id_, "name": role} for role, id_ in ids.items()}
        shown = {**item, "type": kind.type, "url": url, "related": related, "summary_fields": summary}
        if endpoint == "credential_types":
            shown["managed"] = False
        if endpoint == "projects":
            related["update"] = f"{url}update/"
            update = shown.pop("current_update", None)
            if update and patched:
                summary["current_update"] = {"id": update}
        if endpoint == "workflow_job_template_nodes":
            self._show_node(shown)
        return shown

    def _may_edit(self, endpoint: str, item: Json, user: User) -> bool:
        return user.is_superuser or (endpoint == "organizations" and item["name"] in user.administers)

    def _show_node(self, shown: Json) -> None:
        for link in LINKS:
            shown[link] = list(self.associated.get(("workflow_job_template_nodes", shown["id"], link), []))
        runs = shown["unified_job_template"]
        for endpoint in (*UNIFIED, "workflow_approval_templates"):
            if runs in self.items[endpoint]:
                item = self.items[endpoint][runs]
                shown["related"]["unified_job_template"] = f"/api/v2/{endpoint}/{runs}/"
                kind = "workflow_approval" if endpoint == "workflow_approval_templates" else "job"
                summary = {"id": runs, "name": item["name"], "description": item["description"]}
                if "timeout" in item and kind == "workflow_approval":
                    summary["timeout"] = item["timeout"]
                shown["summary_fields"]["unified_job_template"] = {**summary, "unified_job_type": kind}

    def _list(self, found: list[tuple[str, Json]], query: list[tuple[str, str]], path: str, user: User) -> Json:
        alternatives = [(name[4:], value) for name, value in query if name.startswith("or__")]
        filters = [pair for pair in query if pair[0] not in ("page", "page_size") and not pair[0].startswith("or__")]
        kept = [
            self._shown(endpoint, item, user)
            for endpoint, item in found
            if all(self._fits(endpoint, item, name, value) for name, value in filters)
            and (not alternatives or any(self._fits(endpoint, item, name, value) for name, value in alternatives))
            and self._may_see(endpoint, item, user)
        ]
        return self._page(kept, query, path)

    def _may_see(self, endpoint: str, item: Json, user: User) -> bool:
        """Members see what is theirs; types of credentials are everybody's."""
        organization = (
            item if endpoint == "organizations" else self.items["organizations"].get(item.get("organization"))
        )
        if user.is_superuser or organization is None:
            return True
        return organization["name"] in user.administers

    def _fits(self, endpoint: str, item: Json, name: str, value: str) -> bool:
        path, _, lookup = name.rpartition("__")
        if lookup not in ("in", "iexact"):
            path, lookup = name, "exact"
        first, _, rest = path.partition("__")
        kind = KINDS[endpoint]
        if first == "type":
            return kind.type == value
        if first not in (*kind.fields, kind.key, "id"):
            raise HttpError(400, {"detail": f"{kind.type} has no field named '{first}'"})
        if rest:
            there = kind.foreign[first]
            endpoints = UNIFIED if there == "unified_job_templates" else (there,)
            owners = [(one, self.items[one][item[first]]) for one in endpoints if item[first] in self.items[one]]
            ahead = f"{rest}__{lookup}" if lookup != "exact" else rest
            return any(self._fits(one, owner, ahead, value) for one, owner in owners)
        found = "None" if item[first] is None else str(item[first])
        if lookup == "in":
            return found in value.split(",")
        return found.casefold() == value.casefold() if lookup == "iexact" else found == value

    def _page(self, found: list[Json], query: list[tuple[str, str]], path: str) -> Json:
        given = dict(query)
        size = min(int(given.get("page_size", 25)), MAX_PAGE)
        page = int(given.get("page", 1))
        more = len(found) > page * size
        following = f"{path}?{urlencode({**given, 'page': page + 1})}" if more else None
        return {"count": len(found), "next": following, "results": found[(page - 1) * size : page * size]}


def check_injectors(item: Json) -> None:
    """Render a credential type's injectors as AWX does when it is stored. Raises HttpError."""
    fields = {one["id"]: "EXAMPLE" for one in item["inputs"].get("fields", [])}
    files = {label.partition(".")[2]: "/path" for label in item["injectors"].get("file", {})}
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    for kind in ("file", "env"):
        for name, text in item["injectors"].get(kind, {}).items():
            if kind == "env" and (not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("ANSIBLE_")):
                raise invalid(injectors=f"Environment variable {name} is not allowed.")
            try:
                environment.from_string(text).render(**fields, tower={"filename": files})
            except TemplateError as error:
                raise invalid(injectors=f"{name}: {error}") from error


def checked_survey(spec: Json) -> Json:
    """Return the survey as AWX stores it. Raises HttpError."""
    if not all(name in spec for name in ("name", "description", "spec")) or not spec["spec"]:
        raise HttpError(400, {"error": "Field is missing from survey spec."})
    for place, question in enumerate(spec["spec"]):
        lacking = {"type", "question_name", "variable", "required"} - question.keys()
        if lacking or not isinstance(question["required"], bool):
            raise HttpError(400, {"error": f"{sorted(lacking)} missing from survey question {place}"})
        if question["type"] == "multiplechoice":
            if not question.get("choices"):
                raise HttpError(400, {"error": f"Survey question {place} must specify choices."})
            if question.get("default", question["choices"][0]) not in ("", *question["choices"]):
                raise HttpError(400, {"error": "Default choice must be answered from the choices listed."})
        for bound in ("min", "max"):
            if not isinstance(question.get(bound, 0), int):
                raise HttpError(400, {"error": f"The {bound} limit in survey question {place} expected an integer."})
    return spec


class _Handler(BaseHTTPRequestHandler):
    awx: Awx

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        try:
            status, answer = self._answer(url.path, parse_qsl(url.query, keep_blank_values=True), body)
        except HttpError as error:
            status, answer = error.status, error.body
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_request  # noqa: N815 - the names that http.server looks for

    def _answer(self, path: str, query: list[tuple[str, str]], body: Json) -> tuple[int, Any]:
        given = self.headers.get("Authorization") or ""
        if path == "/api/v2/tokens/" and self.command == "POST":
            if given != f"Basic {base64.b64encode(PASSWORD.encode()).decode()}":
                raise HttpError(401, {"detail": "Invalid username/password."})
            return 201, {"id": 1, "token": "of-admin"}
        if path == "/api/v2/tokens/1/" and self.command == "DELETE":
            return 204, None
        token = given.removeprefix("Bearer ")
        if token and token not in self.awx.users:
            raise HttpError(401, {"detail": "Invalid token."})
        if path == "/api/v2/":
            known = {*KINDS, "me", "workflow_approvals", "unified_job_templates"} - set(self.awx.lacks)
            return 200, {name: f"/api/v2/{name}/" for name in sorted(known)}
        if not path.startswith("/api/v2/"):
            raise HttpError(404, {"detail": "The requested resource could not be found."})
        if not token:
            raise HttpError(401, {"detail": "Authentication credentials were not provided."})
        return self.awx.answer(self.command, path, query, body, self.awx.users[token])

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def served(awx: Awx) -> Iterator[str]:
    """Serve this AWX on a free port of loopback, and yield its URL."""
    handler = type("Handler", (_Handler,), {"awx": awx})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
