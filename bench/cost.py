"""What a command costs: its time, and the processor time of its whole process tree."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .suite import BenchError

ROOT = Path(__file__).parents[1]
_SAID = 2_000


@dataclass(frozen=True, slots=True)
class Cost:
    """wall_s: from before the start of the process to its end. cpu_s: user and system time, with its children."""

    wall_s: float
    cpu_s: float


def spend(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    started: Callable[[int], None] | None = None,
) -> tuple[Cost, str]:
    """Run a command to its end. Return its cost and its standard output.

    started: called with the number of the process once it runs

    Raises BenchError if it fails: half a job costs less.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        try:
            if started is not None:
                started(process.pid)
            # not Popen.wait: only wait4 reports the usage of the process tree
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, complained = output.read().decode(errors="replace"), errors.read().decode(errors="replace")
    if process.returncode != 0:
        raise BenchError(
            f"{Path(command[0]).name} ended with status {process.returncode}: {(said + complained)[-_SAID:]}"
        )
    return Cost(wall, usage.ru_utime + usage.ru_stime), said
