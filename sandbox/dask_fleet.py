"""A real scheduler and real workers of dask.distributed over mutual TLS on loopback, each in a process group."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from .authority import Authority, Member
from .errors import SandboxError, last_lines
from .ports import find_free

ROOT = Path(__file__).parents[1]
START_S = 60
_MEMBER = ROOT / "roles" / "cluster_member" / "files" / "member.py"
"""Starts members outside the sandbox."""


class DaskFleet:
    """A scheduler and workers, which find their keys in their environment as on a machine with a role.

    folder: for certificates and logs
    keys: the workers' environment
    """

    def __init__(self, folder: Path, keys: Mapping[str, str]) -> None:
        self.folder = folder
        self.authority = Authority(folder / "tls")
        self.member = self.authority.member("member")
        self.keys = dict(keys)
        (self.port,) = find_free(1)
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._names = count()
        self._logs: dict[int, Path] = {}

    @property
    def address(self) -> str:
        """The scheduler's."""
        return f"tls://{self.ip(0)}:{self.port}"

    def settings(self, member: Member | None = None, **more: Any) -> dict[str, Any]:
        """Return `rehome_cluster`."""
        ca, cert, key = map(str, member or self.member)
        return {"address": self.address, "ca": ca, "cert": cert, "key": key, "workers": 1, "wait_s": 60.0} | more

    def start_scheduler(self, *more: str, **environment: str) -> None:
        """Start the scheduler, and wait until it listens.

        more: options in place of `--protocol tls`

        Raises SandboxError if it does not start.
        """
        options = ["--host", self.ip(0), "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._start(0, "scheduler", [*options, *(more or ("--protocol", "tls"))], environment)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.scheduler.poll() is None:
            with suppress(OSError), socket.create_connection((self.ip(0), self.port), 1):
                return
            time.sleep(0.1)  # it does not tell when it listens
        raise SandboxError(f"the scheduler did not start: {last_lines(self.folder / 'scheduler.log')}")

    def start_worker(
        self, *more: str, folder: Path | None = None, number: int | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker with its nanny. It joins when it is ready.

        more: further options, such as `--no-nanny`
        folder: for what it writes, in place of that of all
        number: of one that has ended, which it is to replace
        """
        replaced = number is not None
        number = next(self._names) if number is None else number
        folder = folder or self.folder
        options = ["--host", self.ip(number + 1), "--protocol", "tls", "--nthreads", "1", "--no-dashboard", "--nanny"]
        options += ["--memory-limit", "0", "--death-timeout", "60", "--name", f"mover-{number}"]
        options += ["--local-directory", str(folder)]
        environment = {"TMPDIR": str(folder)} | environment
        log = folder / f"worker-{number}.log"
        worker = self._start(number + 1, "worker", [self.address, *options, *more], self.keys | environment, log)
        if replaced:
            self.workers[number] = worker
        else:
            self.workers.append(worker)
        self._logs[worker.pid] = log
        return worker

    def wait_until_joined(self, worker: subprocess.Popen[bytes]) -> None:
        """Wait until the scheduler has a worker that was started. Raises SandboxError if it does not come."""
        log = self._logs[worker.pid]
        deadline = time.monotonic() + START_S
        while "Registered to:" not in log.read_text():
            if time.monotonic() > deadline or worker.poll() is not None:
                raise SandboxError(f"a worker did not start: {last_lines(log)}")
            time.sleep(0.1)

    def worker_processes(self) -> list[psutil.Process]:
        """Return the processes that copy, which the nannies watch over."""
        return list(self._workers_of(self.workers))

    def ip(self, member: int) -> str:
        """Return where a member listens: 0 is the scheduler, 1 the first worker."""
        return "127.0.0.1"

    def placed(self, member: int, command: Sequence[str]) -> list[str]:
        """Return the command that starts a member where it belongs."""
        return [*command]

    def log(self, name: str) -> str:
        """Return what a member has written."""
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        """End everything."""
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                # a group that has ended already is gone
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _workers_of(self, nannies: Sequence[subprocess.Popen[bytes]]) -> Iterator[psutil.Process]:
        for nanny in nannies:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(nanny.pid).children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        yield child

    def _start(
        self, member: int, kind: str, options: list[str], environment: Mapping[str, str], log_file: Path | None = None
    ) -> subprocess.Popen[bytes]:
        ca, cert, key = map(str, self.member)
        tls = ["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key] if "tcp" not in options else []
        command = [sys.executable, "-m", "dask", kind, *options, *tls, "--dashboard-address", "127.0.0.1:0"]
        inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        # the scheduler has no engine
        path = {"PYTHONPATH": str(ROOT / "module_utils")} if kind == "worker" else {}
        with (log_file or self.folder / f"{kind}.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter
                self.placed(member, command),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**inherited, **path, **(_settings() if tls else {}), "TMPDIR": str(self.folder), **environment},
                cwd=self.folder,
                start_new_session=True,
            )


@cache
def _settings() -> dict[str, str]:
    """Return dask's settings for members, as the environment has them."""
    spec = importlib.util.spec_from_file_location("member", _MEMBER)
    if spec is None or spec.loader is None:
        raise SandboxError(f"{_MEMBER} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("member", module)  # dataclasses look there
    spec.loader.exec_module(module)
    settings: dict[str, str] = module.DASK
    return settings


def exported(access_key: str, secret_key: str) -> dict[str, str]:
    """Return the environment of a process that has these keys."""
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
