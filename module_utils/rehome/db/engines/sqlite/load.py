"""SQLite's load: a file has no replicas, and its writers wait for each other by themselves."""

from __future__ import annotations

from collections.abc import Mapping

from ...dialect import Dialect
from ...server_load import Heap, single_number


class SQLiteLoad:
    """See `server.Load`."""

    def __init__(self, database: Dialect) -> None:
        self._database = database
        database.run("PRAGMA query_only = ON")

    def running(self) -> int:
        return 0

    def replicas(self) -> Mapping[str, float]:
        return {}

    def seconds_behind(self) -> float:
        return 0.0

    def newest_entry(self, schema: str) -> int:
        return 0

    def number(self, query: str) -> float:
        return single_number(self._database.run(query))

    def redo_filled(self) -> float | None:
        return None

    def heap(self, table: str) -> Heap | None:
        return None

    def may_vacuum(self, table: str) -> bool:
        return False
