"""Which servers a session of pytest runs on: the machine's own, or those that `--database` and `--store` name."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from matrix.servers import DATABASES, STORES
from matrix.servers.pooled import PooledPostgreSQL
from sandbox.lifecycle import Servers
from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL
from sandbox.s3_server import S3Server
from sandbox.seaweedfs import SeaweedFS

ENGINES = ("mariadb", "postgresql", "sqlite")
"""The names of the database fixtures. `mariadb` stands for MySQL, too: both speak one protocol."""


def add_options(parser: pytest.Parser) -> None:
    """Add the options to pytest."""
    group = parser.getgroup("servers")
    group.addoption("--database", choices=sorted(DATABASES), help="run the tests of a database on this one alone")
    group.addoption("--store", choices=sorted(STORES), help="run the tests of an object store on this one alone")


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
    store = STORES[config.getoption("--store") or SeaweedFS.name]
    if kind is not None and issubclass(kind, MariaDB):
        return Servers(mariadb=kind, store=store)
    if kind is not None and issubclass(kind, PostgreSQL):
        return Servers(postgresql=kind, store=store)
    return Servers(store=store)


def product(config: pytest.Config, engine: str) -> str:
    """Return the product behind one of ENGINES: `mysql` where `--database` names MySQL."""
    return str(servers(config).mariadb.engine) if engine == "mariadb" else engine


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the tests of the chosen database and store, and none of another product.

    Tests of what the store lacks are skipped, with the reason.
    """
    chosen = engine(config)
    kept = [
        item
        for item in items
        if (chosen is None or chosen in _engines(item))
        and _is_of_product(config, item)
        and not (_is_pooled(config) and item.get_closest_marker("direct"))
        and (config.getoption("--store") is None or _uses_store(item))
    ]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    store = servers(config).store
    for item in kept:
        for reason in _lacking(item, store):
            item.add_marker(pytest.mark.skip(reason=f"{store.name}: {reason}"))


def _is_pooled(config: pytest.Config) -> bool:
    """Return whether the chosen database is behind a pooler."""
    return issubclass(servers(config).postgresql, PooledPostgreSQL)


def _uses_store(item: pytest.Item) -> bool:
    """Return whether a test runs on the chosen store, and not only on servers of its own."""
    return bool({"object_store", "worlds"} & set(getattr(item, "fixturenames", ())))


def _lacking(item: pytest.Item, store: type[S3Server]) -> list[str]:
    """Return why the store cannot do what a test needs by its marks; empty if it can."""
    needed = [feature for mark in item.iter_markers("needs") for feature in mark.args] if _uses_store(item) else []
    return [store.lacks[feature] for feature in needed if feature in store.lacks]


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
