"""`make demo CLUSTER=2` in a copy of the project: a real scheduler and workers, and nothing of them afterwards."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # it is eight playbooks, and packs what movers need

OBJECTS = 300
LEFT_OUT = (
    ".git",
    ".venv",
    ".sandbox",
    ".rehome",
    "build",
    "context",
    "tests",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)
LOOK_S = 0.2
"""How often it is looked what runs: a playbook of the demo takes seconds, and its members live for a minute."""


@dataclass(frozen=True)
class Project:
    """A copy of the project, whose commands have an environment of packages and a folder of temporary files given."""

    folder: Path
    temporary: Path

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run make to its end."""
        others = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ANSIBLE_"))}
        return subprocess.run(
            ["make", *words, f"VENV={sys.prefix}"],  # noqa: S607 - as users do
            cwd=self.folder,
            env={**others, "TMPDIR": str(self.temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )

    def files(self) -> set[Path]:
        """Return all files and folders, but Python's and Ansible's own of its modules."""
        return {path for path in self.folder.rglob("*") if not {"__pycache__", ".ansible"} & set(path.parts)}

    def processes(self) -> list[psutil.Process]:
        """Return what runs in it or of it."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def members(self) -> dict[int, str]:
        """Return the pids of scheduler and workers, and which of both each is."""
        commands = {process.pid: _command(process) for process in self.processes()}
        return {pid: words[3] for pid, words in commands.items() if words[1:3] == ["-m", "dask"]}

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            places = [*process.cmdline(), process.cwd()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(str(self.folder) in place for place in places)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


@dataclass
class Watch:
    """What is seen of a project while it works.

    members: which members of a cluster each look found, by their pids
    addresses: on which somebody listened, and who
    cluster: `rehome_cluster`, as the demo's verbs have it
    proven: whether the scheduler has shown a certificate of the cluster's authority
    """

    project: Project
    members: dict[int, str] = field(default_factory=dict)
    addresses: dict[str, set[str]] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    proven: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        record = self.project.folder / ".sandbox" / "cluster" / "cluster.json"
        while not self._over.wait(LOOK_S):
            self.members |= self.project.members()
            pids = {process.pid: " ".join(_command(process)) for process in self.project.processes()}
            for one in psutil.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN and one.pid in pids:
                    self.addresses.setdefault(one.laddr.ip, set()).add(pids[one.pid])
            if not self.proven and record.exists():
                self.cluster = json.loads(record.read_text())["rehome_cluster"]
                self.proven = _speaks_tls(self.cluster["address"], self.cluster["ca"])


def _speaks_tls(address: str, authority: str) -> bool:
    """Return whether somebody with a certificate of this authority listens there."""
    parts = urlsplit(address)
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False  # dask does not look at names either: the authority has signed nothing else
    try:
        with (
            socket.create_connection((str(parts.hostname), parts.port or 0), timeout=5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return bool(connection.getpeercert())
    except OSError:
        return False


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder, temporary = tmp_path_factory.mktemp("demo") / "rehome", tmp_path_factory.mktemp("temporary")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for file in folder.glob("*.txt"):  # what is installed is what these tests run with
        os.utime(file, (0, 0))
    project = Project(folder, temporary)
    try:
        yield project
    finally:
        for process in project.processes():
            process.kill()


def test_a_demo_by_two_workers_moves_all_over_tls_on_loopback_and_leaves_nothing(project: Project) -> None:
    before = project.files()
    with Watch(project) as seen:
        made = project.make("demo", "CLUSTER=2", f"OBJECTS={OBJECTS}", "DB=sqlite")
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count("A private object store and a private database (sqlite) are started") == 1

    assert sorted(seen.members.values()) == ["scheduler", "worker", "worker"]
    assert seen.cluster["address"].startswith("tls://127.0.0.1:")
    assert seen.proven
    assert set(seen.addresses) == {"127.0.0.1"}, seen.addresses
    listeners = " ".join(seen.addresses["127.0.0.1"])
    assert all(f"-m dask {member}" in listeners for member in ("scheduler", "worker"))

    sandbox = project.folder / ".sandbox"
    summary = json.loads((sandbox / "state" / "summary-migrate.json").read_text())
    assert (summary["complete"], summary["objects_copied"], summary["rows_rewritten"]) == (True, OBJECTS, OBJECTS)
    assert len(summary["movers"]) == 2
    assert all(summary["movers"].values())
    assert sum(summary["movers"].values()) == OBJECTS
    assert f"{OBJECTS} objects copied" in made.stdout

    assert project.members() == {}
    assert not (sandbox / "cluster").exists()
    assert not (sandbox / "mover").exists()
    down = project.make("sandbox-down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert project.processes() == []
    assert project.files() == before
    assert list(project.temporary.iterdir()) == []


def test_a_dry_run_of_a_demo_by_workers_is_refused_and_changes_nothing(project: Project) -> None:
    before = project.files()
    made = project.make("demo", "CLUSTER=2", "CHECK=1")
    assert made.returncode != 0
    assert "CLUSTER: a dry run copies nothing, and so has no workers. Leave CLUSTER out, or CHECK" in made.stderr
    assert made.stdout == ""
    assert project.processes() == []
    assert project.files() == before
