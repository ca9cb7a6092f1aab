"""Playbook runs that are forked from what is warm: the same in a fraction of the time."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ["__main__", "tests.e2e.warm"]
FORKS.set_forkserver_preload(PRELOADED)
PIPE_BYTES = 1024 * 1024


class Forked:
    """One `ansible-playbook` with these arguments under way; `pid` is its own."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        pipe = folder / f"output-{time.monotonic_ns()}"
        os.mkfifo(pipe)
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        # it holds a whole run's words, so that nobody has to read along
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._child = FORKS.Process(target=_play, args=(list(arguments), pipe))
        self._child.start()
        self.pid = self._child.pid or 0

    def running(self) -> bool:
        """Whether ansible-playbook lives."""
        return self._child.is_alive()

    def code(self) -> int:
        """How it has ended."""
        return self._child.exitcode or 0

    def output(self) -> str:
        """What it has said since this was asked last."""
        said = b""
        with suppress(BlockingIOError):
            while piece := os.read(self._pipe, PIPE_BYTES):
                said += piece
        return said.decode(errors="replace")

    def wait(self, timeout_s: float) -> str:
        """Wait until it is over; what it has said. Raises TimeoutError where it does not end."""
        self._child.join(timeout_s)
        said = self.output()
        if self.running():
            os.killpg(self.pid, 9)
            self._child.join()
            raise TimeoutError(f"a run does not end in {timeout_s} s:\n{said[-3000:]}")
        return said

    def close(self) -> None:
        """Give back what a run that is over holds here."""
        os.close(self._pipe)


def _play(arguments: list[str], output: Path) -> None:
    from tests.e2e import warm  # noqa: PLC0415 - it takes Ansible's settings for itself, and is for the forks alone

    warm.play(arguments, output)
