"""`python -m bench.whole_tree COMMAND…`: run a command, and count the processes that outlive it, too.

Prints one line of JSON: the time until the command has ended, and the processor time of all that it has started.
A process that leaves the command's tree is adopted by this one, which waits for it: no helper that goes on alone can
keep its cost to itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""


def main() -> int:
    """Run the command. Return its exit status; its output goes where errors go."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    began = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    code = process.wait()
    wall = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    json.dump({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime}, sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
