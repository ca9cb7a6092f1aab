"""The seed's rows, in the sandbox's three dialects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from typing import Any

from ..database import JOURNAL, DatabaseServer
from ..sqlite import SQLite
from . import oddities
from .avatars import migrated

RESET = {
    "mariadb": ("TRUNCATE TABLE avatars", f"DROP DATABASE IF EXISTS {JOURNAL}"),
    "postgresql": ("TRUNCATE TABLE avatars RESTART IDENTITY", f"DROP SCHEMA IF EXISTS {JOURNAL} CASCADE"),
    "sqlite": (
        "DELETE FROM avatars",
        "DELETE FROM sqlite_sequence WHERE name = 'avatars'",
        f"DROP TABLE IF EXISTS {JOURNAL}_journal",
        f"DROP TABLE IF EXISTS {JOURNAL}_control",
    ),
}
RESET["mysql"] = RESET["mariadb"]
"""Statements that empty the table, restart its numbering at 1, and drop all that Rehome made."""


class Rows:
    """The table `avatars`, accessed by its owner over one connection."""

    def __init__(self, database: DatabaseServer | SQLite) -> None:
        self._engine = database.engine
        self._connection = database.connect("admin")
        self._mark = "?" if database.engine == "sqlite" else "%s"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def reset(self) -> None:
        """Empty the table, as after the sandbox's start."""
        with closing(self._connection.cursor()) as cursor:
            for statement in RESET[self._engine]:
                cursor.execute(statement)
        self._connection.commit()

    def without_row(self, paths: Sequence[str]) -> set[str]:
        """Return those paths that no row has, before or after a migration."""
        wanted = [*paths, *map(migrated, paths)]
        marks = ", ".join([self._mark] * len(wanted))
        found = {path for (path,) in self._read(f"SELECT path FROM avatars WHERE path IN ({marks})", wanted)}
        return {path for path in paths if path not in found and migrated(path) not in found}

    def odd_users(self) -> set[int]:
        """Return the users of the odd rows in the table."""
        query = f"SELECT user_id FROM avatars WHERE user_id >= {oddities.FIRST_USER}"
        return {int(user) for (user,) in self._read(query, ())}

    def insert(self, rows: Collection[tuple[int, str]]) -> None:
        """Add these users' rows, all or none."""
        if not rows:
            return
        statement = f"INSERT INTO avatars (user_id, path) VALUES ({self._mark}, {self._mark})"
        with closing(self._connection.cursor()) as cursor:
            cursor.executemany(statement, rows)
        self._connection.commit()

    def _read(self, query: str, values: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(query, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        # Ends the transaction that the read began, or the next batch would read an old snapshot.
        self._connection.commit()
        return found
