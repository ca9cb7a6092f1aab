"""SQLite of this Python, as the others."""

from __future__ import annotations

import sqlite3

from sandbox.sqlite import SQLite


class BuiltInSQLite(SQLite):
    """The sandbox's SQLite with a version."""

    @classmethod
    def full_version(cls) -> str:
        """Return the version of the library."""
        return sqlite3.sqlite_version
