"""Every message that ends a run for the cluster's sake names the way without one."""

from __future__ import annotations

import ast
import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rehome.checks import Check, refusals
from rehome.codes import Code
from rehome.config.cluster import ALONE, Cluster
from rehome.config.read_cluster import read_cluster
from rehome.config.settings import Side
from rehome.errors import Finding, RefusedError
from rehome.fleet import connect, dispatch
from rehome.fleet.access import Access
from rehome.fleet.ask import Machine
from rehome.fleet.controller import Arrival, Copying, Parcel
from rehome.fleet.dispatch import failed_at, lost
from rehome.fleet.installed import require_dask
from rehome.fleet.mover import Report, Stopped
from rehome.fleet.orders import Orders
from rehome.fleet.reader import Failure
from rehome.fleet.reading import _error
from rehome.fleet.shards import Shard
from rehome.preflight.cluster import judge_clocks, judge_reach, judge_rights
from rehome.run import never
from rehome.s3.objects.job import CopyOptions

from sandbox.authority import Authority

ENGINE = Path(__file__).parents[3] / "module_utils" / "rehome"
ADDRESS = {"address": "tls://10.0.0.5:8786", "ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
GROUP = {"hosts": "movers", "machines": ["mover-1"], "record": "/nowhere/cluster.json"}
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {"workers": None},
    "no place": {"workers": 2},
    "no address": ADDRESS | {"address": "tls://a b:1"},
    **{f"{name} unset": ADDRESS | {name: None} for name in ("ca", "cert", "key")},
    **{f"text as {name}": ADDRESS | {name: "a\nb"} for name in ("ca", "cert", "key", "record")},
    "no workers": ADDRESS | {"workers": 0},
    "no time": ADDRESS | {"wait_s": 0.0},
    "two places": ADDRESS | GROUP,
    "no machines": GROUP | {"machines": []},
    "no record": GROUP | {"record": ""},
    "not started": GROUP,
}


@pytest.mark.parametrize("given", SETTINGS.values(), ids=SETTINGS)
def test_each_setting_that_is_wrong(given: dict[str, Any]) -> None:
    findings: list[Finding] = []
    cluster = read_cluster(given, Side("source", "a", ""), Side("target", "b", ""), findings)
    if cluster is not None and cluster.absent is not None:
        findings.append(cluster.absent)
    (finding,) = findings
    assert finding.setting.startswith("rehome_cluster")
    assert finding.way_out.endswith(f", {ALONE}")


def test_keys_that_workers_are_not_sent() -> None:
    findings: list[Finding] = []
    keys = {"access_key": "AKIA", "secret_key": "hush"}
    read_cluster(ADDRESS, Side("source", "a", "", **keys), Side("target", "b", "", **keys), findings)
    assert [finding.way_out.endswith(f", {ALONE}") for finding in findings] == [True, True]


OTHERS = json.dumps({"rehome_cluster": ADDRESS | {"workers": 1}, "cluster_members": ["other/1"]})


@pytest.mark.parametrize("text", ["", OTHERS])
def test_a_record_that_is_none_or_of_other_machines(text: str, tmp_path: Path) -> None:
    record = tmp_path / "cluster.json"
    record.write_text(text)
    cluster = read_cluster(GROUP | {"record": str(record)}, Side("source", "a", ""), Side("target", "b", ""), [])
    assert cluster is not None
    assert cluster.absent is not None
    assert cluster.absent.way_out.endswith(f", {ALONE}")


class Client:
    """A client of a scheduler without workers, and with another distributed."""

    def __init__(self) -> None:
        self.scheduler = self

    async def identity(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {}}

    async def versions(self, packages: list[str]) -> dict[str, Any]:
        return {"host": [("python", "3.99.0")], "packages": [("distributed", "1")]}

    async def broadcast(self, **_asked: Any) -> dict[str, Any]:
        return {"tls://a:1": await self.versions([])}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One whose scheduler does not listen."""
    ca, cert, key = Authority(tmp_path).member("controller")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Cluster(f"tls://127.0.0.1:{taken.getsockname()[1]}", ca, cert, key, workers=1, wait_s=0.1)


def _refusing(do: Callable[[Cluster], Any]) -> Callable[[Cluster], RefusedError]:
    def refuse(cluster: Cluster) -> RefusedError:
        with pytest.raises(RefusedError) as refused:
            do(cluster)
        return refused.value

    return refuse


def _with_file(name: str, text: str) -> Callable[[Cluster], RefusedError]:
    def refuse(cluster: Cluster) -> RefusedError:
        getattr(cluster, name).write_text(text)
        return _refusing(connect._context)(cluster)

    return refuse


def _of_tls(reason: str) -> Callable[[Cluster], RefusedError]:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return lambda cluster: connect._of_tls(cluster, error)


client = Client()
CONNECTING: dict[str, Callable[[Cluster], RefusedError]] = {
    "nobody listens": _refusing(lambda cluster: asyncio.run(connect.check_door(cluster))),
    "no worker": _refusing(lambda cluster: asyncio.run(connect._wait_for_workers(cluster, client, never))),
    "another scheduler": _refusing(lambda cluster: asyncio.run(connect._check_scheduler(cluster, client))),
    "another worker": _refusing(lambda cluster: asyncio.run(connect.check_engines(cluster, client, ["tls://a:1"]))),
    "plain": _of_tls("WRONG_VERSION_NUMBER"),
    "foreign": _of_tls("TLSV1_ALERT_UNKNOWN_CA"),
    **{f"{name} is none": _with_file(name, "text") for name in ("ca", "cert", "key")},
    "encrypted key": _with_file("key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
}


@pytest.mark.parametrize("refuse", CONNECTING.values(), ids=CONNECTING)
def test_each_connection_that_cannot_be_made(refuse: Callable[[Cluster], RefusedError], cluster: Cluster) -> None:
    (finding,) = refuse(cluster).findings
    assert finding.setting.startswith("rehome_cluster.")
    assert finding.way_out.endswith(f", {ALONE}")


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RefusedError) as refused:
        require_dask()
    assert refused.value.findings[0].way_out.endswith(f", {ALONE}")


DENIED = Finding("rehome_target", "s3://b/", "S3 does not let its credentials", "Grant it", Code.S3_DENIED)
JUDGED: dict[str, list[Check]] = {
    "clock": judge_clocks(["a"], {"a": Machine(1e6, {})}),
    "reach": judge_reach(["a"], {"a": Access((DENIED,))}),
    "rights": judge_rights(["a"], {"a": Access((), (DENIED,))}, method_known=True, dry_run=False),
}


@pytest.mark.parametrize("checks", JUDGED.values(), ids=JUDGED)
def test_each_worker_that_is_of_no_use(checks: list[Check]) -> None:
    (finding,) = refusals(checks)
    assert finding.way_out.endswith(f", {ALONE}")


@pytest.mark.parametrize("why", [dispatch.TAKEN_OVER, dispatch.REPLACED, dispatch.LET_GO, "it is lost. Start it again"])
def test_each_loss_in_the_middle(why: str, cluster: Cluster) -> None:
    told = f"rehome_cluster.address ({cluster.address}): {why}, then run the same command again, {ALONE}"
    assert str(lost(cluster, why)).startswith(told)


def test_a_worker_that_has_failed() -> None:
    assert f", {ALONE}. [" in str(failed_at("mover-1", "no credentials were found. [RH-204]"))


@pytest.mark.parametrize("stops", [False, True])
def test_what_s3_refuses_a_worker_that_reads(stops: bool) -> None:
    told = str(_error(Failure("not there.", 404, "NoSuchBucket", None, "GET", stops), "mover-1"))
    assert f"not there (worker mover-1: mend that there, {ALONE})" in told


def test_what_s3_refuses_a_worker_that_copies(cluster: Cluster) -> None:
    side = Side("target", "b", "")
    copying = Copying(cluster, "rehome-a", Orders(side, side, CopyOptions(), 1), lambda *_: None)
    report = Report([], [], Stopped(403, "AccessDenied", "no right.", None, "PUT"), None)
    error = copying.arrived(Parcel(Shard(0, ()), [], uploading=False), Arrival(report, "mover-1", ran_before=False))
    assert f"no right (worker mover-1: mend that there, {ALONE})" in str(error)


def _calls(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what makes an error, and the function in which it does."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (made := ast.unparse(call.func)) in ERRORS:
                    yield made, function.name


ERRORS = {"Finding", "RefusedError.of", "RehomeError"}
ROOMS = [*ENGINE.glob("fleet/*.py"), ENGINE / "config/read_cluster.py", ENGINE / "preflight/cluster.py"]
ELSEWHERE = {
    ("access", "find_access"),  # its findings are told by the preflight, which adds the way
    ("dispatch", "failed_at"),
    ("dispatch", "lost"),
    ("reading", "read_on_cluster"),  # that the run was stopped is no fault
}


def test_no_message_about_a_cluster_is_made_in_another_way() -> None:
    made = {(path.stem, name) for path in ROOMS for _, name in _calls(path)}
    assert made == ELSEWHERE
