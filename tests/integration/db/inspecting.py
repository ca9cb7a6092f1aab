"""The checks of a table and of its server, as the preflight makes them, and how tests look into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rehome.checks import Check
from rehome.config.settings import Database
from rehome.db.engines.open import connect
from rehome.db.engines.open_inspector import inspector
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import ValueMap
from rehome.preflight.column import Column, inspect_column

from tests.integration.db.conftest import Bench

IMAGES = ValueMap(KeyMap("image/", "avatar/", ("*.png",)))
SERVERS = {"mariadb", "postgresql"}


def column_checks(
    bench: Bench,
    values: ValueMap = IMAGES,
    dry_run: bool = False,
    login: Mapping[str, str] | None = None,
    where: str | None = None,
) -> list[Check]:
    settings = replace(bench.settings(), **(login or {}))
    with connect(settings) as database:
        facts = replace(database.describe(bench.table, "path"), where=where)
        column = Column(facts, "rehome_references[0]", values, dry_run)
        return inspect_column(database, inspector(database, settings), column)


def server_checks(settings: Database, dry_run: bool = False) -> list[Check]:
    with connect(settings) as database:
        return inspector(database, settings).server_checks(dry_run)


def named(checks: Sequence[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name == name]


def only(checks: Sequence[Check], name: str, status: str) -> Check:
    """Return the only check of this name, which must have this status."""
    (check,) = named(checks, name)
    assert check.status == status, check
    return check


def troubles(checks: Sequence[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.status) for check in checks if check.status in ("warn", "stop")]


@contextmanager
def altered(bench: Bench, statement: str, back: str) -> Iterator[None]:
    """Change a setting of the server, and reset it afterwards, as all tests share the server."""
    bench.execute(statement)
    try:
        yield
    finally:
        bench.execute(back)
