"""Open the database that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..settings import Database
from .dialect import Dialect
from .mysql import MySQL
from .postgresql import PostgreSQL
from .sqlite import SQLite


@contextmanager
def connect(settings: Database) -> Iterator[Dialect]:
    """A connection for the length of the block.

    Raises RefusedError where host, port, database, user, password or TLS are wrong, naming the setting.
    """
    dialects: dict[str, Callable[[Database], Dialect]] = {
        "mariadb": MySQL,
        "mysql": MySQL,
        "postgresql": PostgreSQL,
        "sqlite": SQLite,
    }
    database = dialects[settings.engine](settings)
    try:
        yield database
    finally:
        database.close()
