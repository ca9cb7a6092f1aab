"""Write docs/scale.md: what big catalogs cost, from the results that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .cost import ROOT
from .figures_kept import Kept
from .scale_cost import cost
from .scale_results import Result
from .section import Verdict, at_most, markdown, markdown_table, verdict_table

PAGE = ROOT / "docs" / "scale.md"
BIG, HUGE = 10_000_000, 100_000_000

TITLE = """\
# Big catalogs

What a migration of many millions of objects costs: first worked out for any number and for more machines, then as it
was measured. `make bench` and `make bench-scale` write this page, and nothing here is edited by hand.
"""
HEAD = """\
## What was measured on many millions

`make bench-scale` measures ten million objects; each section's own command measures it alone, and leaves the others as
they are.

{steps}

Each step is a process of its own, CPU is its user and system time without the servers', and memory is its largest
resident size, interpreter and libraries included. What is marked † was measured while others used the machine: its
wall times say little, its CPU times are a little too long.
"""
STEPS = {
    "rows": "the referencing column is read from a private MariaDB into the catalog.",
    "listing": "both buckets are listed into the catalog, from a server of the benchmark's own that sends invented\n"
    "  entries (1,000 a page, each with an ETag of its own; the ETags differ in their last digits only and so compress "
    "better\n  than real ones). The target is empty.",
    "plan": "every object and every row gets its class, its count, and its part in the digest.",
    "copy": "a planned catalog, made by SQL, is copied from an nginx that answers every request with the same result\n"
    "  of a copy; each outcome goes to the catalog and to files. One object in a hundred is a conflict, which is "
    "skipped.",
    "lists": "the lists of what needs a human are written.",
    "recall": "the same catalog as a second pass finds it, which reads what the first has proven (`outcomes/`).",
}
"""What each step does. Those that were measured are told."""
NOTHING = "Nothing has been measured yet.\n"
PARTIAL = "It did not come to its end; what is shown is what it reached.\n"


def write(results: Sequence[Result], kept: Kept, path: Path = PAGE) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results, kept))


def page(results: Sequence[Result], kept: Kept) -> str:
    """Return the page's text.

    kept: what `make bench` has found of it
    """
    cluster = [markdown(kept.cluster)] if kept.cluster else []
    return "\n".join((TITLE, cost(kept.figures, results, kept.said), *cluster, _measured(results)))


def _measured(results: Sequence[Result]) -> str:
    measured = [name for name in STEPS if not results or any(name in one.steps for one in results)]
    head = HEAD.format(steps="\n".join(f"- **{name}**: {STEPS[name]}" for name in measured))
    if not results:
        return f"{head}\n{NOTHING}"
    judged = verdicts(results)
    bars = [verdict_table(judged) + "\n"] if judged else []
    return "\n".join([head, *bars, *map(_section, results)])


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return what is held against a bar."""
    whole = {(one.objects, one.rows): one for one in results if one.kind == "plan" and one.complete}
    found = []
    if big := whole.get((BIG, BIG)):
        size = f"{BIG:,} objects and rows"
        found += [
            at_most(f"{size}: CPU of scan and plan", big.cpu_s, 160, " s", 0),
            at_most(f"{size}: memory", big.peak_bytes / 1e6, 400, " MB", 0),
            at_most(f"{size}: catalog", big.catalog_bytes / 1e6, 750, " MB", 0),
        ]
    big, huge = whole.get((BIG, BIG // 10)), whole.get((HUGE, HUGE // 10))
    if big and huge:
        ratio = huge.cpu_s / HUGE / (big.cpu_s / BIG)
        found.append(at_most(f"CPU of an object at {HUGE:,}, in times of that at {BIG:,}", ratio, 1.2))
    if huge:
        found.append(at_most(f"{HUGE:,} objects: memory", huge.peak_bytes / 1e6, 1_000, " MB", 0))
    return found


def _section(result: Result) -> str:
    of = f"{result.objects:,} objects" + f" and {result.rows:,} rows" * (result.kind == "plan")
    title = {"plan": f"Scan and plan of {of}", "copy": f"Copies of {of}"}[result.kind]
    rows = [
        (
            name,
            f"{step.cpu_s:,.1f} s",
            f"{step.cpu_s / (result.rows if name == 'rows' else result.objects) * 1e6:,.2f} µs",
            f"{step.wall_s:,.1f} s",
            f"{step.peak_bytes / 1e6:,.0f} MB",
        )
        for name, step in result.steps.items()
    ]
    total = ("together", f"{result.cpu_s:,.1f} s", f"{result.cpu_s / result.objects * 1e6:,.2f} µs", "", "")
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    mark = " †" * (result.busy >= 5)
    return "\n".join(
        [
            f"## {title}{mark}\n",
            *([] if result.complete else [PARTIAL]),
            *([f"{result.note}\n"] if result.note else []),
            markdown_table(("", "CPU", "of each", "wall", "memory"), [*rows, total]) + "\n",
            f"The catalog has {result.catalog_bytes / 1e6:,.0f} MB by then.\n",
            f"```console\n$ {result.command}\n```\n",
            f"{result.began}; {result.machine}. {versions}.",
            f"Others used {result.busy:.0f} % of the machine in the second before it began.\n",
        ]
    )
