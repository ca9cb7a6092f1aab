"""Select the search of an open database."""

from __future__ import annotations

from typing import cast

from ...config.settings import Database
from ..dialect import Dialect
from ..search import ColumnSearch


def column_search(database: Dialect, settings: Database) -> ColumnSearch:
    """Return the search of `database`, which was opened with these settings."""
    match settings.engine:
        case "mariadb" | "mysql":
            from .mysql.dialect import MySQL  # noqa: PLC0415 - import only the needed driver
            from .mysql.search import MySQLSearch  # noqa: PLC0415

            return MySQLSearch(cast(MySQL, database), settings)
        case "postgresql":
            from .postgresql.search import PostgreSQLSearch  # noqa: PLC0415

            return PostgreSQLSearch(database)
        case "sqlite":
            from .sqlite.search import SQLiteSearch  # noqa: PLC0415

            return SQLiteSearch(database)
