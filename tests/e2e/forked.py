"""Playbook runs that are forked from a process with all imports loaded: the same in a fraction of the time."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ["__main__", "tests.e2e.warm", "tests.e2e.surroundings"]
FORKS.set_forkserver_preload(PRELOADED)
PIPE_BYTES = 1024 * 1024


class Forked:
    """A running `ansible-playbook` with these arguments; `pid` is its process id.

    first: called in the process before it plays
    """

    def __init__(self, folder: Path, arguments: Sequence[str], first: Callable[[], object] | None = None) -> None:
        pipe = folder / f"output-{time.monotonic_ns()}"
        os.mkfifo(pipe)
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        # large enough for the output of a whole run, so that nobody has to read meanwhile
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._child = FORKS.Process(target=_play, args=(list(arguments), pipe, first))
        self._child.start()
        self.pid = self._child.pid or 0

    def running(self) -> bool:
        """Return whether ansible-playbook is running."""
        return self._child.is_alive()

    def code(self) -> int:
        """Return the exit code."""
        return self._child.exitcode or 0

    def output(self) -> str:
        """Return the output since the last call."""
        output = b""
        with suppress(BlockingIOError):
            while piece := os.read(self._pipe, PIPE_BYTES):
                output += piece
        return output.decode(errors="replace")

    def wait(self, timeout_s: float) -> str:
        """Wait until the run ends, and return its output. Raises TimeoutError if it does not end."""
        self._child.join(timeout_s)
        output = self.output()
        if self.running():
            os.killpg(self.pid, 9)
            self._child.join()
            raise TimeoutError(f"a run does not end in {timeout_s} s:\n{output[-3000:]}")
        return output

    def close(self) -> None:
        """Release the resources of a run that has ended."""
        os.close(self._pipe)


def _play(arguments: list[str], output: Path, first: Callable[[], object] | None) -> None:
    from tests.e2e import warm  # noqa: PLC0415 - sets Ansible's environment variables, which only the forks may see

    if first is not None:
        first()
    warm.play(arguments, output)
