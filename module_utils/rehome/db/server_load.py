"""What a server can be asked about its load. One file per dialect answers it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from .throttle.throttle import Heap, UnreadableError


class Load(Protocol):
    """A connection that asks one server. Raises UnreadableError, or DatabaseError where the server refuses."""

    def running(self) -> int:
        """The statements of others that are under way."""

    def replicas(self) -> Mapping[str, float]:
        """Each replica that this server feeds, and by how many seconds it is behind, as far as this server knows."""

    def seconds_behind(self) -> float:
        """How far this server is behind the one that it follows, by its own figure."""

    def newest_entry(self, schema: str) -> int:
        """The id of the journal's newest entry, 0 where there is none."""

    def number(self, query: str) -> float:
        """The one number that the operator's query answers with."""

    def redo_filled(self) -> float | None:
        """How full the redo log is, as a part of what makes every session wait; None where no log does."""

    def heap(self, table: str) -> Heap | None:
        """How many dead tuples a table has; None where the engine leaves none behind."""

    def may_vacuum(self, table: str) -> bool:
        """Whether this user may VACUUM the table."""


def the_number(rows: list[tuple[Any, ...]]) -> float:
    """The one number in `rows`. Raises UnreadableError where there is none."""
    if len(rows) != 1 or len(rows[0]) != 1:
        raise UnreadableError(f"it answers with {len(rows)} rows, and one row of one number is wanted")
    (value,) = rows[0]
    if isinstance(value, int | float | Decimal):
        return float(value)
    raise UnreadableError(f"it answers with {'NULL' if value is None else type(value).__name__}, which is no number")
