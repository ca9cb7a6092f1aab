"""`python -m bench.all [--quick]`: run every suite in its own process, and write the page with the results."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.processes import run_to_end

from .cost import ROOT
from .machine import machine
from .section import Section, markdown, read_json, verdict_table

SUITES = (
    "side_by_side",
    "null_copies",
    "listing",
    "memory",
    "throttling",
    "no_op",
    "database",
    "discover",
    "small_job",
    "playbook",
)
PAGE = ROOT / "docs" / "benchmarks.md"
QUICK_PAGE = ROOT / "build" / "benchmarks-quick.md"

HEAD = """\
# Benchmarks

`make bench` measured all of this in one go and wrote this page; nothing here is edited by hand. Each suite can be run
alone, as `python -m bench.<suite>`:
{suites}.

The machine: {machine}.
Clients and servers share it, so ratios say more than absolute figures. A bar that is missed is marked as missed.
"""
FAILED = "A suite did not come to an end, and its figures are missing here: {names}.\n"
VERSIONS = "Versions: {versions}.\n"
QUICK = "**Taken with `--quick`: the sizes are far too small for the figures to mean anything.**\n"


def main() -> int:
    """Run the suites and write the page. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.all")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work, not how fast it is")
    parser.add_argument("--only", nargs="+", choices=SUITES, default=SUITES, help="these suites")
    parser.add_argument("--out", type=Path, help="the page (docs/benchmarks.md; with --quick or --only, one in build/)")
    options = parser.parse_args()
    whole = not options.quick and set(options.only) == set(SUITES)
    out = options.out or (PAGE if whole else QUICK_PAGE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found, failed = {}, []
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as folder:
        for name in options.only:
            path = Path(folder) / f"{name}.json"
            sys.stderr.write(f"bench.{name} ...\n")
            command = [sys.executable, "-m", f"bench.{name}", "--json", str(path)]
            if run_to_end([*command, *(["--quick"] if options.quick else [])], ROOT) == 0:
                found[name] = read_json(path)
            else:
                failed.append(name)
    out.parent.mkdir(exist_ok=True)
    out.write_text(page(found, failed, machine(), quick=options.quick))
    sys.stderr.write(f"{out}\n")
    return 1 if failed else 0


def page(found: Mapping[str, Section], failed: Sequence[str], where: str, *, quick: bool) -> str:
    """Return the whole page: every verdict first, then each suite's section."""
    parts = [HEAD.format(suites=", ".join(f"`{name}`" for name in SUITES), machine=where)]
    if quick:
        parts.append(QUICK)
    versions: dict[str, str] = {}
    for section in found.values():
        versions |= section.versions
    if versions:
        parts.append(VERSIONS.format(versions=", ".join(f"{name} {version}" for name, version in versions.items())))
    if failed:
        parts.append(FAILED.format(names=", ".join(failed)))
    parts.append(verdict_table([one for section in found.values() for one in section.verdicts]) + "\n")
    parts += [markdown(section) for section in found.values()]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
