"""What the loads of all engines share."""

from __future__ import annotations

from ..dialect import Dialect
from ..server_load import Heap, Load, single_number


class BaseLoad(Load):
    """Base class of the engines' loads; `server_load.Load` documents the methods."""

    def __init__(self, database: Dialect) -> None:
        self._database = database

    def newest_entry(self, schema: str) -> int:
        """Return max(id) of the journal's table."""
        newest = self._database.run(f"SELECT coalesce(max(id), 0) FROM {self._database.journal_table(schema)}")
        return int(single_number(newest))

    def number(self, query: str) -> float:
        """Run the query as it is: `%` is no placeholder in it."""
        # the driver formats the statement
        return single_number(self._database.run(query.replace("%", "%%")))

    def redo_filled(self) -> float | None:
        """Always None; an engine whose sessions wait for its redo log overrides it."""
        return None

    def heap(self, table: str) -> Heap | None:
        """Always None; an engine that leaves dead tuples overrides it."""
        return None

    def may_vacuum(self, table: str) -> bool:
        """Always False; an engine that leaves dead tuples overrides it."""
        return False
