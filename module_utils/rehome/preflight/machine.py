"""Whether this machine has what a run needs. What it runs on is told for whoever reads the table later."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import botocore

from .. import duckdb_engine as duckdb
from ..checks import Check, stop
from ..errors import Finding

SUBJECT = "this machine"

SCARCE, SPENT = 1024**3, 64 * 1024**2
"""Bytes free: below the first a large catalog may not fit (it takes some 40 MB for a million objects and rows, and as
much again while it is sorted), below the second not even a small one with its lists and outcomes."""


def inspect_machine(state_dir: Path) -> list[Check]:
    """Room in the state folder, and the versions in use."""
    free = shutil.disk_usage(state_dir).free
    found = f"{free / 1024**3:,.1f} GiB free in {state_dir}"
    advice = "Make room there, or name another folder"
    room = Check(SUBJECT, "disk space", "pass", found)
    if free < SPENT:
        problem = f"has only {free // 1024**2} MiB free"
        room = stop(SUBJECT, "disk space", Finding("rehome_state_dir", str(state_dir), problem, advice))
    elif free < SCARCE:
        room = Check(SUBJECT, "disk space", "warn", f"only {found}", advice)
    versions = f"Python {platform.python_version()}, botocore {botocore.__version__}, DuckDB {duckdb.__version__}"
    return [room, Check(SUBJECT, "versions", "pass", versions)]
