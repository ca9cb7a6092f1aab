"""The SQL of MariaDB and MySQL for reading, locking and rewriting rows. Text only: nothing here has a connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ... import control, journal
from ...dialect import Change, Key, KeyColumn, RowBatch, TableFacts

MAX_SPAN_RATIO: Final = 2
"""How many keys a range may span per wanted key. Beyond it, a list of keys reads less."""

JOINED_ROWS: Final = 500
"""Rows per derived table: each SELECT of a UNION takes stack space of the server's parser."""

NULL, FIELD_END, ROW_END = "\x1d", "\x1f", "\x1e"
"""In a packed batch: what represents NULL, what separates key and value, and what ends a row (ASCII's separators)."""


def identifier(name: str) -> str:
    """Return `name` as a SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def quoted(name: str) -> str:
    """Return `name` as a SQL identifier for a statement that the driver formats: `%` is doubled."""
    return identifier(name).replace("%", "%%")


def journal_table(schema: str) -> str:
    """Return the quoted name of the journal's table."""
    return f"{quoted(schema)}.{quoted(journal.TABLE)}"


def control_table(schema: str) -> str:
    """Return the quoted name of the control row's table."""
    return f"{quoted(schema)}.{quoted(control.TABLE)}"


def as_text(value: str | bytes | None) -> str | None:
    """Return a column's value as text; None for NULL and for bytes that are not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value


def key_list(facts: TableFacts) -> str:
    """Return the select list of the key columns of `t`."""
    return ", ".join(transferable(part, f"t.{quoted(part.name)}") for part in facts.key)


def transferable(part: KeyColumn, term: str) -> str:
    """Return the SQL that converts `term`, a value of the key column, to the type in which it is transferred."""
    return {"integer": "{}", "text": "CAST({} AS CHAR)", "binary": "HEX({})"}[part.family].format(term)


def sums(facts: TableFacts) -> str:
    """Return the select list of number and checksum of the rows of `t`."""
    terms = ", ".join(
        f"HEX({name})" for name in (*(f"t.{quoted(part.name)}" for part in facts.key), f"t.{quoted(facts.column)}")
    )
    # CONCAT_WS leaves NULLs out, so that they are told from empty texts
    return f"SELECT COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS(',', {terms}))), 0)"


def unpack_batch(
    part: KeyColumn, count: int, filled: int, last: int | str | None, packed: str | None
) -> RowBatch | None:
    """Return the rows of a packed batch; None if its text is ambiguous or was cut.

    count, filled: the number of rows, and of those whose value is not NULL
    last: the key of the last row; None if there is no row
    packed: key, FIELD_END, value, ROW_END of each row
    """
    if last is None:
        return RowBatch((), (), None) if count == 0 else None
    fields = (packed or "").replace(ROW_END, FIELD_END).split(FIELD_END)
    # a text that was cut lacks its last separator, and values that contain separators add to them
    if len(fields) != 2 * count + 1 or fields.pop() != "":
        return None
    keys, values = fields[::2], fields[1::2]
    if values.count(NULL) != count - filled:
        return None
    return RowBatch(
        [(int(key),) for key in keys] if part.family == "integer" else [(key,) for key in keys],
        [None if value == NULL else value for value in values] if filled < count else values,
        (last,),
    )


def condition(facts: TableFacts, before: str) -> str:
    """Return the operator's condition after the keyword `before`, for a statement that the driver formats."""
    return f" {before} ({facts.where.replace('%', '%%')})" if facts.where else ""


def rows_after(facts: TableFacts, after: Key | None) -> tuple[str, list[int | str]]:
    """Return the FROM, WHERE and ORDER BY clauses of the rows of `t` after a key, and their parameters."""
    behind, values = ("true", []) if after is None else after_key(facts.key, after)
    order = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
    table = f"{quoted(facts.table)} t"
    return f"FROM {table} WHERE {behind}{condition(facts, 'AND')} ORDER BY {order}", values


def after_key(key: Sequence[KeyColumn], after: Key) -> tuple[str, list[int | str]]:
    """Return the condition of the rows after a key. MariaDB would scan the whole index for `(a, b) > (x, y)`."""
    terms: list[str] = []
    values: list[int | str] = []
    for depth, part in enumerate(key):
        equal = [f"t.{quoted(before.name)} = {placeholder(before)}" for before in key[:depth]]
        terms.append("(" + " AND ".join([*equal, f"t.{quoted(part.name)} > {placeholder(part)}"]) + ")")
        values += after[: depth + 1]
    return f"({' OR '.join(terms)})", values


def placeholder(part: KeyColumn) -> str:
    """Return the mark for a parameter that is a value of the key column."""
    if part.family == "binary":
        return "UNHEX(%s)"
    # MySQL compares a text with a decimal as floating-point numbers ("Type Conversion in Expression Evaluation")
    return f"CAST(%s AS {part.sql_type})" if part.sql_type.startswith("DECIMAL") else "%s"


def kept_columns(facts: TableFacts) -> str:
    """Return the assignments that keep the server from updating `keep_columns`."""
    return "".join(f", t.{quoted(name)} = t.{quoted(name)}" for name in facts.keep_columns)


def slices(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Yield `changes` in pieces that fit into one derived table."""
    return (changes[start : start + JOINED_ROWS] for start in range(0, len(changes), JOINED_ROWS))


def statement_parts(facts: TableFacts, changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    """Split `changes` by statement: a list of keys may be long, a join with a derived table may not."""
    return [changes] if len(facts.key) == 1 else slices(changes)


def rows_of(facts: TableFacts, changes: Sequence[Change]) -> tuple[str, str, list[int | str]]:
    """Return the rows of `changes` that meet the operator's condition: table expression, WHERE clause, parameters."""
    table = f"{quoted(facts.table)} t"
    if len(facts.key) > 1:
        # STRAIGHT_JOIN looks each row of the list up by its key; a scan would lock the whole table
        joined = f"{as_table(facts, changes)} STRAIGHT_JOIN {table} ON {same_key(facts)}"
        return joined, condition(facts, "WHERE"), [value for change in changes for value in change.key]
    part = facts.key[0]
    name = f"t.{quoted(part.name)}"
    if part.family == "integer":
        numbers = _numbers(name, [int(change.key[0]) for change in changes])
        return table, f"WHERE {numbers}{condition(facts, 'AND')}", []
    marks = ", ".join([placeholder(part)] * len(changes))
    return table, f"WHERE {name} IN ({marks}){condition(facts, 'AND')}", [change.key[0] for change in changes]


def _numbers(name: str, keys: list[int]) -> str:
    """Return the condition that is true for `keys`.

    If they are close together it is a range without the gaps, which is read three times as fast as a list.
    """
    first, last = min(keys), max(keys)
    if last - first >= MAX_SPAN_RATIO * len(keys):
        return f"{name} IN ({', '.join(map(str, keys))})"
    span = f"{name} BETWEEN {first} AND {last}"
    gaps = set(range(first, last + 1)).difference(keys)
    # `+ 0` hides the list from the range optimizer, which would split the range at great cost
    return f"{span} AND {name} + 0 NOT IN ({', '.join(map(str, gaps))})" if gaps else span


def as_table(facts: TableFacts, changes: Sequence[Change], values: bool = False) -> str:
    """Return a derived table `j` of the keys of `changes`, with the columns old_value and new_value if `values`.

    No JSON_TABLE: MariaDB has it from 10.6 on. No VALUES: its syntax differs between MariaDB and MySQL.
    """
    terms = [_typed(part) for part in facts.key] + ["%s", "%s"] * values
    names = [f"k{i}" for i in range(len(facts.key))] + ["old_value", "new_value"] * values
    first = ", ".join(f"{term} AS {name}" for term, name in zip(terms, names, strict=True))
    more = f" UNION ALL SELECT {', '.join(terms)}" * (len(changes) - 1)
    return f"(SELECT {first}{more}) j"


def _typed(part: KeyColumn) -> str:
    """Return a parameter converted to the key column's own type, so that its index is used."""
    if part.family == "binary":
        return f"CAST(UNHEX(%s) AS {part.sql_type})"
    charset, _, collation = part.sql_type.partition(" ")
    return f"CONVERT(%s USING {charset}) COLLATE {collation}" if collation else f"CAST(%s AS {part.sql_type})"


def same_key(facts: TableFacts) -> str:
    """Return the join condition of `t` with the derived table `j`."""
    return " AND ".join(f"t.{quoted(part.name)} = j.k{i}" for i, part in enumerate(facts.key))
