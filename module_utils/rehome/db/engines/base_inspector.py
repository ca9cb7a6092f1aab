"""What the inspectors of all engines share: explaining the statements of a run, and SQL that is the same for all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..dialect import Change, DatabaseError, Dialect, Key, TableFacts
from ..inspector import Inspector, StatementPlan

BATCH_ROWS = 1_000
"""Rows of the batch whose statement is explained."""


class BaseInspector(Inspector):
    """Base class of the engines' inspectors; `inspector.Inspector` documents the methods."""

    def __init__(self, database: Dialect) -> None:
        self._database = database

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._database.run(statement, values)

    def plans(self, facts: TableFacts) -> list[StatementPlan]:
        rows = list(self._database.read_batch(facts, None, 3))
        if not rows:
            return []
        changes = [Change(row.key, row.value or "", row.value or "") for row in rows]
        plans = []
        for name, send in self._statements(facts, rows[0].key, changes).items():
            try:
                with self._database.explaining() as steps:
                    send()
            except DatabaseError as error:
                plans.append(StatementPlan(name, f"unknown: {error}", by_key=True))
            else:
                plans.append(self._plan(name, facts, steps))
        return plans

    @abstractmethod
    def _statements(
        self, facts: TableFacts, after: Key, changes: Sequence[Change]
    ) -> Mapping[str, Callable[[], object]]:
        """Return by name what sends the statements of a run, the first of which is `_read`."""

    @abstractmethod
    def _plan(self, name: str, facts: TableFacts, steps: Sequence[Mapping[str, Any]]) -> StatementPlan:
        """Interpret the rows of an explained statement's plan."""

    def _read(self, facts: TableFacts, after: Key) -> Callable[[], object]:
        return lambda: self._database.read_batch(facts, after, BATCH_ROWS)


def same_columns(names: Iterable[str], quoted: Callable[[str], str]) -> str:
    """Return the condition that the tables `s` and `t` have the same values in these columns."""
    return " AND ".join(f"s.{quoted(name)} = t.{quoted(name)}" for name in names)


def narrowed(facts: TableFacts, others: Sequence[str], quoted: Callable[[str], str], table: str, where: str) -> str:
    """Return a table expression `t` of the rows that meet the operator's condition, with key, column and `others`.

    In a join, the unqualified names in the operator's condition would be ambiguous.

    table, where: the quoted table, and the WHERE clause of the condition
    """
    names = dict.fromkeys([*(part.name for part in facts.key), facts.column, *others])
    columns = ", ".join(f"t.{quoted(name)}" for name in names)
    return f"(SELECT {columns} FROM {table} t{where}) t" if facts.where else f"{table} t"


def megabytes(count: float) -> str:
    """Return a number of bytes in words."""
    return f"{count / 1024**2:,.0f} MiB" if count < 1024**3 else f"{count / 1024**3:,.1f} GiB"
