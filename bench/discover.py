"""`python -m bench.discover`: the search of all columns, against one statement for each that counts with LIKE."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rehome.config.settings import Database, Side
from rehome.db.engines.open import connect
from rehome.discover.search import Asked, search

from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL

from .machine import our_versions, version_of
from .many_tables import ManyTables
from .rounds import ratio, spread
from .section import Section, Table, Verdict, at_most
from .suite import BenchError, run_suite, step

BAR = 2.0
NAMES = {"mariadb": "MariaDB", "postgresql": "PostgreSQL", "sqlite": "SQLite"}

ABOUT = """\
{tables} tables with {columns} columns of each kind that may hold a text
(character and text types of several collations, JSON, binary ones, enums, arrays; SQLite's untyped ones): {rows:,} rows
each, and {large:,} in every thirtieth. Every tenth table has names of objects in one row of a hundred, inside HTML, and
every twentieth text has the word `image`.

**The search** reads all rows of all tables (`-e whole=true`), as `discover` does: the database's catalog, pages by key,
what each value found says, and exact counts, which are compared with what was filled in. **The counting** is one
`SELECT count(*) FROM … WHERE … LIKE '%image/%'` for each of the same columns, which says neither which of them are
names, nor in which form. Both on one connection, after each of both has run once; {rounds} rounds by turns, and a ratio
is the median of the rounds' own. **By samples** is what `discover` does without `whole`."""


def measure(quick: bool) -> Section:
    """Measure on each engine."""
    tables, rows, large, rounds = (30, 100, 1_000, 1) if quick else (300, 500, 10_000, 3)
    verdicts: list[Verdict] = []
    figures: list[tuple[str, ...]] = []
    versions: dict[str, str] = {}
    columns = ""
    for engine, name in NAMES.items():
        made = ManyTables(engine, tables, rows, large)
        columns += f"{', ' if columns else ''}{len(made.columns())} ({name})"
        with tempfile.TemporaryDirectory(prefix="rehome-bench-") as folder, _server(engine, Path(folder)) as server:
            settings, execute = server
            made.make(execute)
            execute("ANALYZE" if engine != "mariadb" else f"ANALYZE TABLE {', '.join(made.names())}")
            with step(f"{name}, {rounds} rounds"):
                ours, theirs, sampled = _rounds(made, settings, rounds)
        verdicts.append(
            at_most(f"{name}: the search of all columns, in times of counting them", ratio(ours, theirs), BAR)
        )
        shown = [f"{spread(values, 2)} s" for values in (theirs, ours, sampled)]
        figures.append((name, *shown))
    for driver in ("PyMySQL", "psycopg"):
        versions[driver] = version_of(driver)
    return Section(
        title="Every column that names objects",
        about=ABOUT.format(tables=tables, columns=columns, rows=rows, large=large, rounds=rounds),
        verdicts=tuple(verdicts),
        tables=(Table(("", "counting", "search, all rows", "search, by samples"), tuple(figures)),),
        commands=("python -m bench.discover",),
        versions=our_versions() | versions,
    )


def _rounds(made: ManyTables, settings: Database, rounds: int) -> tuple[list[float], list[float], list[float]]:
    ours: list[float] = []
    theirs: list[float] = []
    sampled: list[float] = []
    for number in range(rounds + 1):
        took = [_count(made, settings), _search(made, settings, whole=True), _search(made, settings, whole=False)]
        if number:  # the first round fills the caches
            for kept, seconds in zip((theirs, ours, sampled), took, strict=True):
                kept.append(seconds)
    return ours, theirs, sampled


def _count(made: ManyTables, settings: Database) -> float:
    with connect(settings) as database:
        began = time.monotonic()
        found = {}
        for table in made.names():
            for column in made.columns():
                # the driver takes a `%` for the beginning of a parameter
                statement = made.counting(table, column)
                doubled = statement if made.engine == "sqlite" else statement.replace("%", "%%")
                found[f"{table}.{column}"] = database.run(doubled)[0][0]
        took = time.monotonic() - began
    _check(made, {name: rows for name, rows in found.items() if rows})
    return took


def _search(made: ManyTables, settings: Database, *, whole: bool) -> float:
    source = Side("source", "legacy-s3", "image/", endpoint_url="https://s3.example.com", region="eu-1")
    with connect(settings) as database:
        began = time.monotonic()
        found = search(database, settings, Asked(source, "image/", ("avatar-*.png",), whole=whole))
        took = time.monotonic() - began
    if whole:
        _check(made, {column.name: column.rows for column in found if column.standing == "names"})
    return took


def _check(made: ManyTables, found: dict[str, int]) -> None:
    if found != made.expected():
        raise BenchError(f"{found} was found instead of {made.expected()}")


@contextmanager
def _server(engine: str, folder: Path) -> Iterator[tuple[Database, Any]]:
    if engine == "sqlite":
        path = folder / "app.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            yield Database("sqlite", path=str(path)), connection.execute
        return
    server = (MariaDB if engine == "mariadb" else PostgreSQL)(folder / engine)
    try:
        server.up()
        with closing(server.connect("admin")) as connection:
            if isinstance(server, PostgreSQL):
                connection.autocommit = True
            else:
                connection.autocommit(True)
            cursor = connection.cursor()

            def execute(statement: str) -> None:
                cursor.execute(statement)

            execute("DROP TABLE IF EXISTS avatars")
            yield Database(**server.database("admin")), execute
    finally:
        server.destroy()


if __name__ == "__main__":
    sys.exit(run_suite("discover", measure))
