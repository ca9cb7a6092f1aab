"""Run SQL statements on the tests' databases, by whichever of the three drivers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from sandbox.database import DatabaseServer
from sandbox.sqlite import SQLite


def execute(connection: Any, statement: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
    """Run a statement and commit. Return its rows.

    values: the parameters; unless they are None, PyMySQL and psycopg read `%%` as a percent sign
    """
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement, *([] if values is None else [tuple(values)]))
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    connection.commit()
    return rows


def execute_as(database: DatabaseServer | SQLite, user: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements over a new connection of this user. Return the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with closing(database.connect(user)) as connection:
        for statement in statements:
            rows = execute(connection, statement)
    return rows
