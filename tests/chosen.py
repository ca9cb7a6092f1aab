"""Which servers a session of pytest runs on: the machine's own, or those that `--database` and `--store` name."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from matrix.servers import DATABASES
from sandbox.lifecycle import Servers
from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL

ENGINES = ("mariadb", "postgresql", "sqlite")
"""The names of the database fixtures. `mariadb` stands for MySQL, too: both speak one protocol."""


def add_options(parser: pytest.Parser) -> None:
    """Add the options to pytest."""
    group = parser.getgroup("servers")
    group.addoption("--database", choices=sorted(DATABASES), help="run the tests of a database on this one alone")


def engine(config: pytest.Config) -> str | None:
    """Return which of ENGINES `--database` stands for, or None without the option."""
    name = config.getoption("--database")
    if name is None:
        return None
    kind = DATABASES[name]
    return "mariadb" if issubclass(kind, MariaDB) else str(kind.engine)


def servers(config: pytest.Config) -> Servers:
    """Return the servers of the session."""
    name = config.getoption("--database")
    kind = DATABASES[name] if name else None
    if kind is not None and issubclass(kind, MariaDB):
        return Servers(mariadb=kind)
    if kind is not None and issubclass(kind, PostgreSQL):
        return Servers(postgresql=kind)
    return Servers()


def product(config: pytest.Config, engine: str) -> str:
    """Return the product behind one of ENGINES: `mysql` where `--database` names MySQL."""
    return str(servers(config).mariadb.engine) if engine == "mariadb" else engine


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the tests of the chosen database, and none of another product."""
    chosen = engine(config)
    kept = [item for item in items if (chosen is None or chosen in _engines(item)) and _is_of_product(config, item)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def _engines(item: pytest.Item) -> Iterable[str]:
    """Return the databases that a test uses."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    named = {value for value in parameters if isinstance(value, str) and value in ENGINES}
    used = getattr(item, "fixturenames", ())
    if "world" in used and not named:
        return ENGINES
    return named or {name for name in ENGINES if name in used}


def _is_of_product(config: pytest.Config, item: pytest.Item) -> bool:
    """Return whether the server is of the product that the mark `product` names, if the test has the mark."""
    mark = item.get_closest_marker("product")
    return mark is None or product(config, "mariadb") in mark.args
