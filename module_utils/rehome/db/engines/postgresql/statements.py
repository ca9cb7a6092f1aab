"""The SQL of PostgreSQL for reading, locking and rewriting rows. Text only: nothing here has a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ... import control, journal
from ...dialect import Change, Heads, Key, KeyColumn, RowBatch, TableFacts

MAX_GAPS: Final = 8
"""Keys within a range that are not wanted: each row of the range is compared with all of them."""

_FAMILY: Final = """
WITH RECURSIVE family(oid, kind) AS (
    SELECT oid, relkind FROM pg_class WHERE oid = to_regclass(%s)
    UNION SELECT c.oid, c.relkind FROM family f JOIN pg_inherits i ON i.inhparent = f.oid
        JOIN pg_class c ON c.oid = i.inhrelid
)
"""
"""The table with its partitions and those that inherit from it."""

MAY_ALTER: Final = f"""{_FAMILY}
SELECT NOT EXISTS (
    SELECT 1 FROM family f JOIN pg_attribute a ON a.attrelid = f.oid JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attname = %s AND coalesce(nullif(t.typbasetype, 0), t.oid) IN ('text'::regtype, 'varchar'::regtype)
) OR EXISTS (SELECT 1 FROM family WHERE kind NOT IN ('r', 'p'))
OR EXISTS (SELECT 1 FROM family f JOIN pg_rewrite r ON r.ev_class = f.oid)
OR EXISTS (
    SELECT 1 FROM family f JOIN pg_trigger t ON t.tgrelid = f.oid
    WHERE t.tgenabled <> 'D' AND t.tgtype & 2 = 0 AND (NOT t.tgisinternal OR t.tgparentid <> 0)
)
OR current_setting('server_encoding') <> 'UTF8' OR current_setting('transaction_isolation') <> 'read committed'
"""
"""Whether the value of a rewritten row may still differ from the one that its UPDATE returned. Everybody may read this.

Reasons: triggers that come after it (tgtype 2 is BEFORE, by pg_trigger.h), and of any kind, as a row that moves to
another partition is deleted and inserted; a partition's own are internal before PostgreSQL 15. Rules. Partitions on
other servers. Types that pad or fold. A conversion between character sets that is not reversible.
None of them can appear between the UPDATE and the COMMIT: CREATE TRIGGER waits for a lock that an UPDATE excludes
("Explicit Locking", section 13.3 of PostgreSQL's manual), and the snapshot of the UPDATE's own statement begins once it
has that lock, under READ COMMITTED only."""


ELSEWHERE: Final = """
SELECT format('there is one in the schema %%I', n.nspname)
    || CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN '' ELSE ', on which this user lacks USAGE' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s AND c.relkind IN ('r', 'p')
ORDER BY n.nspname
"""
"""Takes a table's name; returns, as clauses, in which other schemas a table of this name is."""


COLUMNS: Final = """
WITH RECURSIVE typed(attnum, oid, modifier, filled) AS (
    SELECT attnum, atttypid, atttypmod, attnotnull FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT d.attnum, t.typbasetype, greatest(d.modifier, t.typtypmod), d.filled OR t.typnotnull
    FROM typed d JOIN pg_type t ON t.oid = d.oid AND t.typtype = 'd'
)
SELECT a.attname, CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname END, d.modifier, d.filled,
    format_type(t.oid, -1), a.attgenerated <> ''
FROM typed d JOIN pg_type t ON t.oid = d.oid AND t.typtype <> 'd'
JOIN pg_attribute a ON a.attrelid = %s::regclass AND a.attnum = d.attnum ORDER BY a.attnum
"""
"""The columns of a table (given twice): name, type, length modifier, whether never NULL, SQL name of the type, whether
generated.

A domain counts as the type below it, however many domains lie between; only one of them can have a modifier."""

MAY_REACH: Final = f"""{_FAMILY}
SELECT EXISTS (SELECT 1 FROM family f JOIN pg_rewrite r ON r.ev_class = f.oid) OR EXISTS (
    SELECT 1 FROM family f JOIN pg_trigger t ON t.tgrelid = f.oid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgenabled <> 'D' AND (
        NOT t.tgisinternal OR t.tgparentid <> 0 OR p.proname ~ '^RI_FKey_(cascade|setnull|setdefault)_upd$')
)
"""
"""Whether rewriting a row may change other rows of the table: by a rule, a trigger of any kind, or a foreign key."""

TOUCHED: Final = f"""{_FAMILY}
SELECT coalesce(sum(pg_stat_get_xact_tuples_inserted(oid)), 0)::bigint,
    coalesce(sum(pg_stat_get_xact_tuples_updated(oid)), 0)::bigint,
    coalesce(sum(pg_stat_get_xact_tuples_deleted(oid)), 0)::bigint FROM family
"""
"""What this session has done to the table and its partitions. The counts grow from statement to statement, and may
include those of earlier transactions. All are zero if `track_counts` is off; a row that moves to another partition is
deleted and inserted ("The Cumulative Statistics System" in PostgreSQL's manual)."""


def identifier(name: str) -> str:
    """Return `name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted(name: str) -> str:
    """Return `name` as a SQL identifier for a statement that the driver formats: `%` is doubled."""
    return identifier(name).replace("%", "%%")


def table_identifier(table: str) -> str:
    """Return a table, which may be written with its schema, as `to_regclass` expects it."""
    return ".".join(identifier(part) for part in table.split(".", 1))


def quoted_table(table: str) -> str:
    """Return a table, which may be written with its schema, for a statement that the driver formats."""
    return table_identifier(table).replace("%", "%%")


def may_alter_values(facts: TableFacts) -> tuple[str, str]:
    """Return the parameters of `MAY_ALTER`."""
    return table_identifier(facts.table), facts.column


def journal_table(schema: str) -> str:
    """Return the quoted name of the journal's table."""
    return f"{quoted(schema)}.{quoted(journal.TABLE)}"


def control_table(schema: str) -> str:
    """Return the quoted name of the control row's table."""
    return f"{quoted(schema)}.{quoted(control.TABLE)}"


def row_batch(rows: list[tuple[Any, ...]]) -> RowBatch:
    """Return rows of the columns of the key and the value as a batch."""
    if not rows:
        return RowBatch((), (), None)
    *keys, values = zip(*rows, strict=True)
    all_keys: list[Key] = list(zip(*keys, strict=True))
    return RowBatch(all_keys, values, all_keys[-1])


def condition(facts: TableFacts, before: str) -> str:
    """Return the operator's condition after the keyword `before`, for a statement that the driver formats."""
    return f" {before} ({facts.where.replace('%', '%%')})" if facts.where else ""


def others(facts: TableFacts) -> str:
    """Return the query for number and checksum of the table's rows without those of `key_arrays`."""
    hashed = f"hashtextextended(ROW({key_list(facts)}, t.{quoted(facts.column)}::text)::text, 0)"
    sums = f"SELECT count(*) AS n, coalesce(sum({hashed}), 0) AS h FROM {quoted_table(facts.table)} t"
    return f"SELECT a.n - b.n, a.h - b.h FROM ({sums}) a, ({sums} WHERE {among(facts)}) b"


def key_list(facts: TableFacts) -> str:
    """Return the select list of the key columns of `t`, in the types in which they are transferred."""
    forms = {"integer": "t.{}", "text": "t.{}::text", "binary": "encode(t.{}, 'hex')"}
    return ", ".join(forms[part.family].format(quoted(part.name)) for part in facts.key)


def numbered_keys(facts: TableFacts) -> str:
    """Return the select list of the key columns of `t` in their own types, with the names of `key_numbers`."""
    return ", ".join(f"t.{quoted(part.name)} AS k{i}" for i, part in enumerate(facts.key))


def key_numbers(facts: TableFacts) -> str:
    """Return the names of the key columns in `numbered_keys`."""
    return ", ".join(f"k{i}" for i in range(len(facts.key)))


def from_text(part: KeyColumn, given: str) -> str:
    """Return the SQL that converts `given` back from `key_list`, for one column."""
    return f"decode({given}, 'hex')" if part.family == "binary" else f"{given}::{part.sql_type}"


def key_arrays(facts: TableFacts, changes: Sequence[Change]) -> list[object]:
    """Return the parameters of `among`, and the first of `_key_table`: one array per key column."""
    return [_array(part, [change.key[i] for change in changes]) for i, part in enumerate(facts.key)]


def _array(part: KeyColumn, values: Sequence[int | str]) -> object:
    # numbers as the text of an array, as the driver would convert them one by one
    return f"{{{','.join(map(str, values))}}}" if part.family == "integer" else values


def among(facts: TableFacts) -> str:
    """Return the condition of the rows of `key_arrays` that meet the operator's condition."""
    part = facts.key[0]
    if len(facts.key) == 1 and part.family != "binary":
        # not through text[]: only a constant's text is converted to the type of the column
        return f"t.{quoted(part.name)} = ANY(%s::{part.sql_type}[]){condition(facts, 'AND')}"
    names = ", ".join(f"t.{quoted(part.name)}" for part in facts.key)
    given = ", ".join(from_text(part, f"j.k{i}") for i, part in enumerate(facts.key))
    return f"({names}) IN (SELECT {given} FROM {_key_table(facts)}){condition(facts, 'AND')}"


def _neighbours(facts: TableFacts, changes: Sequence[Change]) -> tuple[str, list[object]]:
    """Return the condition of the rows of `changes` that meet the operator's condition, and its parameters.

    A list of keys is looked up one by one; keys that follow each other are a range without its few gaps, which is read
    at once.
    """
    part = facts.key[0]
    if len(facts.key) == 1 and part.family == "integer":
        keys = [int(change.key[0]) for change in changes]
        first, last = min(keys), max(keys)
        if last - first < len(keys) + MAX_GAPS:
            name = f"t.{quoted(part.name)}"
            span = f"{name} BETWEEN %s::{part.sql_type} AND %s::{part.sql_type}"
            gaps = sorted(set(range(first, last + 1)).difference(keys))
            others = f" AND {name} <> ALL(%s::{part.sql_type}[])"
            return f"{span}{others}{condition(facts, 'AND')}", [first, last, _array(part, gaps)]
    return among(facts), key_arrays(facts, changes)


def _key_table(facts: TableFacts, **more: str) -> str:
    """Return a table `j` of the keys; more: its other columns, and the arrays that they are made of"""
    arrays = [f"%s::{'bigint' if part.family == 'integer' else 'text'}[]" for part in facts.key]
    names = [f"k{i}" for i in range(len(facts.key))]
    return f"unnest({', '.join([*arrays, *more.values()])}) AS j({', '.join([*names, *more])})"


def swap_heads(facts: TableFacts, changes: Sequence[Change], heads: Heads) -> tuple[str, list[object]]:
    """Return the statement that replaces one head by another, and its parameters."""
    old, new = heads
    column = quoted(facts.column)
    rows, values = _neighbours(facts, changes)
    return (
        # no cast to the column's type: an explicit one would cut an overlong value silently
        f"UPDATE {quoted_table(facts.table)} t SET {column} = %s::text || substr({column}::text, %s)"
        f' WHERE {rows} AND left(t.{column}::text, %s) COLLATE "C" = %s',
        [new, len(old) + 1, *values, len(old), old],
    )


def swap_whole_values(
    facts: TableFacts, changes: Sequence[Change], heads: Heads, mark: str
) -> tuple[str, list[object]]:
    """Return the statement that replaces one head by another where the whole old value is as planned.

    What follows the heads is sent once for both values, and as one text, as the driver converts a list item by item.
    mark: a character that is in none of the values
    """
    old, new = heads
    column = quoted(facts.column)
    # behind the last one as well, with a key of NULL: a single empty text would be split into no text
    rests = "".join([change.new[len(new) :] + mark for change in changes])
    table = _key_table(facts, rest="string_to_array(%s, %s)")
    return (
        # no cast to the column's type: an explicit one would cut an overlong value silently
        f"UPDATE {quoted_table(facts.table)} t SET {column} = %s::text || j.rest FROM {table}"
        f' WHERE {_on(facts)} AND t.{column}::text COLLATE "C" = (%s::text || j.rest) COLLATE "C"'
        f"{condition(facts, 'AND')}",
        [new, *key_arrays(facts, changes), rests, mark, old],
    )


def update_values(facts: TableFacts, changes: Sequence[Change]) -> tuple[str, list[object]]:
    """Return the statement that rewrites values one by one, and its parameters."""
    column = quoted(facts.column)
    table = _key_table(facts, old_value="%s::text[]", new_value="%s::text[]")
    return (
        # no cast to the column's type: an explicit one would cut an overlong value silently
        f"UPDATE {quoted_table(facts.table)} t SET {column} = j.new_value FROM {table}"
        # a nondeterministic collation may take different bytes as equal; "C" compares the bytes
        f' WHERE {_on(facts)} AND t.{column}::text COLLATE "C" = j.old_value COLLATE "C"{condition(facts, "AND")}',
        [*key_arrays(facts, changes), [change.old for change in changes], [change.new for change in changes]],
    )


def _on(facts: TableFacts) -> str:
    return " AND ".join(f"t.{quoted(part.name)} = {from_text(part, f'j.k{i}')}" for i, part in enumerate(facts.key))
