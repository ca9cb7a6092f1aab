"""`python -m bench.ours SETTINGS PHASE…`: the phases of a migration in one process, as the modules run them.

`rows` and `listing` are the two parts of `scan`, `recall` is one of `listing`. Prints one line of JSON: the time of
each phase, the outcomes of the objects, and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan.rows import read_rows
from rehome.scan.scan import scan, scan_buckets
from rehome.services.capabilities import probe_services
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.state.outcomes import load_proofs

CATALOG = "catalog.duckdb"
PHASES = ("probe", "scan", "rows", "listing", "plan", "copy", "lists", "recall")
_NEW = {"scan", "rows"}
"""They begin with an empty catalog."""


def main() -> int:
    """Run the phases. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.ours")
    parser.add_argument("settings", type=Path)
    parser.add_argument("phases", nargs="+", choices=PHASES)
    parser.add_argument("--core", type=int, help="stay on this one core")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    settings = read_settings(json.loads(options.settings.read_text()))
    path = settings.state_dir / CATALOG
    progress, counts = Progress(settings.state_dir), CopyCounts()
    took: dict[str, dict[str, float]] = {}
    with Catalog.create(path, {}) if _NEW & {*options.phases} else Catalog.open(path) as catalog:
        work: dict[str, Callable[[], object]] = {
            "probe": lambda: probe_services(settings),
            "scan": lambda: scan(Run(settings, catalog, progress)),
            "rows": lambda: catalog.note("rows_foreign", read_rows(Run(settings, catalog, progress))),
            "listing": lambda: scan_buckets(Run(settings, catalog, progress)),
            "plan": lambda: make_plan(catalog, settings),
            "copy": lambda: copy_planned(Run(settings, catalog, progress), counts),
            "lists": lambda: _write_lists(catalog, settings),
            "recall": lambda: load_proofs(catalog, settings),
        }
        for phase in options.phases:
            took[phase] = _timed(work[phase])
        (listed,) = catalog.query("SELECT count(*) FROM source_objects")[0]
    facts = {"phases": took, "listed": listed, "counts": asdict(counts), "peak_bytes": _peak_bytes()}
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


def _write_lists(catalog: Catalog, settings: Settings) -> None:
    # The other phases do without its imports.
    from rehome.report.lists import OUTCOME_LISTS, PLAN_LISTS, write_lists  # noqa: PLC0415

    write_lists(catalog, settings, PLAN_LISTS | OUTCOME_LISTS)


def _timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}


def _peak_bytes() -> int:
    """Return the peak resident memory in bytes.

    Not getrusage's value: there a new program starts with the peak of its parent.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
