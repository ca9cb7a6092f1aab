"""Amazon ECS for tests: moto's API, and an agent that does what Fargate does, with processes in place of containers.

moto keeps services and makes no tasks of them. The agent makes the tasks, each with a loopback address as its private
one, and runs the entry point of Containerfile.mover with what the task definition says: command, variables, secrets.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.session import Session
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ecs.models import EC2ContainerServiceBackend, Task, ecs_backends
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[2]
REGION = "eu-west-1"
IMAGE = "registry.invalid/rehome-mover:1"
POLL_S = 0.1
PATIENCE_S = 20.0


@dataclass
class Container:
    """What runs of a task."""

    task: Task
    role: str
    ip: str
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Ecs:
    """An account with a network, roles and an ECS cluster, and the agent that runs tasks.

    exported: what a role gives a container that has one
    """

    folder: Path
    url: str
    agent_url: str
    exported: Mapping[str, str]
    subnet: str = ""
    group: str = ""
    roles: dict[str, str] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    refuses_images: bool = False
    engine: Path = ROOT / "module_utils"
    started: int = 0

    @property
    def keys(self) -> dict[str, str]:
        """The environment of an operator."""
        given = {"AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_REGION": REGION}
        return given | {"AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self, service: str) -> Any:
        session = Session()
        session.set_credentials("test", "test")
        return session.create_client(service, region_name=REGION, endpoint_url=self.url)  # type: ignore[call-overload]

    @property
    def settings(self) -> dict[str, Any]:
        """What the environment of an operator says."""
        return {
            "cluster_kind": "ecs",
            "cluster_image": IMAGE,
            "cluster_ecs_cluster": "copies",
            "cluster_ecs_subnets": [self.subnet],
            "cluster_ecs_security_groups": [self.group],
            "cluster_ecs_execution_role": self.roles["execution"],
            "cluster_ecs_task_role": self.roles["mover"],
            "cluster_ecs_log_group": "rehome",
        }

    def everything(self) -> dict[str, Any]:
        """What there is, as AWS says it."""
        ecs, secrets = self.client("ecs"), self.client("secretsmanager")
        services = ecs.list_services(cluster="copies")["serviceArns"]
        described = ecs.describe_services(cluster="copies", services=services)["services"] if services else []
        return {
            "services": {
                service["serviceName"]: (service["taskDefinition"].rpartition("/")[2], service["desiredCount"])
                for service in described
                if service["status"] == "ACTIVE"
            },
            "definitions": sorted(
                arn.rpartition("/")[2]
                for status in ("ACTIVE", "INACTIVE")
                for arn in ecs.list_task_definitions(status=status)["taskDefinitionArns"]
            ),
            "secrets": [secret["Name"] for secret in secrets.list_secrets()["SecretList"]],
        }

    def running(self, role: str) -> list[Container]:
        return [one for one in self.containers.values() if one.role == role and one.process.poll() is None]

    # What the agent does

    @property
    def _backend(self) -> EC2ContainerServiceBackend:
        return ecs_backends[DEFAULT_ACCOUNT_ID][REGION]

    def step(self) -> None:
        """Start the tasks that services lack, and end those that they have too much."""
        wanted: dict[str, tuple[str, int]] = {}
        for service in list(self._backend.services.values()):
            count = service.desired_count if service.status == "ACTIVE" else 0
            wanted[service.name] = (str(service.task_definition).rpartition("/")[2], count)
        for arn, container in list(self.containers.items()):
            definition, count = wanted.get(container.task.group.removeprefix("service:"), ("", 0))
            alike = [one for one in self.containers.values() if one.task.group == container.task.group]
            wrong = container.task.task_definition_arn.rpartition("/")[2] != definition or len(alike) > count
            if wrong or container.process.poll() is not None:
                self._end(container, "Scaling activity" if wrong else "Essential container in task exited")
                del self.containers[arn]
        for name, (definition, count) in wanted.items():
            here = [one for one in self.containers.values() if one.task.group == f"service:{name}"]
            for _ in range(count - len(here)):
                self._start(name, definition)

    def _start(self, service: str, definition: str) -> None:
        backend = self._backend
        network = backend.services[f"copies:{service}"].network_configuration
        (task,) = backend.run_task(
            "copies", definition, 1, None, "ecs-svc/1", None, "FARGATE", network, f"service:{service}"
        )
        if self.refuses_images:
            task.last_status = task.desired_status = "STOPPED"
            task.stopped_reason = f"CannotPullContainerError: {IMAGE}: not found"
            return
        self.started += 1
        ip = f"127.{os.getpid() % 200 + 20}.{self.started // 250}.{self.started % 250 + 1}"
        for detail in task.attachments[0]["details"]:
            if detail["name"] == "privateIPv4Address":
                detail["value"] = ip
        described = backend.describe_task_definition(definition)
        (container,) = described.container_definitions
        log = self.folder / f"{service}-{self.started}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),
            **of_image(self.engine),
            **{secret["name"]: self.secret(secret["valueFrom"]) for secret in container["secrets"]},
            "ECS_CONTAINER_METADATA_URI_V4": f"{self.agent_url}/{ip}",
            **(self.exported if getattr(described, "task_role_arn", "") else {}),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*entry_point(), *container["command"]],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        role = str(container["name"])
        self.containers[task.task_arn] = Container(task, role, ip, process, log)

    def secret(self, arn: str) -> str:
        return str(self.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])

    def _end(self, container: Container, reason: str) -> None:
        end(container.process)
        container.task.last_status = container.task.desired_status = "STOPPED"
        container.task.stopped_reason = reason


def entry_point() -> list[str]:
    """The image's, on the Python of the tests."""
    text = (ROOT / "Containerfile.mover").read_text()
    (line,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    words: list[str] = json.loads(line)
    assert words[0] == "python"
    return [sys.executable, *words[1:]]


def of_image(engine: Path = ROOT / "module_utils") -> dict[str, str]:
    """The variables of the image, with the engine of this checkout, or another one."""
    text = (ROOT / "Containerfile.mover").read_text()
    lines = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    variables = dict(word.split("=", 1) for line in lines for word in line.split())
    assert variables["PYTHONPATH"] == "/usr/share/rehome"
    return variables | {"PYTHONPATH": str(engine)}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a container: in good order at first."""
    try:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Metadata(BaseHTTPRequestHandler):
    """What a container can ask of the agent: the last part of the path is its address."""

    def do_GET(self) -> None:
        told = {"Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": [self.path.rpartition("/")[2]]}]}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running_ecs(folder: Path, exported: Mapping[str, str]) -> Iterator[Ecs]:
    """Run an ECS whose tasks are processes of this machine."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    metadata = ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    moto.start()
    host, port = moto.get_host_and_port()
    made = Ecs(folder, f"http://{host}:{port}", f"http://127.0.0.1:{metadata.server_port}", exported)
    over = threading.Event()
    agent = threading.Thread(target=_run_agent, args=(made, over), daemon=True)
    try:
        _prepare(made)
        agent.start()
        yield made
    finally:
        over.set()
        if agent.is_alive():
            agent.join(PATIENCE_S)
        for container in made.containers.values():
            end(container.process)
        metadata.shutdown()
        moto.stop()


def _run_agent(ecs: Ecs, over: threading.Event) -> None:
    while not over.wait(POLL_S):
        ecs.step()


def _prepare(ecs: Ecs) -> None:
    post(f"{ecs.url}/moto-api/reset")
    # a task that is looked at would end by and by
    progression = {"progression": "manual", "times": 1_000_000}
    post(f"{ecs.url}/moto-api/state-manager/set-transition", {"model_name": "ecs::task", "transition": progression})
    ec2, iam = ecs.client("ec2"), ecs.client("iam")
    ecs.subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ecs.group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    for role in ("execution", "mover"):
        made = iam.create_role(RoleName=f"rehome-{role}", AssumeRolePolicyDocument="{}")
        ecs.roles[role] = made["Role"]["Arn"]
    ecs.client("ecs").create_cluster(clusterName="copies")


def post(url: str, value: Any = None) -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("POST", urlsplit(url).path, json.dumps(value), {"Content-Type": "application/json"})
    assert connection.getresponse().status < 300
    connection.close()


def until(happened: Callable[[], bool], what: str, patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
