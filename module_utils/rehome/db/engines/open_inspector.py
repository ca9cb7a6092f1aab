"""Select the inspector of an open database."""

from __future__ import annotations

from typing import cast

from ...config.settings import Database
from ..dialect import Dialect
from ..inspector import Inspector


def inspector(database: Dialect, settings: Database) -> Inspector:
    """Return the inspector of `database`, which was opened with these settings."""
    match settings.engine:
        case "mariadb" | "mysql":
            from .mysql.dialect import MySQL  # noqa: PLC0415 - import only the needed driver
            from .mysql.inspector import MySQLInspector  # noqa: PLC0415

            return MySQLInspector(cast(MySQL, database), settings)
        case "postgresql":
            from .postgresql.inspector import PostgreSQLInspector  # noqa: PLC0415

            return PostgreSQLInspector(database)
        case "sqlite":
            from .sqlite.inspector import SQLiteInspector  # noqa: PLC0415

            return SQLiteInspector(database, settings)
