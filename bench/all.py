"""`python -m bench.all [--quick]`: run every suite in its own process, and write the page with the results."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import run_to_end

from . import scale_page
from .cost import ROOT
from .figures import Figure
from .figures_kept import keep_figures, read_figures
from .how_long import how_long
from .machine import machine
from .scale_results import RESULTS, read_all
from .section import Section, duration, markdown, markdown_table, read_json, verdict_table


@dataclass(frozen=True, slots=True)
class Budget:
    """How many seconds a suite may take on a quiet machine of two cores, and with `--quick`."""

    seconds: float
    quick_s: float


SUITES = {
    "side_by_side": Budget(480, 30),
    "streaming": Budget(660, 45),
    "null_copies": Budget(60, 10),
    "listing": Budget(45, 10),
    "memory": Budget(80, 10),
    "throttling": Budget(45, 10),
    "no_op": Budget(20, 10),
    "database": Budget(420, 45),
    "discover": Budget(90, 20),
    "small_job": Budget(80, 35),
    "playbook": Budget(60, 40),
    "cluster": Budget(355, 30),
}
"""Every suite, in the order of the page."""
WHOLE_S = 40 * 60
QUICK_S = 5 * 60
PAGE = ROOT / "docs" / "benchmarks.md"
QUICK_PAGE = ROOT / "build" / "benchmarks-quick.md"

HEAD = """\
# Benchmarks

`make bench` writes this page from what its suites measured; nothing is edited by hand. The machine: {machine}.
Clients and servers share it, so ratios say more than absolute figures.
"""
MISSING = "Suites that did not come to an end, and whose figures are missing here: {names}.\n"
QUICK = "**Taken with `--quick`: the sizes are far too small for the figures to mean anything.**\n"
VERDICTS = """\
## Verdicts

{missed} of {all} bars are missed; they come first.
"""
RUN = """\
## This run

It took {took}. Each suite can be run alone, as `python -m bench.<suite>`; ten and a hundred million objects are
measured apart, by `make bench-scale` ([scale.md](scale.md)).
"""
VERSIONS = "Versions: {versions}.\n"


def main() -> int:
    """Run the suites and write the page. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.all")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work, not how fast it is")
    parser.add_argument("--only", nargs="+", choices=SUITES, default=tuple(SUITES), help="these suites")
    parser.add_argument("--out", type=Path, help="the page (docs/benchmarks.md; with --quick or --only, one in build/)")
    options = parser.parse_args()
    whole = not options.quick and set(options.only) == set(SUITES)
    out = options.out or (PAGE if whole else QUICK_PAGE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out.parent.mkdir(exist_ok=True)
    found: dict[str, Section] = {}
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as folder:
        for number, name in enumerate(options.only, 1):
            path = Path(folder) / f"{name}.json"
            ahead = duration(sum(budget(one, quick=options.quick) for one in options.only[number - 1 :]))
            sys.stderr.write(f"bench.{name}, {number} of {len(options.only)}; at most {ahead} to go ...\n")
            command = [sys.executable, "-m", f"bench.{name}", "--json", str(path)]
            if run_to_end([*command, *(["--quick"] if options.quick else [])], ROOT) == 0:
                found[name] = read_json(path)
                sys.stderr.write(f"bench.{name} took {duration(found[name].took_s)}\n")
            # after each suite: a run that is interrupted leaves what it has measured
            missing = [name for name in options.only if name not in found]
            out.write_text(page(found, missing, machine(), quick=options.quick))
    if not options.quick:
        keep_figures(found, machine())
        scale_page.write(read_all(RESULTS), read_figures())
    sys.stderr.write(f"{out}\n")
    return 1 if missing else 0


def figures_of(found: Mapping[str, Section]) -> dict[Figure, float]:
    """Return the figures of all suites."""
    return {name: value for section in found.values() for name, value in section.figures.items()}


def budget(name: str, *, quick: bool) -> float:
    """Return how many seconds a suite may take."""
    return SUITES[name].quick_s if quick else SUITES[name].seconds


def page(found: Mapping[str, Section], missing: Sequence[str], where: str, *, quick: bool) -> str:
    """Return the whole page: what a user asks, every verdict, each suite's section, and how long they took."""
    parts = [HEAD.format(machine=where)]
    if quick:
        parts.append(QUICK)
    if missing:
        parts.append(MISSING.format(names=", ".join(missing)))
    parts.append(how_long(figures_of(found)) + "\n")
    verdicts = sorted((one for section in found.values() for one in section.verdicts), key=lambda one: one.met)
    parts.append(VERDICTS.format(missed=sum(not one.met for one in verdicts), all=len(verdicts)))
    parts.append(verdict_table(verdicts) + "\n")
    parts += [markdown(section) for section in found.values()]
    parts.append(RUN.format(took=duration(sum(section.took_s for section in found.values()))))
    parts.append(markdown_table(("suite", "took", "may take"), list(times(found, quick=quick))) + "\n")
    versions: dict[str, str] = {}
    for section in found.values():
        versions |= section.versions
    if versions:
        parts.append(VERSIONS.format(versions=", ".join(f"{name} {version}" for name, version in versions.items())))
    return "\n".join(parts)


def times(found: Mapping[str, Section], *, quick: bool) -> Iterator[tuple[str, str, str]]:
    """Return what each suite took and may take; one that took longer stands out."""
    for name, section in found.items():
        took, most = duration(section.took_s), budget(name, quick=quick)
        yield f"`{name}`", f"**{took}**" if section.took_s > most else took, duration(most)


if __name__ == "__main__":
    sys.exit(main())
