"""Write docs/servers.md from what is kept of each server, and from what is known to be different there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from .results import ROOT, Outcome, Result

PAGE = ROOT / "docs" / "servers.md"
DIFFERENCES = Path(__file__).parent / "differences.yml"

HEAD = """\
# Servers

`make matrix` ran Rehome's tests on each of these servers and wrote this page. Each is a private instance; none is
installed on the machine. `make matrix SERVERS="ceph mysql-9.7"` runs some of them and leaves the lines of the others
as they are. What is different on a server, and what Rehome does about it, stands in `matrix/differences.yml`.

- **database tests**: every test of the database's engine, and of the accounts that `grants` makes.
- **object store tests**: every test of the S3 engine, of copies, of retire and of the state in a bucket.
- **the whole story**: a seed with every oddity is checked, migrated, killed in the copy and in the rewrite, finished,
  repeated without a change, verified and rolled back, by the playbooks.
- **grants**: the `grants` playbook makes users with exactly the rights that a migration needs, which then migrate and
  roll back; it takes them away again.
"""
NEVER = "not run yet"


def write(results: Mapping[str, Result | None]) -> None:
    """Write the page.

    results: by server, in the order of the page; None where nothing is kept
    """
    known = yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8"))
    PAGE.write_text(page(results, known), encoding="utf-8")


def page(results: Mapping[str, Result | None], differences: Mapping[str, Any]) -> str:
    """Return the page's text.

    differences: by product, a `title` and the `points`: each a text `there` and a text `rehome`
    """
    minutes = sum(result.seconds for result in results.values() if result) / 60
    parts = [
        HEAD,
        f"All that is shown here took {minutes:.0f} minutes.\n",
        _table(results) + "\n",
        *_failures(results),
        *(_section(one) for one in differences.values()),
    ]
    return "\n".join(parts)


def _table(results: Mapping[str, Result | None]) -> str:
    rows = []
    for name, result in results.items():
        if result is None:
            rows.append([name, "", NEVER, "", ""])
            continue
        ran = "; ".join(f"{suite}: {_count(outcome)}" for suite, outcome in result.suites.items())
        rows.append([name, result.version, ran, f"{result.seconds / 60:.0f} min", f"{result.day}, {result.commit}"])
    return tabulate(rows, ("server", "version", "what ran", "time", "day and commit"), tablefmt="github")


def _count(outcome: Outcome) -> str:
    counts = [f"{outcome.passed} passed"]
    if outcome.failed:
        counts.append(f"**{len(outcome.failed)} failed**")
    if outcome.skipped:
        counts.append(f"{len(outcome.skipped)} skipped")
    if outcome.broke:
        counts.append(f"**{outcome.broke}**")
    return ", ".join(counts)


def _failures(results: Mapping[str, Result | None]) -> Sequence[str]:
    lines = [
        f"- {name}: `{test}`"
        for name, result in results.items()
        if result
        for outcome in result.suites.values()
        for test in outcome.failed
    ]
    return ["## What failed\n", "\n".join(lines) + "\n"] if lines else []


def _section(differences: Mapping[str, Any]) -> str:
    rows = [(_one_line(point["there"]), _one_line(point["rehome"])) for point in differences["points"]]
    table = tabulate(rows, ("what is different there", "what Rehome does"), tablefmt="github")
    return f"## {differences['title']}\n\n{table}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
