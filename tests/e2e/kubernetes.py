"""Kubernetes for tests: an API server for what the playbook makes, and a kubelet with processes in place of pods.

The server speaks as much of the API as Ansible's modules ask for, over plain HTTP, and takes nothing that the published
schemas of Kubernetes do not allow. Every pod has a loopback address. What a node has of the network and of volumes is
done on the command line (`as_process`): the name of a Service becomes its address, and the folder of a Secret one on
this machine.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml

from tests.e2e.ecs import end, entry_point, of_image

VERSION = "1.37"
NAMESPACE = "copies"
POLL_S = 0.1
PATIENCE_S = 20.0
KINDS = {
    "namespaces": ("v1", "Namespace"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "services": ("v1", "Service"),
    "deployments": ("apps/v1", "Deployment"),
}
VERBS = ["create", "delete", "get", "list", "patch", "update"]
PATH = re.compile(
    r"^(?:/api/v1|/apis/apps/v1)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?$"
)
Object = dict[str, Any]


class RefusedError(Exception):
    """What the server answers with."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
        self.body["message"] = message


@dataclass
class Pod:
    """What runs of a Deployment."""

    deployment: str
    template: str
    ip: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Container:
    """What a node is to start.

    args: of the image's entry point
    env: its variables, beside the image's
    keys: the folder of the Secret
    hosts: addresses by the names that the cluster's DNS has
    """

    name: str
    args: list[str]
    env: dict[str, str]
    keys: Path
    hosts: dict[str, str]


def as_process(container: Container, folder: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
    """Start a process of this machine in place of a container."""
    args = [word.replace("/keys/", f"{container.keys}/") for word in container.args]
    for name, ip in container.hosts.items():
        args = [word.replace(name, ip) for word in args]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), **of_image(), **container.env}
    return subprocess.Popen(
        [*entry_point(), *args],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


@dataclass
class Kubernetes:
    """A cluster with one namespace.

    exported: what the workers' service account gives them
    start: what starts a container, given the folder of all pods and its log
    forbidden: verbs and kinds that the user has no right on
    writes: what was written
    """

    folder: Path
    exported: Mapping[str, str]
    start: Callable[[Container, Path, BinaryIO], subprocess.Popen[bytes]] = as_process
    url: str = ""
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)
    refuses_images: bool = False
    started: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def kubeconfig(self) -> Path:
        file = self.folder / "kubeconfig"
        cluster = {"name": "test", "cluster": {"server": self.url}}
        context = {"name": "test", "context": {"cluster": "test", "user": "operator", "namespace": "default"}}
        user = {"name": "operator", "user": {"token": "of-the-operator"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "test"}
        config |= {"clusters": [cluster], "contexts": [context], "users": [user]}  # type: ignore[dict-item]
        file.write_text(yaml.safe_dump(config))
        return file

    @property
    def settings(self) -> dict[str, Any]:
        """What the environment of an operator says."""
        return {
            "cluster_kind": "kubernetes",
            "cluster_image": "registry.invalid/rehome-mover:1",
            "cluster_kubernetes_kubeconfig": str(self.kubeconfig),
            "cluster_kubernetes_context": "test",
            "cluster_kubernetes_namespace": NAMESPACE,
            "cluster_kubernetes_service_account": "mover",
        }

    def everything(self) -> dict[str, int]:
        """What was made, with its generation."""
        with self.lock:
            made = {key: value for key, value in self.objects.items() if key[0] not in ("namespaces", "pods")}
            return {f"{plural}/{name}": made[plural, name]["metadata"]["generation"] for plural, name in sorted(made)}

    def replicas(self) -> dict[str, int]:
        with self.lock:
            found = {name: value for (plural, name), value in self.objects.items() if plural == "deployments"}
            return {name: value["spec"]["replicas"] for name, value in found.items()}

    def running(self, deployment: str) -> list[Pod]:
        with self.lock:
            pods = list(self.pods.values())
        return [pod for pod in pods if pod.deployment == deployment and pod.process.poll() is None]

    # The API

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> Any:
        if method == "GET" and (told := _discovery(path)):
            return told
        found = PATH.match(path)
        if found is None or found["plural"] not in KINDS:
            raise RefusedError(404, "NotFound", f"{path} not found")
        plural, name = found["plural"], found["name"] or ""
        verb = {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}.get(method, "patch")
        if (verb, plural) in self.forbidden:
            raise RefusedError(403, "Forbidden", f'User "operator" cannot {verb} resource "{plural}"')
        dry = query.get("dryRun") == ["All"]
        with self.lock:
            if verb == "list":
                return self._list(plural, query.get("labelSelector", [""])[0])
            if verb == "create":
                return self._create(plural, body, dry)
            if (plural, name) not in self.objects:
                raise RefusedError(404, "NotFound", f'{plural} "{name}" not found')
            if verb == "get":
                return self.objects[plural, name]
            if verb == "delete":
                return self._delete(plural, name, dry)
            return self._patch(plural, name, body, dry)

    def _list(self, plural: str, selector: str) -> Object:
        wanted = dict(pair.split("=", 1) for pair in selector.split(",") if pair)
        items = [
            value
            for (kind, _), value in self.objects.items()
            if kind == plural and wanted.items() <= value["metadata"].get("labels", {}).items()
        ]
        version, kind = KINDS[plural]
        return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": items}

    def _create(self, plural: str, value: Object, dry: bool) -> Object:
        _check(value)
        name = value["metadata"]["name"]
        made = copy.deepcopy(value)
        made["metadata"] |= {"uid": f"{plural}-{name}", "generation": 1, "resourceVersion": "1"}
        if plural == "services":
            made["spec"]["clusterIP"] = self._new_ip()
        return self._keep(plural, name, made, dry, "create")

    def _patch(self, plural: str, name: str, patch: Object, dry: bool) -> Object:
        before = self.objects[plural, name]
        after = _merged(before, patch)
        _check({key: value for key, value in after.items() if key != "status"})
        if after["spec" if "spec" in after else "data"] != before.get("spec", before.get("data")):
            after["metadata"]["generation"] += 1
        return self._keep(plural, name, after, dry, "patch")

    def _keep(self, plural: str, name: str, value: Object, dry: bool, verb: str) -> Object:
        if not dry:
            self.writes.append(f"{verb} {plural}/{name}")
            self.objects[plural, name] = value
        return value

    def _delete(self, plural: str, name: str, dry: bool) -> Object:
        if not dry:
            self.writes.append(f"delete {plural}/{name}")
            del self.objects[plural, name]
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _new_ip(self) -> str:
        self.started += 1
        return f"127.{os.getpid() % 200 + 20}.{100 + self.started // 250}.{self.started % 250 + 1}"

    # The kubelet

    def step(self) -> None:
        """Start the pods that Deployments lack, end those that they have too much, and say how many there are."""
        with self.lock:
            deployments = {name: value for (plural, name), value in self.objects.items() if plural == "deployments"}
            for name, pod in list(self.pods.items()):
                wanted = deployments.get(pod.deployment)
                alike = [one for one in self.pods.values() if one.deployment == pod.deployment]
                wrong = wanted is None or _template(wanted) != pod.template or len(alike) > wanted["spec"]["replicas"]
                if wrong or pod.process.poll() is not None:
                    end(pod.process)
                    del self.pods[name]
                    self.objects.pop(("pods", name), None)
            for name, value in deployments.items():
                alike = [one for one in self.pods.values() if one.deployment == name]
                for _ in range(value["spec"]["replicas"] - len(alike)):
                    self._start(name, value)
                self._tell(name, value)

    def _start(self, deployment: str, value: Object) -> None:
        self.started += 1
        name = f"{deployment}-{self.started}"
        spec = value["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        metadata = {"name": name, "namespace": NAMESPACE, "labels": value["spec"]["template"]["metadata"]["labels"]}
        pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {}}
        if self.refuses_images:
            waiting = {"reason": "ImagePullBackOff", "message": f"Back-off pulling image {container['image']}"}
            pod["status"]["containerStatuses"] = [{"ready": False, "state": {"waiting": waiting}}]
            self.objects["pods", deployment] = pod
            return
        component = metadata["labels"]["app.kubernetes.io/component"]
        service = next(one for (plural, _), one in self.objects.items() if plural == "services")
        # as if the Service passed on what it is sent
        ip = service["spec"]["clusterIP"] if component == "scheduler" else self._new_ip()
        secret = self.folder / name
        secret.mkdir()
        for file, content in self.objects["secrets", spec["volumes"][0]["secret"]["secretName"]]["data"].items():
            (secret / file).write_bytes(base64.b64decode(content))
        told = {"status.podIP": ip, "metadata.name": name}
        own = {one["name"]: told[one["valueFrom"]["fieldRef"]["fieldPath"]] for one in container["env"]}
        inside = f"{service['metadata']['name']}.{NAMESPACE}.svc"
        args = [re.sub(r"\$\((\w+)\)", lambda match: own[match[1]], word) for word in container["args"]]
        account = self.exported if spec["serviceAccountName"] == "mover" else {}
        started = Container(name, args, {**own, **account}, secret, {inside: service["spec"]["clusterIP"]})
        with (self.folder / f"{name}.log").open("wb") as log:
            process = self.start(started, self.folder, log)
        self.pods[name] = Pod(deployment, _template(value), ip, process)
        pod["status"] = {"podIP": ip, "containerStatuses": [{"ready": True, "state": {"running": {}}}]}
        self.objects["pods", name] = pod

    def _tell(self, name: str, value: Object) -> None:
        there = len([pod for pod in self.pods.values() if pod.deployment == name])
        status: Object = {"observedGeneration": value["metadata"]["generation"]}
        if value["spec"]["replicas"]:
            status |= {"replicas": value["spec"]["replicas"], "availableReplicas": there}
        value["status"] = status


def _discovery(path: str) -> Object | None:
    """Return what the server says of itself."""
    if path == "/version":
        return {"major": "1", "minor": VERSION.partition(".")[2], "gitVersion": f"v{VERSION}.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        version = {"groupVersion": "apps/v1", "version": "v1"}
        group = {"name": "apps", "versions": [version], "preferredVersion": version}
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
    of = {"/api/v1": "v1", "/apis/apps/v1": "apps/v1"}.get(path)
    if of is None:
        return None
    resources = [
        {"name": plural, "singularName": "", "namespaced": plural != "namespaces", "kind": kind, "verbs": VERBS}
        for plural, (version, kind) in KINDS.items()
        if version == of
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": resources}


def _check(value: Object) -> None:
    """Refuse what the schemas do not allow, unknown fields included."""
    try:
        kubernetes_validate.validate(value, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise RefusedError(422, "Invalid", f"{error.path}: {error.message}") from error


def _merged(value: Any, patch: Any) -> Any:
    """Return a value with a JSON merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    merged = copy.deepcopy(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), part)
    return merged


def _template(deployment: Object) -> str:
    return json.dumps(deployment["spec"]["template"], sort_keys=True)


@contextmanager
def running_kubernetes(
    folder: Path,
    exported: Mapping[str, str],
    start: Callable[[Container, Path, BinaryIO], subprocess.Popen[bytes]] = as_process,
) -> Iterator[Kubernetes]:
    """Run a Kubernetes whose pods are on this machine."""
    made = Kubernetes(folder, exported, start)
    made.objects["namespaces", NAMESPACE] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE},
        "status": {"phase": "Active"},
    }

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - names of the base class

        def _answer(self) -> None:
            url = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                told = made.answer(self.command, url.path, parse_qs(url.query), json.loads(sent) if sent else None)
                code = 201 if self.command == "POST" else 200
            except RefusedError as refusal:
                told, code = refusal.body, refusal.code
            body = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    over = threading.Event()
    kubelet = threading.Thread(target=_run_kubelet, args=(made, over), daemon=True)
    kubelet.start()
    try:
        yield made
    finally:
        over.set()
        kubelet.join(PATIENCE_S)
        for pod in made.pods.values():
            end(pod.process)
        server.shutdown()
        server.server_close()


def _run_kubelet(kubernetes: Kubernetes, over: threading.Event) -> None:
    while not over.wait(POLL_S):
        kubernetes.step()
