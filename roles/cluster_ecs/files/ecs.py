"""Look at a cluster in Amazon ECS, and wait for it: `python ecs.py look|address|settled|forget JSON`.

Services, task definitions and the secret are made and deleted by Ansible's modules. Here is what no module has: what is
wrong with what is asked, where the scheduler's task is, whether all tasks are there, and the end of task definitions.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

try:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session
except ImportError:  # `look` says it
    ClientError = BotoCoreError = Exception  # type: ignore[misc, assignment]

POLL_S = 1.0
"""How often ECS is asked. botocore's waiters tell neither an address nor why a task has stopped."""
LABEL = "rehome.cluster.digest"
"""The label of a container that says what its task definition was made of."""
PACKAGES = ("boto3", "botocore", "distributed")
DELETED_AT_ONCE = 10
DESCRIBED_AT_ONCE = 100
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
UNKNOWN_KEYS = ("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure", "ExpiredTokenException")
ATTEMPTS = 5


class EcsError(Exception):
    """What is wrong, in words for the operator, and its code."""

    def __init__(self, problem: str, code: str) -> None:
        """Keep both."""
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    cluster: the ECS cluster
    services: role (`scheduler`, `mover`) → the name of the service, which is its task definitions' family, too
    wait_s: for how long to wait
    subnets, security_groups, roles: what has to be there, by the setting that names it
    definition: the task definition whose task is waited for, as `family:revision`
    check: whether nothing is to be changed
    """

    cluster: str
    services: dict[str, str]
    wait_s: int = 0
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    definition: str = ""
    check: bool = False


def main() -> int:
    """Run the command line and print one line of JSON. Return the exit status."""
    verb, text = sys.argv[1:]
    result: dict[str, Any] = {}
    try:
        if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
            raise EcsError(
                f"{sys.executable}: has no package {', '.join(missing)}, which cluster_kind=ecs takes. Install it: "
                f"{sys.executable} -m pip install -r requirements.txt -r requirements-cluster.txt -c constraints.txt",
                "RH-911",
            )
        result = _answered(VERBS[verb], Wanted(**json.loads(text)))
    except EcsError as error:
        result = {"problem": str(error), "code": error.code}
    sys.stdout.write(json.dumps({"changed": False, "problem": "", **result}) + "\n")
    return 0


def _answered(verb: Callable[[Wanted], dict[str, Any]], wanted: Wanted) -> dict[str, Any]:
    """Return what a verb returns. AWS's refusals become messages that name a way out."""
    try:
        return verb(wanted)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        said = f"AWS answers {error.operation_name} with {code}: {error.response['Error'].get('Message', '')}"
        if code in DENIED:
            raise EcsError(
                f"{said}. Give the operator's principal this right (docs/fleet.md lists them)",
                "RH-922",
            ) from None
        if code in UNKNOWN_KEYS:
            raise EcsError(
                f"{said}. Give credentials that AWS accepts, or name a profile (cluster_ecs_profile)",
                "RH-922",
            ) from None
        raise EcsError(said, "RH-922") from None
    except BotoCoreError as error:
        raise EcsError(
            f"AWS cannot be asked: {error}. Set cluster_ecs_region, and give credentials as to any program of AWS, or "
            "name a profile (cluster_ecs_profile)",
            "RH-922",
        ) from None


def _client(service: str) -> Any:
    from botocore.config import Config  # noqa: PLC0415 - `look` says if it is missing

    retries = Config(retries={"mode": "standard", "max_attempts": ATTEMPTS})
    # as Ansible's modules do; botocore knows the second one alone
    region = os.environ.get("AWS_REGION") or None
    return Session().create_client(service, region_name=region, config=retries)


# What is there


def look(wanted: Wanted) -> dict[str, Any]:
    """Return what there is of the cluster. Reads only. Raises EcsError if it cannot run as it is asked for."""
    ecs = _client("ecs")
    _check_cluster(ecs, wanted)
    _check_network(wanted)
    _check_roles(wanted)
    return {
        "region": ecs.meta.region_name,
        "services": _services(ecs, wanted),
        "definitions": {role: _newest(ecs, family) for role, family in wanted.services.items()},
    }


def _check_cluster(ecs: Any, wanted: Wanted) -> None:
    found = ecs.describe_clusters(clusters=[wanted.cluster])["clusters"]
    if not any(cluster["status"] == "ACTIVE" for cluster in found):
        there = sorted(arn.rpartition("/")[2] for page in _pages(ecs, "list_clusters") for arn in page["clusterArns"])
        raise EcsError(
            f"cluster_ecs_cluster ({wanted.cluster}): there is no such ECS cluster in {ecs.meta.region_name}; there "
            f"are {', '.join(there) or 'none'}. Name one, or make it: "
            "aws ecs create-cluster --cluster-name NAME",
            "RH-102",
        )


def _check_network(wanted: Wanted) -> None:
    if not wanted.subnets:
        return
    ec2 = _client("ec2")
    asks: dict[str, Callable[[], Any]] = {
        "subnets": lambda: ec2.describe_subnets(SubnetIds=wanted.subnets),
        "security_groups": lambda: ec2.describe_security_groups(GroupIds=wanted.security_groups),
    }
    for name, ask in asks.items():
        try:
            ask()
        except ClientError as error:
            if error.response["Error"]["Code"] in DENIED + UNKNOWN_KEYS:
                raise
            raise EcsError(
                f"cluster_ecs_{name} ({', '.join(getattr(wanted, name))}): {error.response['Error']['Message']} Name "
                f"those of the network in which the tasks are to run, in {ec2.meta.region_name}",
                "RH-102",
            ) from None


def _check_roles(wanted: Wanted) -> None:
    """Refuse roles that are not there. Who may not look at roles finds out from ECS."""
    iam = _client("iam")
    for name, role in wanted.roles.items():
        try:
            iam.get_role(RoleName=role.rpartition("/")[2])
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                continue
            raise EcsError(
                f"cluster_ecs_{name} ({role}): there is no such role. Name one, or have an administrator make it "
                "(docs/fleet.md says which rights it has)",
                "RH-102",
            ) from None


def _services(ecs: Any, wanted: Wanted) -> dict[str, dict[str, Any]]:
    """Return the services that are there, by their roles."""
    found = ecs.describe_services(cluster=wanted.cluster, services=list(wanted.services.values()))["services"]
    by_name = {service["serviceName"]: service for service in found if service["status"] == "ACTIVE"}
    return {
        role: {"definition": _short(by_name[name]["taskDefinition"]), "count": by_name[name]["desiredCount"]}
        for role, name in wanted.services.items()
        if name in by_name
    }


def _definitions(ecs: Any, family: str, status: str = "ACTIVE") -> list[str]:
    """Return the task definitions of a family, the newest first."""
    arns = (
        arn
        for page in _pages(ecs, "list_task_definitions", familyPrefix=family, status=status)
        for arn in page["taskDefinitionArns"]
        # it is a prefix only by its name in the API, but not so in all services that speak it
        if _short(arn).rpartition(":")[0] == family
    )
    return sorted(arns, key=lambda arn: int(arn.rpartition(":")[2]), reverse=True)


def _newest(ecs: Any, family: str) -> dict[str, str]:
    """Return the newest task definition, and what it was made of; empty if there is none."""
    for arn in _definitions(ecs, family)[:1]:
        found = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"][0]
        return {"name": _short(arn), "digest": found.get("dockerLabels", {}).get(LABEL, "")}
    return {"name": "", "digest": ""}


def _short(definition: str) -> str:
    return definition.rpartition("/")[2]


def _pages(client: Any, operation: str, **asked: Any) -> Iterator[Mapping[str, Any]]:
    yield from client.get_paginator(operation).paginate(**asked)


# What runs


def address(wanted: Wanted) -> dict[str, Any]:
    """Wait for the scheduler's task, and return its private address."""
    ecs = _client("ecs")
    deadline = time.monotonic() + wanted.wait_s
    while True:
        running = [task for task in _tasks(ecs, wanted, "scheduler") if _runs(task, wanted.definition)]
        for task in running:
            if ip := _ip(task):
                return {"ip": ip}
        if time.monotonic() > deadline:
            raise EcsError(
                f"cluster_wait_s ({wanted.wait_s}): after so many seconds the scheduler's task does not run: "
                f"{_reason(ecs, wanted, 'scheduler')}",
                "RH-921",
            )
        time.sleep(POLL_S)


def settled(wanted: Wanted) -> dict[str, Any]:
    """Wait until each service has the tasks that it is to have, of its task definition, and no others."""
    ecs = _client("ecs")
    deadline = time.monotonic() + wanted.wait_s
    while unsettled := _unsettled(ecs, wanted):
        if time.monotonic() > deadline:
            role, words = unsettled
            raise EcsError(
                f"cluster_wait_s ({wanted.wait_s}): after so many seconds the service {wanted.services[role]} has "
                f"{words}: {_reason(ecs, wanted, role)}",
                "RH-921",
            )
        time.sleep(POLL_S)
    return {}


def _unsettled(ecs: Any, wanted: Wanted) -> tuple[str, str] | None:
    """Return a service that has not the tasks that it is to have: its role, and what it has."""
    for role, service in _services(ecs, wanted).items():
        tasks = _tasks(ecs, wanted, role)
        right = sum(_runs(task, service["definition"]) for task in tasks)
        if right != service["count"] or right != len(tasks):
            return role, f"{right} of {service['count']} tasks, and {len(tasks) - right} that are to end or begin"
    return None


def _tasks(ecs: Any, wanted: Wanted, role: str, status: str = "RUNNING") -> list[Mapping[str, Any]]:
    """Return the tasks of a service that are to run, or that have stopped a short while ago."""
    asked = {"cluster": wanted.cluster, "serviceName": wanted.services[role], "desiredStatus": status}
    arns = [arn for page in _pages(ecs, "list_tasks", **asked) for arn in page["taskArns"]]
    tasks = []
    for start in range(0, len(arns), DESCRIBED_AT_ONCE):
        some = arns[start : start + DESCRIBED_AT_ONCE]
        tasks += ecs.describe_tasks(cluster=wanted.cluster, tasks=some)["tasks"]
    return [task for task in tasks if task.get("group") == f"service:{wanted.services[role]}"]


def _runs(task: Mapping[str, Any], definition: str) -> bool:
    return task["lastStatus"] == "RUNNING" and _short(task["taskDefinitionArn"]) == definition


def _ip(task: Mapping[str, Any]) -> str:
    details = (detail for attached in task.get("attachments", []) for detail in attached["details"])
    return next((detail["value"] for detail in details if detail["name"] == "privateIPv4Address"), "")


def _reason(ecs: Any, wanted: Wanted, role: str) -> str:
    """Return what ECS says of tasks that do not run."""
    stopped = _tasks(ecs, wanted, role, "STOPPED")
    said: list[str] = []
    for task in stopped[-1:]:
        said.append(task.get("stoppedReason") or "a task has stopped")
        said += [container["reason"] for container in task.get("containers", []) if container.get("reason")]
    services = ecs.describe_services(cluster=wanted.cluster, services=[wanted.services[role]])["services"]
    said += [event["message"] for service in services for event in service.get("events", [])[:1]]
    return " | ".join(said) or "ECS does not say why"


# The end


def forget(wanted: Wanted) -> dict[str, Any]:
    """Deregister and delete the task definitions."""
    ecs = _client("ecs")
    active = [arn for family in wanted.services.values() for arn in _definitions(ecs, family)]
    inactive = [arn for family in wanted.services.values() for arn in _definitions(ecs, family, "INACTIVE")]
    if not wanted.check:
        for arn in active:
            ecs.deregister_task_definition(taskDefinition=arn)
        _delete(ecs, active + inactive)
    return {"changed": bool(active or inactive)}


def _delete(ecs: Any, arns: Sequence[str]) -> None:
    for start in range(0, len(arns), DELETED_AT_ONCE):
        answer = ecs.delete_task_definitions(taskDefinitions=arns[start : start + DELETED_AT_ONCE])
        for failure in answer.get("failures", []):
            raise EcsError(f"{failure['arn']}: cannot be deleted: {failure.get('reason')}", "RH-921")


VERBS: dict[str, Callable[[Wanted], dict[str, Any]]] = {
    "look": look,
    "address": address,
    "settled": settled,
    "forget": forget,
}

if __name__ == "__main__":
    sys.exit(main())
