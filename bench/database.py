"""`python -m bench.database`: the rewrite of rows, against one UPDATE, against scripts, and beside others."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import truediv
from pathlib import Path
from statistics import mean, median
from typing import Any

from sandbox.files import write_private
from sandbox.seed.avatars import MIGRATED_PREFIX, PREFIX

from .application import EVERY_S, SESSIONS
from .cost import ROOT, spend
from .figures import ROWS, Figure
from .machine import our_versions, version_of
from .migration import given, side, write_given
from .rounds import spread
from .section import Section, Verdict, at_least, at_most
from .section import Table as Figures
from .suite import BenchError, run_suite, step
from .table import Engine, Table, table

NAMES: dict[Engine, str] = {"mariadb": "MariaDB", "postgresql": "PostgreSQL"}
LEAST_SPEED: dict[Engine, tuple[float, float]] = {"mariadb": (0.75, 0.60), "postgresql": (0.55, 0.45)}
"""Bars: the rewrite's rows/s in times of a bare UPDATE's, as it comes and with one connection."""
BARE, OURS, ONE, ROLLBACK = "bare UPDATE", "rewrite", "rewrite, 1 connection", "rollback"
BESIDE = "rewrite, default throttle, beside an application"
LATENCIES = ("median", "p99", "most")
NAPTIME = "ALTER SYSTEM SET autovacuum_naptime = '5s'"

ABOUT = """\
{rows:,} rows with the seed's paths (`image/avatar-123.png`) in the sandbox's own table: a primary key, an index on
`path`, and a column with the time of the last change (in PostgreSQL a trigger keeps it), on the sandbox's MariaDB and
PostgreSQL as they are set up there. Each side rewrites every path from `image/` to `avatar/`, or back.

**The rewrite** is the product's own path, from a filled catalog to the last COMMIT: rows are locked, compared by their
bytes, rewritten, read back and journalled, a chunk of about 75 ms a transaction (12 on PostgreSQL), as the
least-privileged user. **The bare UPDATE** is one statement, `UPDATE avatars SET path = CONCAT('avatar/',
SUBSTRING(path, 7)) WHERE path LIKE 'image/%'`: no comparison, no journal, no way back, every row locked until it ends.
They take turns (bare, ours with one connection, ours, its rollback, bare), each waits until the server has cleaned up
behind the one before, and the bar is held against the mean of both bare ones. Where PostgreSQL is asked how fast the
rewrite is, its dead tuples are not waited for, nor is MariaDB's redo log; with the default throttle the waits are
counted, and told apart. PostgreSQL is worn in before: a new server makes each file of its log anew, and whoever commits
waits for it, until old ones are used again (`min_wal_size = 1GB`, and three times a filling, a bare UPDATE and a
checkpoint); and it begins each measurement with a VACUUM and a checkpoint behind it, as otherwise one would fall into
some of them.

**The script** is what people write: rows read at once, an UPDATE by key for each, a COMMIT every 1,000. It does
{slice:,} rows, and its rows/s are taken for those of the whole table.

**The application** has {sessions} sessions that update a row by its key and insert one by turns, {turns:.0f} statements
a second in all; each counts from when it was due. It works {alone:.0f} s alone, and then through {alone:.0f} s of a
rewrite with the default settings (in PostgreSQL as the table's owner, so that VACUUM is at work too), {rounds} rounds
of both; the ratio is the median of the rounds' own. Then it works through a whole bare UPDATE.

**The heap** of PostgreSQL is measured from a table filled anew to the end of the rewrite with the default throttle. The
owner's rewrite vacuums the table itself; a user that may not has to wait for autovacuum, which looks every 5 s here and
not every minute as is its default, so that this comes to an end: that changes how long it takes, and hardly the growth.
**The journal** is what its table takes, in whole pages and with its indexes."""


@dataclass
class Found:
    """What was measured on one engine. Seconds are for all rows.

    took_ms: the times of the application's statements, by round and by what ran beside them
    """

    scans: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    ours: dict[str, dict[str, Any]] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    took_ms: dict[str, list[list[float]]] = field(default_factory=dict)
    script_rows_per_s: float = 0.0
    journal_bytes_per_row: float = 0.0


class Bench:
    """The measurements on one engine.

    seconds, rounds: how long the application works if nothing else ends it, and how often
    """

    def __init__(self, folder: Path, avatars: Table, seconds: float, rounds: int, sliced: int) -> None:
        self._folder = folder
        self._avatars = avatars
        self._seconds = seconds
        self._rounds = rounds
        self._slice = sliced
        self._postgresql = avatars.engine == "postgresql"
        self._admin = folder / "admin.json"
        write_private(self._admin, json.dumps(avatars.server.database("admin")))
        self.found = Found()

    def run(self) -> Found:
        """Measure everything on this engine."""
        parts = {
            "wear in": self._avatars.wear_in,
            "speed": self._speed,
            "beside an application": self._beside_an_application,
            "script": self._script,
        }
        if self._postgresql:
            parts["heap"] = self._heap
        for name, part in parts.items():
            with step(f"{NAMES[self._avatars.engine]}, {name}"):
                part()
        return self.found

    def _speed(self) -> None:
        avatars, found = self._avatars, self.found
        # the throttle's handling of dead tuples is measured separately
        awake: dict[str, Any] = {"throttle": {"max_dead_ratio": 0.0, "max_redo_ratio": 0.0}}
        avatars.fill()
        before = avatars.heap_bytes() if self._postgresql else 0
        found.bare.append(avatars.bare_update())
        if self._postgresql:
            found.growth[BARE] = avatars.heap_bytes() / before
        avatars.settle()
        back = self._settings("back", MIGRATED_PREFIX, PREFIX, connections=1, **awake)
        self._scan(back)
        found.ours[ONE] = self._ours(back, "rewrite")
        avatars.settle()
        there = self._settings("there", **awake)
        self._scan(there)
        found.ours[OURS] = self._ours(there, "rewrite")
        # both rewrites have written to it
        found.journal_bytes_per_row = avatars.journal_bytes() / (2 * avatars.rows)
        avatars.settle()
        found.ours[ROLLBACK] = self._ours(there, "rollback")
        avatars.settle()
        found.bare.append(avatars.bare_update())

    def _beside_an_application(self) -> None:
        avatars = self._avatars
        for number in range(self._rounds):
            avatars.fill()
            with self._application("alone"):
                time.sleep(self._seconds)  # the application is what is measured
            settings = self._settings(f"beside-{number}", user="admin" if self._postgresql else "migrate")
            self._scan(settings)
            with self._application("rewrite"):
                _, said = spend([*_command(settings, "rewrite"), "--seconds", str(self._seconds)])
            self.found.ours[BESIDE] = json.loads(said)
        avatars.fill()
        with self._application("bare UPDATE"):
            avatars.execute(avatars.bare_statement())

    def _script(self) -> None:
        self._avatars.fill()
        _, said = spend([sys.executable, "-m", "bench.one_by_one", str(self._admin), "--rows", str(self._slice)])
        facts = json.loads(said)
        if facts["rows"] != self._slice:
            raise BenchError(f"the script has rewritten {facts['rows']} rows")
        self.found.script_rows_per_s = facts["rows"] / facts["wall_s"]

    def _heap(self) -> None:
        avatars = self._avatars
        for who, user in (("the owner", "admin"), ("the least-privileged user", "migrate")):
            if user == "migrate":
                avatars.execute(NAPTIME, "postgres")
                avatars.execute("SELECT pg_reload_conf()", "postgres")
            avatars.fill()
            before = avatars.heap_bytes()
            settings = self._settings(f"heap-{user}", user=user)
            self._scan(settings)
            name = f"rewrite, default throttle, as {who}"
            self.found.ours[name] = self._ours(settings, "rewrite")
            self.found.growth[name] = avatars.heap_bytes() / before

    def _settings(
        self, name: str, old: str = PREFIX, new: str = MIGRATED_PREFIX, user: str = "migrate", **more: Any
    ) -> Path:
        folder = self._folder / name
        folder.mkdir()
        nowhere = "http://127.0.0.1:9"
        database = self._avatars.server.database(user)
        settings = given(
            folder,
            side(nowhere, "legacy", old),
            side(nowhere, "production", new),
            name=name,
            database=database,
            rollback_missing="restore",
            **more,
        )
        return write_given(folder, settings)

    def _scan(self, settings: Path) -> None:
        _, said = spend(_command(settings, "scan"))
        facts = json.loads(said)
        self._expect(facts)
        self.found.scans.append(facts["wall_s"])

    def _ours(self, settings: Path, phase: str) -> dict[str, Any]:
        _, said = spend(_command(settings, phase))
        facts: dict[str, Any] = json.loads(said)
        self._expect(facts)
        return facts

    def _expect(self, facts: dict[str, Any]) -> None:
        if facts["rows"] != self._avatars.rows:
            raise BenchError(f"of {self._avatars.rows} rows, {facts['rows']} were worked on")

    @contextmanager
    def _application(self, beside: str) -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.application", str(self._admin), "--rows", str(self._avatars.rows)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            if process.stdout is None or not process.stdout.readline():
                raise BenchError("the application did not come to work")
            yield
        finally:
            # it runs until its standard input ends
            said, _ = process.communicate()
        self.found.took_ms.setdefault(beside, []).append(json.loads(said))


def measure(quick: bool) -> Section:
    """Measure both engines, one after the other."""
    rows, seconds, rounds, sliced = (20_000, 1.0, 1, 2_000) if quick else (600_000, 10.0, 3, 20_000)
    found: dict[Engine, Found] = {}
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
        for engine in NAMES:
            folder = Path(name) / engine
            folder.mkdir()
            with table(engine, folder / "server", rows) as avatars:
                found[engine] = Bench(folder, avatars, seconds, rounds, sliced).run()
    return section(found, rows, seconds, rounds, sliced)


def section(found: dict[Engine, Found], rows: int, seconds: float, rounds: int, sliced: int) -> Section:
    """Return the section with the measurements of both engines."""
    return Section(
        title="Rows: the rewrite beside one UPDATE, a script and an application",
        about=ABOUT.format(
            rows=rows, slice=sliced, alone=seconds, rounds=rounds, sessions=SESSIONS, turns=SESSIONS / EVERY_S
        ),
        verdicts=tuple(one for engine, facts in found.items() for one in verdicts(engine, facts, rows)),
        tables=(
            Figures(
                ("", *(NAMES[engine] for engine in found)),
                tuple(
                    (name, *(_cells(facts, rows).get(name, "") for facts in found.values()))
                    for name in dict.fromkeys(name for facts in found.values() for name in _cells(facts, rows))
                ),
            ),
            Figures(
                (
                    "application beside",
                    *(f"{NAMES[engine]}: {what}" for engine in found for what in LATENCIES),
                ),
                tuple(
                    (beside, *(cell for facts in found.values() for cell in _latencies(facts.took_ms[beside])))
                    for beside in ("alone", "rewrite", "bare UPDATE")
                ),
            ),
        ),
        commands=(
            "python -m bench.our_rows settings.json scan",
            "python -m bench.our_rows settings.json rewrite",
            "python -m bench.our_rows settings.json rollback",
            f"python -m bench.one_by_one admin.json --rows {sliced}",
            f"python -m bench.application admin.json --rows {rows}",
        ),
        versions={**our_versions(), **{name: version_of(name) for name in ("PyMySQL", "psycopg")}},
        figures={name: rate for engine, facts in found.items() for name, rate in rates(engine, facts, rows).items()},
    )


def verdicts(engine: Engine, found: Found, rows: int) -> Iterator[Verdict]:
    """Return one engine's figures against their bars."""
    name, bare = NAMES[engine], mean(found.bare)
    ours, single, back = (found.ours[one]["wall_s"] for one in (OURS, ONE, ROLLBACK))
    least, least_of_one = LEAST_SPEED[engine]
    yield at_least(f"{name}: rows/s of the rewrite, in times of a bare UPDATE's", bare / ours, least, digits=2)
    yield at_least(f"{name}: the same with 1 connection", bare / single, least_of_one, digits=2)
    script = rows / found.script_rows_per_s
    yield at_least(f"{name}: rows/s of the rewrite, in times of a script's", script / ours, 8, digits=1)
    beside, alone = (map(p99, found.took_ms[one]) for one in ("rewrite", "alone"))
    slower = median(map(truediv, beside, alone))
    yield at_most(f"{name}: an application's p99 beside the rewrite, in times of that alone", slower, 3)
    yield at_least(f"{name}: rows/s scanned into the catalog", rows / median(found.scans), 150_000)
    yield at_most(f"{name}: bytes of journal per row", found.journal_bytes_per_row, 10, digits=1)
    for who, growth in found.growth.items():
        if who != BARE:
            yield at_most(f"{name}: growth of the heap, {who}", growth, 1.25)
    yield at_least(f"{name}: rows/s of the rollback, in times of the rewrite's", ours / back, 0.7, digits=2)


def rates(engine: Engine, found: Found, rows: int) -> dict[Figure, float]:
    """Return the rows/s that the page's first table needs."""
    beside, figures = found.ours[BESIDE], ROWS[engine]
    measured = {
        figures.scanned: rows / median(found.scans),
        figures.rewritten: rows / found.ours[OURS]["wall_s"],
        figures.giving_way: beside["rows"] / beside["wall_s"],
    }
    # in a quick run beside an application, all of the time may be waiting
    return {figure: rate for figure, rate in measured.items() if rate}


def p99(took: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return sorted(took)[int(len(took) * 0.99)]


def _cells(found: Found, rows: int) -> dict[str, str]:
    """Return the table's column of one engine, by the names of its rows."""
    cells = {
        "bare UPDATE, rows/s": spread([rows / took for took in found.bare], 0),
        "script, rows/s": f"{found.script_rows_per_s:,.0f}",
        "scan, rows/s": spread([rows / took for took in found.scans], 0),
    }
    for name, facts in found.ours.items():
        cells[f"{name}, rows/s"] = f"{facts['rows'] / facts['wall_s']:,.0f}"
        if facts["rows"]:  # in a quick run beside an application, all of the time may be waiting
            cells[f"{name}, client CPU per row"] = f"{facts['cpu_s'] / facts['rows'] * 1e6:.1f} µs"
        if held := sum(facts.get("held_s", {}).values()):
            cells[f"{name}, of it waiting"] = f"{held:.1f} of {facts['wall_s']:.1f} s"
    cells["rollback, reading the journal before it"] = f"{found.ours[ROLLBACK]['plan_s']:.1f} s"
    cells["rewrite, looking again behind it"] = f"{found.ours[OURS]['look_again_s']:.1f} s"
    cells |= {f"growth of the heap, {name}": f"{growth:.2f}" for name, growth in found.growth.items()}
    return cells


def _latencies(rounds: Sequence[Sequence[float]]) -> tuple[str, ...]:
    return tuple(f"{spread([of(took) for took in rounds], 1)} ms" for of in (median, p99, max))


def _command(settings: Path, phase: str) -> list[str]:
    return [sys.executable, "-m", "bench.our_rows", str(settings), phase]


if __name__ == "__main__":
    sys.exit(run_suite("database", measure))
