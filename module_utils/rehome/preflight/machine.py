"""Checks of this machine: free disk space, whether it keeps the state, and the versions in use, for the record."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import botocore

from .. import duckdb_engine as duckdb
from ..checks import Check, stop, warn
from ..codes import Code
from ..config.settings import Settings
from ..errors import Finding
from ..job import Job
from ..planning.approval import is_kept

SUBJECT = "this machine"

SCARCE, SPENT = 1024**3, 64 * 1024**2
"""Free bytes. Below SCARCE a large catalog may not fit: it takes about 40 MB per million objects and rows, and as much
again while it is sorted. Below SPENT not even a small one fits, with its lists and outcomes."""


LEFT_BY_EARLIER_RUNS = ("plans", "outcomes", "capabilities.json")
"""What of a state folder only an earlier run can have left, when the preflight begins."""


def inspect_keeping(settings: Settings, job: Job | None, *, moves: bool) -> list[Check]:
    """Check whether the state outlives the job of AWX that this run is. AWX runs each in a folder that is then deleted.

    moves: judge for a migration. It would be cancelled without a way to go on if the approved plan were not kept
    """
    if job is None or settings.state_uri is not None:
        return []
    name = "state folder"
    gone = f"is not set, and the folder of job {job['id']} is gone when it ends"
    way_out = (
        "Set it to a folder in a bucket (or export REHOME_STATE_URI), or rehome_state_dir to a folder that outlives "
        "the job"
    )
    if settings.approved_plan and moves:
        if is_kept(settings):
            return [Check(SUBJECT, name, "pass", f"{settings.state_dir} has the approved plan, of an earlier job")]
        lost = f"{gone}: it has no copy of the approved plan, and a job that is cancelled could not be launched again"
        return [stop(SUBJECT, name, Finding("rehome_state_uri", None, lost, way_out, Code.STATE_IS_LOST))]
    if any((settings.state_dir / file).exists() for file in LEFT_BY_EARLIER_RUNS):
        return [Check(SUBJECT, name, "pass", f"{settings.state_dir} has what earlier jobs have left")]
    return [
        warn(SUBJECT, name, f"rehome_state_uri {gone}, with its lists and proofs", way_out, code=Code.STATE_IS_LOST)
    ]


def inspect_machine(state_dir: Path) -> list[Check]:
    """Check the free space in the state folder, and list the versions in use."""
    free = shutil.disk_usage(state_dir).free
    found = f"{free / 1024**3:,.1f} GiB free in {state_dir}"
    advice = "Free some space there, or name another folder"
    space = Check(SUBJECT, "disk space", "pass", found)
    if free < SPENT:
        problem = f"has only {free // 1024**2} MiB free"
        space = stop(
            SUBJECT, "disk space", Finding("rehome_state_dir", str(state_dir), problem, advice, Code.DISK_SPACE)
        )
    elif free < SCARCE:
        space = warn(SUBJECT, "disk space", f"only {found}", advice, code=Code.DISK_SPACE)
    versions = f"Python {platform.python_version()}, botocore {botocore.__version__}, DuckDB {duckdb.__version__}"
    return [space, Check(SUBJECT, "versions", "pass", versions)]
