"""The SQL that computes what PostgreSQL's check constraints say to new values. Text only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ....mapping.value_map import ValueMap
from ...dialect import TableFacts
from ...inspector import SAMPLE_ROWS
from .statements import condition, quoted, quoted_table

CHECKS: Final = """
WITH RECURSIVE reference AS (
    SELECT attrelid, attnum, attname, atttypid FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s
), typed(oid) AS (
    SELECT atttypid FROM reference
    UNION ALL SELECT t.typbasetype FROM typed d JOIN pg_type t ON t.oid = d.oid AND t.typtype = 'd'
)
SELECT k.conname, pg_get_expr(k.conbin, k.conrelid, true), ARRAY(
    SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
    AND a.attnum <> r.attnum)
FROM reference r JOIN pg_constraint k ON k.conrelid = r.attrelid AND r.attnum = ANY(k.conkey) WHERE k.contype = 'c'
UNION ALL SELECT k.conname, substring(pg_get_constraintdef(k.oid, true), '^CHECK (\\(.*\\))'), ARRAY[]::text[]
FROM typed JOIN pg_constraint k ON k.contypid = typed.oid AND k.contype = 'c'
"""
"""Name, expression and other columns of the check constraints on a column, and on its domains at any depth."""


def refusals_of(
    facts: TableFacts, values: ValueMap, expression: str, others: Sequence[str], sql_type: str
) -> tuple[str, list[object]]:
    """Return the statement that evaluates a constraint for new values, and its parameters.

    Its row: the number of values, of those refused, and one of the old values of these. Names in the expression are not
    qualified; a domain's constraint calls the value `VALUE`, which is a name like any other in a SELECT.

    sql_type: the type of the column below its domains, without its length: to citext, values compare in their own way
    """
    column, table = f"t.{quoted(facts.column)}", quoted_table(facts.table)
    new = f"(%s || substr({column}::text, {len(values.source_head) + 1}))"
    kept = "".join(f", t.{quoted(name)}" for name in others)
    refused = f"NOT ({expression.replace('%', '%%')})"
    return (
        f"SELECT count(*), count(*) FILTER (WHERE {refused}), min(was) FILTER (WHERE {refused}) FROM ("
        f"SELECT {column}::text AS was, {new}::{sql_type} AS {quoted(facts.column)}, {new}::{sql_type} AS value{kept}"
        f" FROM {table} t"
        f' WHERE starts_with({column}::text COLLATE "C", %s){condition(facts, "AND")} LIMIT {SAMPLE_ROWS}) AS x',
        [values.target_head, values.target_head, values.source_head],
    )
