"""The control row: what a DBA asks of a run from anywhere, and what the run says there of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..control.controls import Controls, Door
from ..control.orders import Order, OrderError, Range, read_order
from ..db.control import ControlRow
from ..db.dialect import ConnectionLostError, DatabaseError, Dialect, ReadOnlyError, RetryableError

LOOK_EVERY_S: Final = 1.0
SAY_EVERY_S: Final = 5.0
"""How often a run writes into its row how far it is, if nothing else has changed."""
TRY_AGAIN_S: Final = 30.0
"""How soon a door that is shut is tried again: somebody may have granted the right meanwhile."""


def row_door(table: str, migration: str) -> Door:
    """Return the control row as a door. table: its name, as people write it"""
    name = migration.replace("'", "''")
    return Door(f"{table} of the database", f"resume with UPDATE {table} SET paused = FALSE WHERE migration = '{name}'")


def order_in(row: ControlRow, allowed: Mapping[str, Range]) -> Order:
    """Return what a row asks. Raises OrderError if it cannot be followed."""
    try:
        limits = json.loads(row.settings) if row.settings else {}
    except (ValueError, RecursionError) as error:
        raise OrderError(f"settings is not JSON: {error}") from error
    if not isinstance(limits, dict):
        raise OrderError("settings is not a JSON object of limits")
    return read_order({"paused": row.paused, "set": limits, "by": row.asked_by}, allowed)


class ControlRowDoor:
    """Hears a migration's control row, on a connection that is given with each look.

    says: returns what the run says of itself, as JSON can hold it
    """

    def __init__(
        self,
        controls: Controls,
        schema: str,
        migration: str,
        allowed: Mapping[str, Range],
        says: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controls = controls
        self._schema = schema
        self._migration = migration
        self._allowed = allowed
        self._says = says
        self._clock = clock
        self._door: Door | None = None
        self._look_at = self._say_at = 0.0
        self._said_version = -1
        self._heard: object = None
        self._has_row = False

    def look(self, database: Dialect, *, last: bool = False) -> None:
        """Hear the row if it is time to, and say how far the run is. A database that refuses shuts the door, no more.

        last: the stage is over
        """
        now = self._clock()
        if now < self._look_at and not last:
            return
        self._look_at = now + LOOK_EVERY_S
        if self._door is None:
            # the name as people write it: without the driver's doubled percent signs, and quotes where there is no need
            self._door = row_door(database.control_table(self._schema).replace("%%", "%"), self._migration)
        try:
            self._hear(database, self._door)
            self._say(database, now, last=last)
        except (RetryableError, ConnectionLostError, ReadOnlyError):
            return  # a busy server, or one that comes back: the next look tries again
        except DatabaseError as error:
            self._look_at = now + TRY_AGAIN_S
            self._controls.shut(self._door, self._shut(error))

    def _shut(self, error: DatabaseError) -> str:
        what = "this run does not say here how far it is" if self._has_row else "this door is shut"
        return f"{what} ({error}); the run goes on without it"

    def _hear(self, database: Dialect, door: Door) -> None:
        try:
            row = database.read_control(self._schema, self._migration)
        except (RetryableError, ConnectionLostError, ReadOnlyError):
            raise
        except DatabaseError:
            # of a version without it, where this user may create tables
            database.create_control(self._schema)
            row = None
        if row is None:
            database.add_control(self._schema, self._migration)
            row = ControlRow(False, None, None, None)
        self._has_row = True
        asked = row._replace(run_says=None)
        if asked == self._heard:
            return
        self._heard = asked
        try:
            self._controls.hear(door, order_in(row, self._allowed))
        except OrderError as error:
            self._controls.refuse(door, str(error))

    def _say(self, database: Dialect, now: float, *, last: bool) -> None:
        if now < self._say_at and self._controls.version == self._said_version and not last:
            return
        self._say_at, self._said_version = now + SAY_EVERY_S, self._controls.version
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        said = {**self._says(), "at": moment, "ended": last}
        database.say_control(self._schema, self._migration, json.dumps(said))
