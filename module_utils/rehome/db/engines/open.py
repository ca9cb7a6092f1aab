"""Open the database that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...config.settings import Database
from ..dialect import Dialect


@contextmanager
def connect(settings: Database) -> Iterator[Dialect]:
    """Open a connection for the duration of the block.

    Raises RefusedError if host, port, database, user, password or TLS are wrong, naming the setting.
    """
    database = _open(settings)
    try:
        yield database
    finally:
        database.close()


def _open(settings: Database) -> Dialect:
    # Each stage is a process of its own, and imports only the driver that it needs.
    match settings.engine:
        case "mariadb" | "mysql":
            from .mysql.dialect import MySQL  # noqa: PLC0415

            return MySQL(settings)
        case "postgresql":
            from .postgresql.dialect import PostgreSQL  # noqa: PLC0415

            return PostgreSQL(settings)
        case "sqlite":
            from .sqlite.dialect import SQLite  # noqa: PLC0415

            return SQLite(settings)
