"""`python -m bench.listing`: keys per second from a listing into the catalog, on one core."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from .canned_listing import SIZE
from .cost import spend
from .figures import Figure
from .machine import our_versions
from .migration import given, side, write_given
from .rounds import spread
from .section import Section, Table, at_least
from .servers import serving
from .suite import BenchError, run_suite, tell

ABOUT = """\
The scan of a migration (both buckets listed, every key held against the map, the catalog filled and on disk), bound to
one core. A server of the benchmark's own sends {keys:,} entries with keys, ETags of their own and sizes ({size}
bytes) from prepared bytes, a thousand a page; the target's prefix is empty, and there are no rows. Median of {rounds}
rounds (least … most), each in a new process; its start is not counted."""


def measure(quick: bool) -> Section:
    """Measure the scan alone."""
    keys, rounds = (20_000, 1) if quick else (1_000_000, 3)
    core = max(os.sched_getaffinity(0))
    walls, cpus, peaks = [], [], []
    with serving("canned_listing", f"legacy/image/={keys}", "production/avatar/=0") as url:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
                folder = Path(name)
                settings = given(folder, side(url, "legacy", "image/"), side(url, "production", "avatar/"))
                path = write_given(folder, settings)
                _, said = spend([sys.executable, "-m", "bench.ours", str(path), "scan", "--core", str(core)])
            facts = json.loads(said)
            if facts["listed"] != keys:
                raise BenchError(f"of {keys} keys, {facts['listed']} were listed")
            tell(f"{keys:,} keys: {facts['phases']['scan']['wall_s']:.2f} s")
            walls.append(facts["phases"]["scan"]["wall_s"])
            cpus.append(facts["phases"]["scan"]["cpu_s"])
            peaks.append(facts["peak_bytes"] / 1e6)
    return Section(
        title="Listing into the catalog",
        about=ABOUT.format(keys=keys, size=SIZE, rounds=rounds),
        verdicts=(at_least(f"keys/s listed, of {keys:,}, one core", keys / median(walls), 100_000),),
        tables=(
            Table(
                ("", "keys/s", "CPU per 1,000 keys", "largest memory"),
                (
                    (
                        "scan",
                        spread([keys / wall for wall in walls], 0),
                        spread([cpu / keys * 1e6 for cpu in cpus], 2) + " ms",
                        spread(peaks, 0) + " MB",
                    ),
                ),
            ),
        ),
        commands=(
            f"python -m bench.canned_listing legacy/image/={keys} production/avatar/=0",
            f"python -m bench.ours settings.json scan --core {core}",
        ),
        versions=our_versions(),
        figures={Figure.LISTED: keys / median(walls)},
    )


if __name__ == "__main__":
    sys.exit(run_suite("listing", measure))
