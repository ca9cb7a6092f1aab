"""TODO-DOC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ... import journal
from ...dialect import (
    Change,
    Key,
    KeyColumn,
    RowBatch,
    TableFacts,
)

SPAN_AT_MOST: Final = 2
"""How many keys a range may have for each that is meant. Beyond, a list of keys reads less."""


JOINED_ROWS: Final = 500
"""Rows of one derived table: each SELECT of a UNION takes stack space of the server's parser."""


NULL, FIELD_END, ROW_END = "\x1d", "\x1f", "\x1e"
"""What stands in a packed page for NULL, between key and value, and behind a row (ASCII's separators)."""


def quoted(name: str) -> str:
    """A SQL identifier, in a statement that the driver formats: `%` is doubled for it."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _journal(schema: str) -> str:
    return f"{quoted(schema)}.{quoted(journal.TABLE)}"


def _text(value: str | bytes | None) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value


def key_list(facts: TableFacts) -> str:
    """The key columns of `t` as they travel."""
    return ", ".join(travelling(part, f"t.{quoted(part.name)}") for part in facts.key)


def travelling(part: KeyColumn, term: str) -> str:
    return {"integer": "{}", "text": "CAST({} AS CHAR)", "binary": "HEX({})"}[part.family].format(term)


def unpacked(part: KeyColumn, count: int, filled: int, last: int | str | None, packed: str | None) -> RowBatch | None:
    """The page that a packed one says, or None where it cannot be told.

    count, filled: how many rows there are, and how many of them are not NULL
    """
    if last is None:
        return RowBatch((), (), None) if count == 0 else None
    fields = (packed or "").replace(ROW_END, FIELD_END).split(FIELD_END)
    # cut texts lack their last separator, and values with separators have too many
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
    """The operator's condition behind the word `before`, in a statement that the driver formats."""
    return f" {before} ({facts.where.replace('%', '%%')})" if facts.where else ""


def _rows(facts: TableFacts, after: Key | None) -> tuple[str, list[int | str]]:
    """The rows of `t` behind a key, in their order, from FROM on, with its parameters."""
    behind, values = ("true", []) if after is None else _behind(facts.key, after)
    order = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
    table = f"{quoted(facts.table)} t"
    return f"FROM {table} WHERE {behind}{condition(facts, 'AND')} ORDER BY {order}", values


def _behind(key: Sequence[KeyColumn], after: Key) -> tuple[str, list[int | str]]:
    """The rows behind a key. Spelt out, as MariaDB scans the whole index for `(a, b) > (x, y)`."""
    terms: list[str] = []
    values: list[int | str] = []
    for depth, part in enumerate(key):
        equal = [f"t.{quoted(before.name)} = {_placeholder(before)}" for before in key[:depth]]
        terms.append("(" + " AND ".join([*equal, f"t.{quoted(part.name)} > {_placeholder(part)}"]) + ")")
        values += after[: depth + 1]
    return f"({' OR '.join(terms)})", values


def _placeholder(part: KeyColumn) -> str:
    if part.family == "binary":
        return "UNHEX(%s)"
    # MySQL compares a text with a decimal as floating-point numbers ("Type Conversion in Expression Evaluation")
    return f"CAST(%s AS {part.sql_type})" if part.sql_type.startswith("DECIMAL") else "%s"


def keeps(facts: TableFacts) -> str:
    return "".join(f", t.{quoted(name)} = t.{quoted(name)}" for name in facts.keep_columns)


def slices(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    return (changes[start : start + JOINED_ROWS] for start in range(0, len(changes), JOINED_ROWS))


def _parts(facts: TableFacts, changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    """What one statement takes: a list of keys may be long, a join with a derived table not."""
    return [changes] if len(facts.key) == 1 else slices(changes)


def rows_of(facts: TableFacts, changes: Sequence[Change]) -> tuple[str, str, list[int | str]]:
    """Those rows of `changes` that are meant: what stands behind FROM, the condition, and the parameters."""
    table = f"{quoted(facts.table)} t"
    if len(facts.key) > 1:
        # STRAIGHT_JOIN: the rows are found from the list by their key; a scan would lock the whole table
        joined = f"{as_table(facts, changes)} STRAIGHT_JOIN {table} ON {_on(facts)}"
        return joined, condition(facts, "WHERE"), [value for change in changes for value in change.key]
    part = facts.key[0]
    name = f"t.{quoted(part.name)}"
    if part.family == "integer":
        numbers = _numbers(name, [int(change.key[0]) for change in changes])
        return table, f"WHERE {numbers}{condition(facts, 'AND')}", []
    marks = ", ".join([_placeholder(part)] * len(changes))
    return table, f"WHERE {name} IN ({marks}){condition(facts, 'AND')}", [change.key[0] for change in changes]


def _numbers(name: str, keys: list[int]) -> str:
    """The condition that is true for these keys. Where they lie close together it is a range, read three times as fast
    as a list is, without those between them that are not meant."""
    first, last = min(keys), max(keys)
    if last - first >= SPAN_AT_MOST * len(keys):
        return f"{name} IN ({', '.join(map(str, keys))})"
    span = f"{name} BETWEEN {first} AND {last}"
    gaps = set(range(first, last + 1)).difference(keys)
    # `+ 0` hides the list from the range optimizer, which would cut the range into pieces at great cost
    return f"{span} AND {name} + 0 NOT IN ({', '.join(map(str, gaps))})" if gaps else span


def as_table(facts: TableFacts, changes: Sequence[Change], values: bool = False) -> str:
    """A table `j` of the keys of `changes`, with old_value and new_value where the `values` are wanted too.

    No JSON_TABLE: MariaDB has it from 10.6 on. No VALUES: MariaDB and MySQL spell it differently.
    """
    terms = [_typed(part) for part in facts.key] + ["%s", "%s"] * values
    names = [f"k{i}" for i in range(len(facts.key))] + ["old_value", "new_value"] * values
    first = ", ".join(f"{term} AS {name}" for term, name in zip(terms, names, strict=True))
    more = f" UNION ALL SELECT {', '.join(terms)}" * (len(changes) - 1)
    return f"(SELECT {first}{more}) j"


def _typed(part: KeyColumn) -> str:
    """A parameter as a value of the key column's own type, so that its index is used."""
    if part.family == "binary":
        return f"CAST(UNHEX(%s) AS {part.sql_type})"
    charset, _, collation = part.sql_type.partition(" ")
    return f"CONVERT(%s USING {charset}) COLLATE {collation}" if collation else f"CAST(%s AS {part.sql_type})"


def _on(facts: TableFacts) -> str:
    return " AND ".join(f"t.{quoted(part.name)} = j.k{i}" for i, part in enumerate(facts.key))
