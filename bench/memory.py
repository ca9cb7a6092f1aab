"""`python -m bench.memory`: the memory of the copying process, for few objects and for ten times as many."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rehome.config.read import read_settings

from . import nginx
from .cost import spend
from .figures import Figure
from .machine import our_versions
from .migration import given, side, write_given
from .planned import plan_catalog
from .section import Section, Table, at_most
from .suite import BenchError, run_suite, step

ABOUT = """\
One process opens a planned catalog and copies all of it (`copy_planned`: the queue is read from the catalog, each copy
is checked, each outcome goes back to the catalog) from the nginx that answers every request with a copy's result. The
catalogs are made by SQL and planned beforehand by another process. The largest resident size of the whole process
counts (VmHWM), interpreter and libraries included."""


def measure(quick: bool) -> Section:
    """Measure both sizes."""
    sizes = (2_000, 20_000) if quick else (100_000, 1_000_000)
    found: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
        folder = Path(name)
        with nginx.null_server(folder) as server:
            for objects in sizes:
                with step(f"{objects:,} objects"):
                    found[objects] = _copy(folder / str(objects), server.http_url, objects)
    few, many = (found[objects]["peak_bytes"] / 1e6 for objects in sizes)
    return Section(
        title="Memory of the copying process",
        about=ABOUT,
        verdicts=(
            at_most(f"memory at {sizes[1]:,} objects, in times of that at {sizes[0]:,}", many / few, 1.15),
            at_most(f"memory at {sizes[1]:,} objects", many, 250, " MB", 0),
        ),
        tables=(
            Table(
                ("objects", "largest memory", "copies/s", "CPU per copy"),
                tuple(
                    (
                        f"{objects:,}",
                        f"{facts['peak_bytes'] / 1e6:,.1f} MB",
                        f"{objects / facts['phases']['copy']['wall_s']:,.0f}",
                        f"{facts['phases']['copy']['cpu_s'] / objects * 1e6:,.1f} µs",
                    )
                    for objects, facts in found.items()
                ),
            ),
        ),
        commands=("python -m bench.ours settings.json copy",),
        versions={**our_versions(), "nginx": nginx.version()},
        figures={Figure.COPIED_PLANNED: sizes[1] / found[sizes[1]]["phases"]["copy"]["wall_s"]},
    )


def _copy(folder: Path, url: str, objects: int) -> dict[str, Any]:
    folder.mkdir()
    settings = given(folder, side(url, "legacy", "image/"), side(url, "production", "avatar/"))
    plan_catalog(folder, read_settings(settings), objects)
    _, said = spend([sys.executable, "-m", "bench.ours", str(write_given(folder, settings)), "copy"])
    facts: dict[str, Any] = json.loads(said)
    if facts["counts"]["copied"] != objects:
        raise BenchError(f"of {objects} objects, {facts['counts']['copied']} were copied: {said}")
    return facts


if __name__ == "__main__":
    sys.exit(run_suite("memory", measure))
