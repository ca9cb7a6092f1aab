from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from tests.unit.cluster.programs import load

ecs = load("cluster_ecs", "ecs")
SERVICES = {"scheduler": "rehome-a-scheduler", "mover": "rehome-a-mover"}


class Aws:
    """A client of any service. answers: by operation, a value or an error."""

    class meta:  # noqa: N801 - as botocore names it
        region_name = "eu-west-1"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def ask(**asked: Any) -> Any:
            self.asked.append((operation, asked))
            answer = self.answers.get(operation, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    def get_paginator(self, operation: str) -> Any:
        client = self

        class Pages:
            def paginate(self, **asked: Any) -> list[Any]:
                return [getattr(client, operation)(**asked)]

        return Pages()


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no, hunter2"}}, "DescribeClusters")


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str, aws: Aws, **more: Any) -> Any:
    wanted = {"cluster": "copies", "services": SERVICES, **more}
    monkeypatch.setattr(ecs, "_client", lambda service: aws)
    monkeypatch.setattr(ecs, "POLL_S", 0.0)
    monkeypatch.setattr(sys, "argv", ["ecs.py", verb, json.dumps(wanted)])
    assert ecs.main() == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refusal("AccessDeniedException"), "Give the operator's principal this right"),
        (refusal("UnrecognizedClientException"), "Give credentials that AWS accepts"),
        (refusal("ThrottlingException"), "AWS answers DescribeClusters with ThrottlingException"),
        (NoCredentialsError(), "name a profile (cluster_ecs_profile)"),
    ],
)
def test_what_aws_refuses_is_told_with_a_way_out(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(monkeypatch, capsys, "look", Aws(describe_clusters=error))
    assert words in told["problem"]
    assert told["code"] == "RH-922"


def test_a_package_that_is_missing_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ecs, "PACKAGES", ("json", "no_such_package"))
    told = run(monkeypatch, capsys, "look", Aws())
    assert "has no package no_such_package" in told["problem"]
    assert "pip install -r requirements.txt -r requirements-cluster.txt" in told["problem"]
    assert told["code"] == "RH-911"


def test_who_may_not_look_at_roles_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    aws = Aws(
        describe_clusters={"clusters": [{"status": "ACTIVE"}]},
        describe_services={"services": []},
        list_task_definitions={"taskDefinitionArns": []},
        get_role=refusal("AccessDenied"),
    )
    told = run(monkeypatch, capsys, "look", aws, roles={"task_role": "arn:aws:iam::1:role/path/mover"})
    assert told["problem"] == ""
    assert ("get_role", {"RoleName": "mover"}) in aws.asked
    assert told["definitions"]["mover"] == {"name": "", "digest": ""}


def test_the_newest_definition_is_found_by_its_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arns = [f"arn:aws:ecs:eu-west-1:1:task-definition/rehome-a-mover:{number}" for number in (9, 10, 2)]
    found = {"containerDefinitions": [{"dockerLabels": {ecs.LABEL: "of 10"}}]}
    aws = Aws(
        describe_clusters={"clusters": [{"status": "ACTIVE"}]},
        describe_services={"services": []},
        list_task_definitions={
            "taskDefinitionArns": [*arns, "arn:aws:ecs:eu-west-1:1:task-definition/rehome-a-mover-b:11"]
        },
        describe_task_definition={"taskDefinition": found},
    )
    told = run(monkeypatch, capsys, "look", aws)
    assert told["definitions"]["mover"] == {"name": "rehome-a-mover:10", "digest": "of 10"}


def test_tasks_of_an_older_definition_are_not_the_service_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = SERVICES["scheduler"]
    service = {"serviceName": name, "status": "ACTIVE", "taskDefinition": f"{name}:2", "desiredCount": 1}
    event = {"message": "(service rehome-a-scheduler) was unable to place a task."}

    def task(revision: int, group: str = f"service:{name}", **more: Any) -> dict[str, Any]:
        details = [{"name": "privateIPv4Address", "value": f"10.0.0.{revision}"}]
        arn = f"arn:aws:ecs:eu-west-1:1:task-definition/{name}:{revision}"
        return {
            "lastStatus": "RUNNING",
            "taskDefinitionArn": arn,
            "group": group,
            "attachments": [{"details": details}],
            **more,
        }

    def aws(*tasks: dict[str, Any]) -> Aws:
        return Aws(
            list_tasks={"taskArns": ["a"]},
            describe_tasks={"tasks": list(tasks)},
            describe_services={"services": [{**service, "events": [event]}]},
        )

    asked = {"definition": f"{name}:2"}
    assert run(monkeypatch, capsys, "address", aws(task(1), task(2)), **asked)["ip"] == "10.0.0.2"
    told = run(monkeypatch, capsys, "address", aws(task(1), task(2, group="service:other")), **asked)
    assert told["code"] == "RH-921"
    assert event["message"] in told["problem"]
    assert run(monkeypatch, capsys, "settled", aws(task(2)))["problem"] == ""
    told = run(monkeypatch, capsys, "settled", aws(task(1), task(2)))
    assert "rehome-a-scheduler has 1 of 1 tasks, and 1 that are to end" in told["problem"]


def test_definitions_are_deleted_ten_at_a_time_and_none_in_a_dry_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arns = [f"arn:aws:ecs:eu-west-1:1:task-definition/rehome-a-mover:{number}" for number in range(1, 13)]
    aws = Aws(list_task_definitions={"taskDefinitionArns": arns})
    only = {"services": {"mover": "rehome-a-mover"}}
    assert run(monkeypatch, capsys, "forget", aws, check=True, **only)["changed"]
    assert {operation for operation, _ in aws.asked} == {"list_task_definitions"}
    assert run(monkeypatch, capsys, "forget", aws, **only)["changed"]
    deleted = [asked["taskDefinitions"] for operation, asked in aws.asked if operation == "delete_task_definitions"]
    assert max(map(len, deleted)) == 10
    aws.answers["delete_task_definitions"] = {"failures": [{"arn": arns[0], "reason": "in use"}]}
    told = run(monkeypatch, capsys, "forget", aws, **only)
    assert (told["problem"], told["code"]) == (f"{arns[0]}: cannot be deleted: in use", "RH-921")
