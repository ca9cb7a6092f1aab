"""The SQL that computes what the check constraints of MariaDB and MySQL say to new values. Text only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ....mapping.value_map import ValueMap
from ...dialect import TableFacts
from ...inspector import SAMPLE_ROWS
from .statements import condition, quoted

CHECKS: Final[Mapping[str, str]] = {
    "MariaDB": "SELECT constraint_name, check_clause FROM information_schema.check_constraints"
    " WHERE constraint_schema = %s AND table_name = %s",
    "MySQL": "SELECT c.constraint_name, c.check_clause FROM information_schema.check_constraints c"
    " JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema"
    " AND t.constraint_name = c.constraint_name WHERE t.enforced = 'YES' AND t.table_schema = %s AND t.table_name = %s",
}
"""Name and clause of the check constraints of a table. In MariaDB, the names are unique within a table only."""

WITHOUT_TRANSACTIONS: Final = (
    "table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    " AND table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')"
    " AND engine NOT IN (SELECT engine FROM information_schema.engines WHERE transactions = 'YES')"
)
"""The tables that this user sees and whose rows a ROLLBACK leaves as they are. Given without the word SELECT."""


def refusals_of(
    facts: TableFacts, values: ValueMap, expression: str, columns: Sequence[str], old: str
) -> tuple[str, list[object]]:
    """Return the statement that evaluates a constraint for new values, without SELECT, and its first parameters.

    Its row: the number of values, of those refused, and one of the old values of these.

    columns: those that the constraint names
    old: SQL of the test for an old value, whose parameter comes last
    """
    column = f"t.{quoted(facts.column)}"
    kept = "".join(f", t.{quoted(name)}" for name in columns if name != facts.column)
    refused = f"NOT ({expression.replace('%', '%%')})"
    return (
        f"COUNT(*), SUM({refused}), MIN(IF({refused}, x.was, NULL)) FROM (SELECT {column} AS was,"
        f" CONCAT(%s, SUBSTRING({column}, {len(values.source_head) + 1})) AS {quoted(facts.column)}{kept}"
        f" FROM {quoted(facts.table)} t WHERE {old}{condition(facts, 'AND')} LIMIT {SAMPLE_ROWS}) AS x",
        [values.target_head],
    )
