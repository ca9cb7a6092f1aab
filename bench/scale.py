"""`python -m bench.scale plan|copy OBJECTS`: what a catalog of many millions of objects costs.

Each step is a process of its own, and what it cost is kept at once: a measurement that is ended early is published as
what it reached.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.planning.plan import make_plan
from rehome.s3.capabilities import AMAZON
from rehome.s3.endpoint.resolve import resolve
from rehome.services.capabilities import keep_capabilities

from sandbox.mariadb import MariaDB
from sandbox.seed.avatars import PREFIX

from . import nginx
from .canned_listing import LEAST_DIGITS
from .cost import ROOT, spend
from .figures_kept import read_figures
from .machine import machine, our_versions, version_of
from .migration import given, side, write_given
from .null_replies import ETAG, SIZE
from .ours import CATALOG
from .scale_page import PAGE, write
from .scale_results import RESULTS, Kind, Result, Step, keep, read_all
from .servers import serving
from .suite import LOOK_S, BenchError, step

TRIAL_BELOW = 1_000_000
"""A measurement of fewer objects is a trial, which the project does not keep."""
TRIALS = ROOT / "build" / "scale"
CONFLICT_EVERY = 100
FILL_ROWS = 1_000_000


def main() -> int:
    """Measure and write the page. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("kind", choices=("plan", "copy"))
    parser.add_argument("objects", type=int)
    parser.add_argument("--every", type=int, default=1, help="of a plan: one of so many objects has a row (1)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    trial = options.objects < TRIAL_BELOW
    results = TRIALS if trial else RESULTS
    rows = options.objects // options.every if options.kind == "plan" else 0
    result = _begun(options.kind, options.objects, rows)
    try:
        with tempfile.TemporaryDirectory(prefix="rehome-bench-") as folder:
            (measure_plan if options.kind == "plan" else measure_copy)(Path(folder), result, results)
    except BenchError as error:
        sys.stderr.write(f"bench.scale: {error}\n")
        return 1
    finally:
        page = TRIALS / "scale.md" if trial else PAGE
        write(read_all(results), read_figures(), page)
        sys.stderr.write(f"{page}\n")
    return 0


def measure_plan(folder: Path, result: Result, results: Path) -> None:
    """Scan and plan, from a canned listing and a private MariaDB. Raises BenchError."""
    digits = max(LEAST_DIGITS, len(str(result.objects - 1)))
    result.versions["PyMySQL"] = version_of("PyMySQL")
    with (
        _database(folder, result.rows, digits) as database,
        serving("canned_listing", f"legacy/{PREFIX}={result.objects}", "production/avatar/=0") as url,
    ):
        settings = given(
            folder,
            side(url, "legacy", PREFIX),
            side(url, "production", "avatar/"),
            database=database.database("migrate"),
        )
        for phase in ("rows", "listing", "plan"):
            facts = _run(folder, settings, phase, result, results)
    if facts["listed"] != result.objects:
        raise BenchError(f"of {result.objects} objects, {facts['listed']} were listed")
    with Catalog.open(folder / CATALOG) as catalog:
        planned = catalog.query("SELECT class, count(*) FROM planned_rows GROUP BY class")
    if planned != [("to_rewrite", result.rows)]:
        raise BenchError(f"of {result.rows} rows to rewrite: {planned}")
    _end(result, results)


def measure_copy(folder: Path, result: Result, results: Path) -> None:
    """Copy a whole planned catalog from a server that does nothing. Raises BenchError."""
    result.versions["nginx"] = nginx.version()
    with nginx.null_server(folder) as server:
        sides = side(server.http_url, "legacy", PREFIX), side(server.http_url, "production", "avatar/")
        settings = given(folder, *sides, on_conflict="skip")
        _fill_catalog(folder, settings, result.objects)
        facts = _run(folder, settings, "copy", result, results)
    conflicts = -(-result.objects // CONFLICT_EVERY)
    if facts["counts"]["copied"] != result.objects - conflicts:
        raise BenchError(f"of {result.objects} objects, {facts['counts']['copied']} were copied: {facts}")
    _run(folder, settings, "lists", result, results)
    with (folder / "lists" / "objects-conflict.jsonl").open() as listed:
        if (count := sum(1 for _ in listed)) != conflicts:
            raise BenchError(f"of {conflicts} conflicts, {count} are listed")
    _fill_catalog(folder, settings, result.objects, copied=True)
    _run(folder, settings, "recall", result, results)
    _end(result, results)


def _begun(kind: Kind, objects: int, rows: int) -> Result:
    busy = psutil.cpu_percent(interval=LOOK_S)
    return Result(kind, objects, rows, machine(), our_versions(), datetime.now(UTC).date().isoformat(), busy)


def _run(folder: Path, settings: dict[str, Any], phase: str, result: Result, results: Path) -> dict[str, Any]:
    with step(phase):
        _, said = spend([sys.executable, "-m", "bench.ours", str(write_given(folder, settings)), phase])
    facts: dict[str, Any] = json.loads(said)
    result.steps[phase] = Step(**facts["phases"][phase], peak_bytes=facts["peak_bytes"])
    result.catalog_bytes = (folder / CATALOG).stat().st_size
    keep(result, results)
    return facts


def _end(result: Result, results: Path) -> None:
    result.complete = True
    keep(result, results)


@contextmanager
def _database(folder: Path, rows: int, digits: int) -> Iterator[MariaDB]:
    """Run a server whose table names the first `rows` objects, for the length of the block."""
    server = MariaDB(folder / "mariadb")
    try:
        server.up()
        connection = server.connect("admin")
        connection.autocommit(True)
        with step("fill the table"), connection, connection.cursor() as cursor:
            cursor.execute("ALTER TABLE avatars DROP INDEX avatars_path")  # no step uses it
            for begin in range(0, rows, FILL_ROWS):
                cursor.execute(
                    "INSERT INTO avatars (id, user_id, path) SELECT seq + 1, seq + 1,"
                    f" CONCAT('{PREFIX}avatar-', LPAD(seq, {digits}, '0'), '.png')"
                    f" FROM seq_{begin}_to_{min(begin + FILL_ROWS, rows) - 1}"
                )
        yield server
    finally:
        server.destroy()


def _fill_catalog(folder: Path, settings: dict[str, Any], objects: int, *, copied: bool = False) -> None:
    """Make a catalog of `objects`, of which some are conflicts.

    copied: as a second pass would list them: all others are in the target; if not, they are planned
    """
    read = read_settings(settings)
    # a migration's preflight finds that out, but not about a server that says the same to everything
    keep_capabilities(read, resolve(read.source), resolve(read.target), AMAZON)
    numbers = f"SELECT printf('avatar-%0{LEAST_DIGITS}d.png', i) AS suffix, i FROM range({objects}) AS numbers(i)"
    conflict = f"i % {CONFLICT_EVERY} = 0"
    with Catalog.create(folder / CATALOG, {}) as catalog:
        catalog.run(
            "INSERT INTO source_objects (suffix, size, etag, last_modified, storage_class, restore, tier) "
            f"SELECT suffix, {SIZE}, '{ETAG}', '2026-01-01T00:00:00.000Z', 'STANDARD', '', '' FROM ({numbers})"
        )
        catalog.run(
            f"INSERT INTO target_objects SELECT suffix, if({conflict}, 1, {SIZE}), if({conflict}, 'other', '{ETAG}') "
            f"FROM ({numbers}) WHERE {conflict} OR {copied}"
        )
        if not copied:
            make_plan(catalog, read)


if __name__ == "__main__":
    sys.exit(main())
