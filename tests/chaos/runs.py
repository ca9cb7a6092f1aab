"""Playbook runs that can be struck: forked from what is warm, or started as operators do."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

import psutil

from tests.e2e.conftest import PLAY_TIMEOUT_S, Played, World
from tests.e2e.forked import FORKS, PRELOADED, Forked

# the application is forked, too
FORKS.set_forkserver_preload([*PRELOADED, "tests.chaos.story"])

STUCK_S = 30
"""After so long without a module, Ansible waits for a worker that was killed.

A worker that is killed while it hands in its result takes the lock of Ansible's queue with it (`FinalQueue`, a
multiprocessing.SimpleQueue): the next worker, or Ansible's own end, waits for it forever, and seldom hears an
interrupt. It happens to a bare playbook of ten asserts, too. An operator kills such a run, and so is done here.
So it is with a worker whose playbook was killed while it hands in more than a pipe holds: it has the pipe's other end
open itself, and writes to nobody forever.
"""
PLAYBOOKS = {"migrate": "migrate.yml", "check": "migrate.yml", "rollback": "playbooks/rollback.yml"}


class BrokenPromiseError(AssertionError):
    """What a scenario has found."""


def promise(kept: object, what: str) -> None:
    """Raise BrokenPromiseError where it is not kept."""
    if not kept:
        raise BrokenPromiseError(what)


class Run(ABC):
    """One run under way; `pid` is ansible-playbook's, `stuck` whether it had to be killed as Ansible stood still."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stuck = False
        self._lost_a_worker = False
        self._process = psutil.Process(pid)
        self._family = {self._process}
        self._workers: set[psutil.Process] = set()

    @abstractmethod
    def running(self) -> bool:
        """Whether ansible-playbook lives."""

    @abstractmethod
    def code(self) -> int:
        """How it has ended."""

    @abstractmethod
    def output(self) -> str:
        """What it has said since this was asked last; all of it, once it is over."""

    @abstractmethod
    def close(self) -> None:
        """Give back what a run that is over holds here."""

    def limit_files(self, size: int) -> None:
        """Have no file of this run grow beyond so many bytes, which to a program is a full disk.

        The kernel answers EFBIG in place of ENOSPC, and that without any right of the administrator's.
        """
        with suppress(ProcessLookupError):
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, size))

    def strike(self, blow: str) -> None:
        """Kill what `blow` names, if it lives."""
        with suppress(psutil.NoSuchProcess):
            below = self._process.children(recursive=True)
            self._family.update(below)
            if blow == "interrupt the run":
                self._process.send_signal(signal.SIGINT)
                return
            workers = [one for one in below if one.ppid() == self.pid]
            self._workers.update(workers)
            chosen = {
                "kill the module": [one for one in below if one not in workers][-1:],
                "kill the worker": workers[-1:],
                "kill the playbook": [self._process],
                "kill the run": [self._process, *below],
            }[blow]
            self._lost_a_worker |= blow == "kill the worker"
            for one in chosen:
                with suppress(psutil.NoSuchProcess):
                    one.kill()

    def end(self) -> Played:
        """Wait until it is over. Raises BrokenPromiseError where it does not end."""
        began = worked = time.monotonic()
        while self.running():
            now = time.monotonic()
            if now > began + PLAY_TIMEOUT_S:
                self.strike("kill the run")
                raise BrokenPromiseError(f"P4: a run does not end in {PLAY_TIMEOUT_S} s:\n{self.output()[-3000:]}")
            if not self._lost_a_worker or self._modules():
                worked = now
            elif now > worked + STUCK_S:
                self.stuck = True
                self.strike("kill the run")
            time.sleep(0.1 if self._lost_a_worker else 0.01)
        return Played(self.code(), self.output())

    def _modules(self) -> bool:
        """Whether anything of Rehome is at work."""
        with suppress(psutil.NoSuchProcess):
            return any(one.ppid() != self.pid for one in self._process.children(recursive=True))
        return False

    def alone(self) -> None:
        """Wait until nothing that was seen of this run is at work. Raises BrokenPromiseError where something stays."""
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
    """Started as operators do, with an interpreter of its own for each module."""

    def __init__(self, world: World, verb: str, variables: dict[str, Any]) -> None:
        self._child: subprocess.Popen[str] = world.start(*_options(verb), playbook=PLAYBOOKS[verb], **variables)
        self._said: str | None = None
        super().__init__(self._child.pid)

    def running(self) -> bool:
        return self._child.poll() is None

    def code(self) -> int:
        return self._child.wait()

    def output(self) -> str:
        if self._said is None:
            self._said, _ = self._child.communicate()
        return self._said

    def close(self) -> None:
        self.output()


class ForkedRun(Run):
    """Forked from what is warm, as are its modules: the same in a third of the time."""

    def __init__(self, world: World, verb: str, variables: dict[str, Any]) -> None:
        self._child = Forked(world.folder, world.arguments(*_options(verb), playbook=PLAYBOOKS[verb], **variables))
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
