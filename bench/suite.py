"""The command line that all suites share."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from .section import Section, markdown, write_json

LOOK_S = 1.0


class BenchError(Exception):
    """A measurement that failed; the text says why."""


def tell(text: str) -> None:
    """Tell the one who waits how far the suite is."""
    sys.stderr.write(f"  {text}\n")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Tell how long the block took."""
    began = time.monotonic()
    yield
    tell(f"{name}: {time.monotonic() - began:.1f} s")


def run_suite(name: str, measure: Callable[[bool], Section]) -> int:
    """Measure and print. Return the exit status: a missed bar is a finding, not a failure."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work, not how fast it is")
    parser.add_argument("--json", type=Path, help="keep the section in this file as well")
    options = parser.parse_args()
    # as an exception it runs every `finally`, so no server is left behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    busy = psutil.cpu_percent(interval=LOOK_S)
    began = time.monotonic()
    try:
        section = measure(options.quick)
    except BenchError as error:
        sys.stderr.write(f"bench.{name}: {error}\n")
        return 1
    section = replace(section, busy=busy, took_s=time.monotonic() - began)
    if options.json:
        write_json(section, options.json)
    sys.stdout.write(markdown(section))
    return 0
