"""`python -m pictures`: takes the README's pictures anew, into docs/pictures/."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .browser import photograph
from .drawing import as_svg
from .sandbox_runs import ROOT, Runs, sandbox
from .screen import Run

FOLDER = ROOT / "docs" / "pictures"
OBJECTS = 5_000
REPORT_HEIGHT = 1_990
"""Pixels from the top of a report to the end of its picture of the flow."""
LONGEST_S = 300
SHELL = "ansible-playbook"
_HALF_WAY = re.compile(r" copy · pass.*\s.*\s[3-7]\d\.\d%  ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pictures", description="Take the README's pictures anew.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go (docs/pictures)")
    parser.add_argument("--objects", type=int, default=OBJECTS, help="objects of the run (%(default)s)")
    parser.add_argument("--only", choices=["terminal", "report"], help="leave the others as they are")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.only != "report":
        with sandbox(options.objects) as runs:
            take_terminals(runs, options.folder)
    if options.only != "terminal":
        with sandbox(options.objects, with_oddities=True) as runs:
            take_report(runs, options.folder)
    for picture in sorted(options.folder.iterdir()):
        sys.stdout.write(f"{picture.name}  {picture.stat().st_size:,} bytes\n")
    return 0


def take_terminals(runs: Runs, folder: Path) -> None:
    """Take the plan, a run at work, and its end."""
    plan = runs.start("playbooks/plan.yml")
    _end(plan)
    _keep(plan, folder, "plan", f"{SHELL} playbooks/plan.yml -e env=sandbox")
    migrate = runs.start("migrate.yml")
    migrate.until(_is_half_way, LONGEST_S)
    _keep(migrate, folder, "at-work", f"{SHELL} migrate.yml -e env=sandbox")
    _end(migrate)
    _keep(migrate, folder, "done", f"{SHELL} migrate.yml -e env=sandbox")


def take_report(runs: Runs, folder: Path) -> None:
    """Take the report of a migration that leaves something for a human."""
    _end(runs.start("migrate.yml", rehome_on_dangling="keep"))
    photograph(runs.report(), folder, "report", REPORT_HEIGHT)


def _is_half_way(screen: str) -> bool:
    """Return whether the copy is well under way."""
    return _HALF_WAY.search(screen) is not None


def _keep(run: Run, folder: Path, name: str, title: str) -> None:
    (folder / f"{name}.svg").write_text(as_svg(run.lines, title, name), encoding="utf-8")


def _end(run: Run) -> None:
    if status := run.end():
        raise SystemExit(f"the run ended with status {status}; its screen says why")


if __name__ == "__main__":
    sys.exit(main())
