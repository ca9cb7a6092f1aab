"""The benchmarks' servers, each in its own process, which ends with its parent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .cost import ROOT
from .suite import BenchError


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[str]:
    """Run `python -m bench.<module>` for the length of the block. Yield the URL of its endpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdin is None or process.stdout is None or not (port := process.stdout.readline().strip()):
            raise BenchError(f"bench.{module} did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        # it runs until its standard input ends: also if its parent is killed
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=10)
