"""What SQLite's check constraints say to new values, found with a table in memory."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from ....mapping.value_map import ValueMap
from ...dialect import DatabaseError
from ...inspector import RefusedByCheck


def refused_by_copy(
    create: str, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]], place: int, values: ValueMap
) -> list[RefusedByCheck]:
    """Insert each row with its new value into an empty table of the same definition. Its other rows are not there.

    create: the text of CREATE TABLE
    table, names: the quoted table, and its columns that are not generated
    place: the position of the referencing column among them
    Raises DatabaseError if the definition works in its own database only.
    """
    insert = f"INSERT OR ABORT INTO {table} VALUES ({', '.join('?' * len(names))})"
    refused: Counter[str] = Counter()
    examples: dict[str, str] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.text_factory = bytes
        try:
            memory.execute(create)
        except sqlite3.Error as error:
            raise DatabaseError.quoting(f"the table's definition cannot be tried elsewhere: {error}") from error
        for row in rows:
            old = row[place]
            new = values.target_head + old[len(values.source_head) :]
            try:
                memory.execute(insert, [*row[:place], new, *row[place + 1 :]])
                memory.execute(f"DELETE FROM {table}")
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorname == "SQLITE_CONSTRAINT_CHECK":
                    name = re.sub(r"^CHECK constraint failed: ", "", str(error))
                    refused[name] += 1
                    examples.setdefault(name, old)
    return [RefusedByCheck(name, len(rows), count, examples[name]) for name, count in refused.items()]
