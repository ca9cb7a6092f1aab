"""Checks of this machine: free disk space, and the versions in use, for the record."""

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
"""Free bytes. Below SCARCE a large catalog may not fit: it takes about 40 MB per million objects and rows, and as much
again while it is sorted. Below SPENT not even a small one fits, with its lists and outcomes."""


def inspect_machine(state_dir: Path) -> list[Check]:
    """Check the free space in the state folder, and list the versions in use."""
    free = shutil.disk_usage(state_dir).free
    found = f"{free / 1024**3:,.1f} GiB free in {state_dir}"
    advice = "Free some space there, or name another folder"
    space = Check(SUBJECT, "disk space", "pass", found)
    if free < SPENT:
        problem = f"has only {free // 1024**2} MiB free"
        space = stop(SUBJECT, "disk space", Finding("rehome_state_dir", str(state_dir), problem, advice))
    elif free < SCARCE:
        space = Check(SUBJECT, "disk space", "warn", f"only {found}", advice)
    versions = f"Python {platform.python_version()}, botocore {botocore.__version__}, DuckDB {duckdb.__version__}"
    return [space, Check(SUBJECT, "versions", "pass", versions)]
