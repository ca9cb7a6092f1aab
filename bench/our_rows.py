"""`python -m bench.our_rows SETTINGS PHASE`: Rehome's work on rows, one phase in one process, as the modules run it.

`scan` reads the rows into a catalog, adds every object that they name to both sides of it, and plans. `rewrite` carries
out that plan. `rollback` rolls the rows back. Each prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan.rows import read_rows
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned
from rehome.stages.rollback_rows import plan_rollback, roll_back

from .null_replies import ETAG, SIZE

CATALOG = "catalog.duckdb"
PHASES = ("scan", "rewrite", "rollback")

_OBJECTS = (
    f"INSERT INTO source_objects SELECT suffix, {SIZE}, '{ETAG}', '2026-01-01T00:00:00.000Z', 'STANDARD', '', '', NULL "
    "FROM reference_rows",
    f"INSERT INTO target_objects SELECT suffix, {SIZE}, '{ETAG}' FROM reference_rows",
)


class _Stages(Progress):
    """Records when each stage began, by the wall clock and in processor time."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self.began: dict[str, tuple[float, float]] = {}

    def stage(self, name: str, total: int | None = None, total_bytes: int | None = None) -> None:
        self.began[name] = (time.monotonic(), time.process_time())
        super().stage(name, total, total_bytes)


def main() -> int:
    """Run the phase. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.our_rows")
    parser.add_argument("settings", type=Path)
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("--seconds", type=float, help="of a rewrite: ask it to stop after so many")
    options = parser.parse_args()
    settings = read_settings(json.loads(options.settings.read_text()))
    progress = _Stages(settings.state_dir)
    work: dict[str, Callable[[], dict[str, object]]] = {
        "scan": lambda: _scan(settings, progress),
        "rewrite": lambda: _rewrite(settings, progress, options.seconds),
        "rollback": lambda: _rollback(settings, progress),
    }
    sys.stdout.write(json.dumps(work[options.phase]()) + "\n")
    return 0


def _scan(settings: Settings, progress: Progress) -> dict[str, object]:
    with Catalog.create(settings.state_dir / CATALOG, {}) as catalog:
        began = _now()
        read_rows(Run(settings, catalog, progress))
        took = _since(began)
        for statement in _OBJECTS:
            catalog.run(statement)
        plan = make_plan(catalog, settings)
    return {"rows": plan.rows["to_rewrite"], **took}


def _rewrite(settings: Settings, progress: _Stages, seconds: float | None) -> dict[str, object]:
    counts = RewriteCounts()
    with Catalog.open(settings.state_dir / CATALOG) as catalog:
        began = _now()
        give_up = began[0] + (seconds or float("inf"))
        rewrite_planned(Run(settings, catalog, progress, lambda: time.monotonic() > give_up), counts)
        ended = _now()
    # the last COMMIT comes before it rereads the table for what the application has written meanwhile
    committed = next((at for name, at in progress.began.items() if name.startswith("reread ")), ended)
    return {
        "rows": counts.rewritten,
        **_since(began, committed),
        "look_again_s": ended[0] - committed[0],
        "held_s": counts.throttled_s,
    }


def _rollback(settings: Settings, progress: Progress) -> dict[str, object]:
    with Catalog.create(settings.state_dir / "rollback.duckdb", {}) as catalog:
        began = _now()
        counts = plan_rollback(Run(settings, catalog, progress))
        planned = _now()
        roll_back(Run(settings, catalog, progress), counts)
    return {"rows": counts.restored, **_since(planned), "plan_s": planned[0] - began[0]}


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _since(began: tuple[float, float], ended: tuple[float, float] | None = None) -> dict[str, float]:
    wall, cpu = ended or _now()
    return {"wall_s": wall - began[0], "cpu_s": cpu - began[1]}


if __name__ == "__main__":
    sys.exit(main())
