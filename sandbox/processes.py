"""Start servers so that none is ever lost, and end only our own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from .errors import SandboxError

CLOCK_TOLERANCE_S = 2.0
"""The start of a process is given in ticks since boot; the time of boot moves when the clock is corrected."""
POLL_S = 0.02
GATE = 'read -r _ && exec "$@"'
"""A shell that waits for a line and then becomes the server. If its parent is killed before the process is recorded,
the shell reads an end of file and exits: no server runs without a record of it."""

_children: set[subprocess.Popen[bytes]] = set()
"""Children of this process whose end has not been collected."""


@dataclass(frozen=True, slots=True)
class Process:
    """A server's recorded process; the pid alone may belong to another process by now."""

    name: str
    pid: int
    create_time: float
    command: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record of the process."""
        return {**asdict(self), "command": list(self.command)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Process:
        """Return the process of a record."""
        return cls(value["name"], value["pid"], value["create_time"], tuple(value["command"]))

    def is_running(self) -> bool:
        """Return whether the process lives and is still the recorded one."""
        try:
            if not self._lives():
                return False
            command = tuple(self._now().cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        # A process has no command for a moment, when it becomes another program and when it ends. At the gate
        # the command stands behind the shell's own words.
        return not command or command[-len(self.command) :] == self.command

    def end(self, how: signal.Signals, patience_s: float = 20.0) -> bool:
        """End the process if it is still ours: by `how`, and by SIGKILL after `patience_s`."""
        if not self.is_running():
            return False
        # It leads a process group, so its children get the signal too.
        os.killpg(self.pid, how)
        if not self._gone_within(patience_s):
            os.killpg(self.pid, signal.SIGKILL)
            if not self._gone_within(patience_s):
                raise SandboxError(f"{self.name} (pid {self.pid}) can't be ended, not even by SIGKILL")
        return True

    def _lives(self) -> bool:
        try:
            process = self._now()
            same = abs(process.create_time() - self.create_time) < CLOCK_TOLERANCE_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _now(self) -> psutil.Process:
        """Return the process that has the pid now, if any."""
        return psutil.Process(self.pid)

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        # Without its command: a process that is ending has none.
        while self._lives():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def start(
    name: str,
    command: Sequence[str],
    *,
    launcher: Sequence[str] = (),
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    record: Callable[[Process], None],
) -> subprocess.Popen[bytes]:
    """Start a server in its own session, after `record` has stored what identifies it.

    launcher: a program that changes the user and then becomes the command
    """
    forget_the_ended()
    reading, writing = os.pipe()
    with log.open("ab") as output, os.fdopen(reading) as gate, os.fdopen(writing, "wb") as opener:
        child = subprocess.Popen(  # noqa: S603 - the sandbox's own servers
            ["/bin/sh", "-c", GATE, "gate", *launcher, *command],
            stdin=gate,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        record(Process(name, child.pid, psutil.Process(child.pid).create_time(), tuple(command)))
        opener.write(b"go\n")
    _children.add(child)
    return child


def run_to_end(command: Sequence[str], folder: Path) -> int:
    """Run a command to its end. Return its exit status. After an interrupt it gets the time to stop its servers."""
    process = subprocess.Popen(command, cwd=folder)  # noqa: S603 - our own suites
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def forget_the_ended() -> None:
    """Collect children that have ended: the next PostgreSQL would take one of them for a running server."""
    for child in list(_children):
        if child.poll() is not None:
            _children.discard(child)
