"""Playbook runs that a test can disrupt: forked from a preloaded process, or started as operators do."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

import psutil

from tests.chaos.movers import cut_small_shards
from tests.e2e.conftest import PLAY_TIMEOUT_S, Played, World
from tests.e2e.forked import FORKS, PRELOADED, Forked

# the application's process is forked as well
FORKS.set_forkserver_preload([*PRELOADED, "tests.chaos.story"])

STUCK_S = 30
"""After so many seconds without a module, Ansible is considered to wait for a killed worker.

A worker that is killed while it sends its result never releases the lock of Ansible's queue (`FinalQueue`, a
multiprocessing.SimpleQueue): the next worker, or the end of Ansible itself, waits for the lock forever and seldom
handles an interrupt. A bare playbook of ten asserts shows the same. An operator kills such a run, and so do the tests.
A worker whose playbook was killed while it sends more than the pipe's capacity blocks forever as well: it holds the
reading end of the pipe open itself.
"""
PLAYBOOKS = {"migrate": "migrate.yml", "check": "migrate.yml", "rollback": "playbooks/rollback.yml"}


class BrokenPromiseError(AssertionError):
    """A scenario broke one of the promises P1 to P10."""


def promise(kept: object, what: str) -> None:
    """Raise BrokenPromiseError with this message if `kept` is false."""
    if not kept:
        raise BrokenPromiseError(what)


class Run(ABC):
    """A run in flight. `pid` is ansible-playbook's; `stuck` is true if the run was killed because Ansible hung."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stuck = False
        self._lost_a_worker = False
        self._process = psutil.Process(pid)
        self._family = {self._process}
        self._workers: set[psutil.Process] = set()

    @abstractmethod
    def running(self) -> bool:
        """Return whether ansible-playbook is running."""

    @abstractmethod
    def code(self) -> int:
        """Return the exit code."""

    @abstractmethod
    def output(self) -> str:
        """Return the output since the last call; the complete output once the run has ended."""

    @abstractmethod
    def close(self) -> None:
        """Release the resources of a run that has ended."""

    def limit_files(self, size: int) -> None:
        """Limit the files of this run to `size` bytes, which simulates a full disk without root privileges.

        The kernel returns EFBIG rather than ENOSPC.
        """
        with suppress(ProcessLookupError):
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, size))

    def disrupt(self, disruption: str) -> None:
        """Kill or interrupt what `disruption` names, if it is running."""
        with suppress(psutil.NoSuchProcess):
            below = self._process.children(recursive=True)
            self._family.update(below)
            if disruption == "interrupt the run":
                self._process.send_signal(signal.SIGINT)
                return
            workers = [one for one in below if one.ppid() == self.pid]
            self._workers.update(workers)
            chosen = {
                "kill the module": [one for one in below if one not in workers][-1:],
                "kill the worker": workers[-1:],
                "kill the playbook": [self._process],
                "kill the run": [self._process, *below],
            }[disruption]
            self._lost_a_worker |= disruption == "kill the worker"
            for one in chosen:
                with suppress(psutil.NoSuchProcess):
                    one.kill()

    def end(self) -> Played:
        """Wait until the run ends. Raises BrokenPromiseError if it does not end within PLAY_TIMEOUT_S."""
        began = worked = time.monotonic()
        while self.running():
            now = time.monotonic()
            if now > began + PLAY_TIMEOUT_S:
                self.disrupt("kill the run")
                raise BrokenPromiseError(f"P4: a run does not end in {PLAY_TIMEOUT_S} s:\n{self.output()[-3000:]}")
            if not self._lost_a_worker or self._modules():
                worked = now
            elif now > worked + STUCK_S:
                self.stuck = True
                self.disrupt("kill the run")
            time.sleep(0.1 if self._lost_a_worker else 0.01)
        return Played(self.code(), self.output())

    def _modules(self) -> bool:
        """Return whether any module is running."""
        with suppress(psutil.NoSuchProcess):
            return any(one.ppid() != self.pid for one in self._process.children(recursive=True))
        return False

    def wait_until_gone(self) -> None:
        """Wait until all processes of this run have ended. Raises BrokenPromiseError if one keeps running."""
        _, alive = psutil.wait_procs(list(self._family), timeout=60)
        left = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        for one in [one for one in left if one in self._workers]:
            with suppress(psutil.NoSuchProcess):
                if one.children():
                    continue
                one.kill()
                self.stuck = True
            left.remove(one)
        promise(not left, f"P4: a killed run leaves {left} at work")


class StartedRun(Run):
    """A run that is started as operators do; each module starts its own interpreter."""

    def __init__(self, world: World, verb: str, variables: dict[str, Any]) -> None:
        self._child: subprocess.Popen[str] = world.start(*_options(verb), playbook=PLAYBOOKS[verb], **variables)
        self._output: str | None = None
        super().__init__(self._child.pid)

    def running(self) -> bool:
        return self._child.poll() is None

    def code(self) -> int:
        return self._child.wait()

    def output(self) -> str:
        if self._output is None:
            self._output, _ = self._child.communicate()
        return self._output

    def close(self) -> None:
        self.output()


class ForkedRun(Run):
    """A run that is forked from a preloaded process, as are its modules: the same in a third of the time."""

    def __init__(self, world: World, verb: str, variables: dict[str, Any]) -> None:
        arguments = world.arguments(*_options(verb), playbook=PLAYBOOKS[verb], **variables)
        self._child = Forked(world.folder, arguments, cut_small_shards)
        super().__init__(self._child.pid)

    def running(self) -> bool:
        return self._child.running()

    def code(self) -> int:
        return self._child.code()

    def output(self) -> str:
        return self._child.output()

    def close(self) -> None:
        self._child.close()


def _options(verb: str) -> list[str]:
    return ["--check"] if verb == "check" else []
