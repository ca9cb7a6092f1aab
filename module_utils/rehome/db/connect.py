"""Open the database that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from ..settings import Database, EngineName
from .dialect import Dialect

_DIALECTS: dict[EngineName, tuple[str, str]] = {
    "mariadb": (".mysql", "MySQL"),
    "mysql": (".mysql", "MySQL"),
    "postgresql": (".postgresql", "PostgreSQL"),
    "sqlite": (".sqlite", "SQLite"),
}
"""Module and class. Each stage is a process of its own, so that only the driver which is needed is loaded."""


@contextmanager
def connect(settings: Database) -> Iterator[Dialect]:
    """A connection for the length of the block.

    Raises RefusedError where host, port, database, user, password or TLS are wrong, naming the setting.
    """
    module, name = _DIALECTS[settings.engine]
    database: Dialect = getattr(import_module(module, __package__), name)(settings)
    try:
        yield database
    finally:
        database.close()
