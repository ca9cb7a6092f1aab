"""SQLite's load: a file has no replicas, and its writers wait for each other by themselves."""

from __future__ import annotations

from collections.abc import Mapping

from ...dialect import Dialect
from ...server_load import single_number
from ..base_load import BaseLoad


class SQLiteLoad(BaseLoad):
    """Reads the load; `server_load.Load` documents the methods."""

    def __init__(self, database: Dialect) -> None:
        super().__init__(database)
        database.run("PRAGMA query_only = ON")

    def running(self) -> int:
        """Always 0: a file does not know who uses it."""
        return 0

    def replicas(self) -> Mapping[str, float]:
        """Always empty: a file has no replicas."""
        return {}

    def seconds_behind(self) -> float:
        """Always 0: a file is no replica."""
        return 0.0

    def newest_entry(self, schema: str) -> int:
        """Always 0: without replicas, nothing is compared with it."""
        return 0

    def number(self, query: str) -> float:
        """Run the query as it is: `%` needs no escape for sqlite3."""
        return single_number(self._database.run(query))
