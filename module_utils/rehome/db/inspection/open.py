"""The inspector of an open database."""

from __future__ import annotations

from typing import cast

from ...settings import Database
from ..dialect import Dialect
from .facts import Inspector


def inspector(database: Dialect, settings: Database) -> Inspector:
    """What asks `database`, which was opened with these settings."""
    match settings.engine:
        case "mariadb" | "mysql":
            from ..mysql import MySQL  # noqa: PLC0415 - only the one that is needed
            from .mysql import MySQLInspector  # noqa: PLC0415

            return MySQLInspector(cast(MySQL, database), settings)
        case "postgresql":
            from .postgresql import PostgreSQLInspector  # noqa: PLC0415

            return PostgreSQLInspector(database, settings)
        case "sqlite":
            from .sqlite import SQLiteInspector  # noqa: PLC0415

            return SQLiteInspector(database, settings)
