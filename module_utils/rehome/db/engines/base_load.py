"""What the loads of all engines share."""

from __future__ import annotations

from ..dialect import Dialect
from ..server_load import Heap, Load, single_number


class BaseLoad(Load):
    """Base class of the engines' loads; `server_load.Load` documents the methods."""

    def __init__(self, database: Dialect) -> None:
        self._database = database

    def newest_entry(self, schema: str) -> int:
        newest = self._database.run(f"SELECT coalesce(max(id), 0) FROM {self._database.journal_table(schema)}")
        return int(single_number(newest))

    def number(self, query: str) -> float:
        # the driver formats the statement
        return single_number(self._database.run(query.replace("%", "%%")))

    def redo_filled(self) -> float | None:
        return None

    def heap(self, table: str) -> Heap | None:
        return None

    def may_vacuum(self, table: str) -> bool:
        return False
