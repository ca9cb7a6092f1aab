"""What the inspectors of all engines share: explaining the statements of a run, and SQL that is the same for all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from ..dialect import (
    Change,
    ConnectionLostError,
    DatabaseError,
    Dialect,
    Key,
    MissingRightError,
    RetryableError,
    TableFacts,
)
from ..inspector import Hidden, Inspector, RefusedStatement, StatementPlan

Senders = Mapping[str, Callable[[], object]]
"""By name, the functions that send the statements of a run."""

BATCH_ROWS = 1_000
"""Rows of the batch whose statement is explained."""


READ_ONLY: Final = "Connect to the primary, or wait until the server takes writes again"
TRY_AGAIN: Final = "Run it again; the rows or the table may be locked, or the server may be starting"
DENIED: Final = "Grant what the message names, or remove what asks for it: a policy, a view, a function"
ANY_WAY_OUT: Final = "Remove the reason that the server gives. It names no missing right, so a GRANT would not help"


class BaseInspector(Inspector):
    """Base class of the engines' inspectors; `inspector.Inspector` documents the methods.

    ways_out: error code → what to do about it. `{table}` stands for the table
    judges: error code → the name of the check that finds the same reason by itself
    """

    ways_out: ClassVar[Mapping[str, str]] = {}
    judges: ClassVar[Mapping[str, str]] = {}

    def __init__(self, database: Dialect) -> None:
        self._database = database

    def _run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._database.run(statement, values)

    def way_out(self, error: DatabaseError, place: str) -> str:
        """Look the error's code up in `ways_out`."""
        if isinstance(error, (RetryableError, ConnectionLostError)):
            return TRY_AGAIN
        denied = isinstance(error, MissingRightError)
        return self.ways_out.get(error.code, DENIED if denied else ANY_WAY_OUT).replace("{table}", place)

    def judged_by(self, error: DatabaseError) -> str | None:
        """Look the error's code up in `judges`."""
        return self.judges.get(error.code)

    def plans(self, facts: TableFacts) -> list[StatementPlan | RefusedStatement]:
        """Explain the statements with changes of the first three rows that keep the values as they are."""
        rows = list(self._database.read_batch(facts, None, 3))
        if not rows:
            return []
        changes = [Change(row.key, row.value or "", row.value or "") for row in rows]
        plans: list[StatementPlan | RefusedStatement] = []
        for name, send in self._statements(facts, rows[0].key, changes).items():
            try:
                with self._database.explaining() as steps:
                    send()
            except DatabaseError as error:
                plans.append(RefusedStatement(name, error))
            else:
                plans.append(self._plan(name, facts, steps))
        return plans

    def hidden(self, facts: TableFacts) -> Mapping[str, Hidden]:
        """Return nothing: everyone may read the engine's catalog."""
        return {}

    def irreversible(self, facts: TableFacts) -> str | None:
        """Return None: all tables of the engine have transactions."""
        return None

    @abstractmethod
    def _statements(self, facts: TableFacts, after: Key, changes: Sequence[Change]) -> Senders:
        """Return what sends the statements of a run to `facts`, the first of which is `_read`."""

    @abstractmethod
    def _plan(self, name: str, facts: TableFacts, steps: Sequence[Mapping[str, Any]]) -> StatementPlan:
        """Interpret the rows of an explained statement's plan."""

    def _read(self, facts: TableFacts, after: Key) -> Callable[[], object]:
        return lambda: self._database.read_batch(facts, after, BATCH_ROWS)


def self_join(
    facts: TableFacts, others: Sequence[str], quoted: Callable[[str], str], table: str, where: str
) -> tuple[str, str, str]:
    """Return SQL for a join of the rows `t` that meet the operator's condition with all rows `s` of the table.

    It consists of the table expression `t` with key, column and `others`, the conditions that `others` are the same,
    each after AND, and the condition that `s` and `t` are the same row. In a join, the unqualified names in the
    operator's condition would be ambiguous.

    table, where: the quoted table, and the WHERE clause of the condition
    """
    key = [part.name for part in facts.key]
    columns = ", ".join(f"t.{quoted(name)}" for name in dict.fromkeys([*key, facts.column, *others]))
    same = {name: f"s.{quoted(name)} = t.{quoted(name)}" for name in (*key, *others)}
    return (
        f"(SELECT {columns} FROM {table} t{where}) t" if facts.where else f"{table} t",
        "".join(f" AND {same[name]}" for name in others),
        " AND ".join(same[name] for name in key),
    )


def megabytes(count: float) -> str:
    """Return a number of bytes in words."""
    return f"{count / 1024**2:,.0f} MiB" if count < 1024**3 else f"{count / 1024**3:,.1f} GiB"
