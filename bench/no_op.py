"""`python -m bench.no_op`: what a repeated run of a finished migration costs beyond its scan."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from .cost import spend
from .machine import our_versions
from .migration import given, side, write_given
from .rounds import ratio, spread
from .section import Section, Table, at_most
from .servers import serving
from .suite import BenchError, run_suite

ABOUT = """\
{keys:,} objects are in the source, and in the target with the same ETags: scan, plan and copy in one process, as a
migration runs them, with nothing left to copy. The server is the one of the listing's benchmark. It is much faster
than any server of objects, so that the listing is short and what comes on top of it weighs all the more. A round's
figure is the time of all three over the time of its scan, and the median of {rounds} rounds counts (least … most).
There are no rows."""


def measure(quick: bool) -> Section:
    """Measure the whole run against its scan."""
    keys, rounds = (5_000, 1) if quick else (100_000, 5)
    scans, wholes = [], []
    with serving("canned_listing", f"legacy/image/={keys}", f"production/avatar/={keys}") as url:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
                folder = Path(name)
                settings = given(folder, side(url, "legacy", "image/"), side(url, "production", "avatar/"))
                command = [sys.executable, "-m", "bench.ours", str(write_given(folder, settings))]
                _, said = spend([*command, "scan", "plan", "copy"])
            facts = json.loads(said)
            if facts["listed"] != keys or any(facts["counts"].values()):
                raise BenchError(f"this was not a no-op over {keys} objects: {said}")
            phases = facts["phases"]
            scans.append(phases["scan"]["wall_s"])
            wholes.append(sum(phase["wall_s"] for phase in phases.values()))
    share = ratio(wholes, scans)
    return Section(
        title="A finished migration, run again",
        about=ABOUT.format(keys=keys, rounds=rounds),
        verdicts=(at_most(f"a no-op over {keys:,} objects, in times of its listing", share, 1.2),),
        tables=(
            Table(("", "wall"), (("scan", spread(scans, 2) + " s"), ("scan, plan, copy", spread(wholes, 2) + " s"))),
        ),
        commands=(
            f"python -m bench.canned_listing legacy/image/={keys} production/avatar/={keys}",
            "python -m bench.ours settings.json scan plan copy",
        ),
        versions=our_versions(),
    )


if __name__ == "__main__":
    sys.exit(run_suite("no_op", measure))
