"""The control row: a table beside the journal with one row per migration, by which a DBA pauses a run from anywhere.

`UPDATE rehome.control SET paused = TRUE WHERE migration = 'avatars'` is the same in every engine, but for the table's
name in SQLite, which has no schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

TABLE: Final = "control"
COLUMNS: Final = ("migration", "paused", "settings", "asked_by", "run_says")


class ControlRow(NamedTuple):
    """The row of one migration.

    paused: whether the run is to wait
    settings: limits as a JSON object; None: none
    asked_by: who asks, as they say themselves
    run_says: what the run that is at work says of itself, as JSON; None: no run has written anything
    """

    paused: bool
    settings: str | None
    asked_by: str | None
    run_says: str | None


def columns(types: Mapping[str, str]) -> str:
    """Return the definitions of the table's columns. types: `name` (for the migration), `short` and `long` texts"""
    return (
        f"migration {types['name']} NOT NULL PRIMARY KEY, paused BOOLEAN NOT NULL DEFAULT FALSE,"
        f" settings {types['long']}, asked_by {types['short']}, run_says {types['long']}"
    )


def select(table: str, mark: str) -> str:
    """Return the statement that reads a row. Its parameter is the migration's name."""
    return f"SELECT paused, settings, asked_by, run_says FROM {table} WHERE migration = {mark}"


def insert(table: str, mark: str) -> str:
    """Return the statement that adds a row that asks for nothing. Its parameter is the migration's name."""
    return f"INSERT INTO {table} (migration) VALUES ({mark})"


def update_says(table: str, mark: str) -> str:
    """Return the statement by which a run says how far it is. Its parameters are the text and the migration's name."""
    return f"UPDATE {table} SET run_says = {mark} WHERE migration = {mark}"


def update_order(table: str, mark: str) -> str:
    """Return the statement by which a run is paused, resumed or given limits.

    Its parameters are `paused`, `settings`, `asked_by` and the migration's name.
    """
    return f"UPDATE {table} SET paused = {mark}, settings = {mark}, asked_by = {mark} WHERE migration = {mark}"


def row(found: Sequence[Sequence[Any]]) -> ControlRow | None:
    """Return the row that `select` has found, if there is one."""
    return next((ControlRow(bool(paused), *texts) for paused, *texts in found), None)
