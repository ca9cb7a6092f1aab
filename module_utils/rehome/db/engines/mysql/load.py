"""Read the load of MariaDB and MySQL."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ...dialect import DatabaseError, MissingRightError
from ...server_load import UnreadableError
from ..base_load import BaseLoad
from .dialect import MySQL

STATEMENT_TIMEOUT_S = 5
READ_TIMEOUT_S = 10
"""How long to wait for a server that does not honor the statement's timeout."""

REDO = (
    "Innodb_checkpoint_age",
    "Innodb_checkpoint_max_age",
    "Innodb_redo_log_current_lsn",
    "Innodb_redo_log_checkpoint_lsn",
    "Innodb_redo_log_capacity_resized",
)


def redo_filled(status: Mapping[str, int]) -> float | None:
    """Return how full the redo log is, as a fraction; None if `status` has the variables of neither server.

    MariaDB and MySQL from 8.0.30 on have them ("Server Status Variables" in both manuals). MySQL reports the size
    of all its log files, but not how much of it may be ahead of the checkpoint; nine tenths are assumed.
    """
    if most := status.get("Innodb_checkpoint_max_age"):
        return status["Innodb_checkpoint_age"] / most
    if capacity := status.get("Innodb_redo_log_capacity_resized"):
        return (status["Innodb_redo_log_current_lsn"] - status["Innodb_redo_log_checkpoint_lsn"]) / (0.9 * capacity)
    return None


class MySQLLoad(BaseLoad):
    """Reads the load; `server_load.Load` documents the methods."""

    _database: MySQL

    def __init__(self, database: MySQL) -> None:
        super().__init__(database)
        database.run("SET SESSION TRANSACTION READ ONLY")
        # MariaDB's name and MySQL's; each server knows only its own
        for limit in (
            f"max_statement_time = {STATEMENT_TIMEOUT_S}",
            f"max_execution_time = {STATEMENT_TIMEOUT_S * 1000}",
        ):
            with suppress(DatabaseError):
                database.run(f"SET SESSION {limit}")

    def running(self) -> int:
        """Return Threads_running without the session that reads it."""
        # this statement itself is one of them
        return max(self._status("Threads_running") - 1, 0)

    def replicas(self) -> Mapping[str, float]:
        """Return nothing if no replica is connected. Raises UnreadableError otherwise: their lag is unknown here."""
        try:
            count = self._database.count_replicas()
        except MissingRightError as denied:
            raise UnreadableError(
                f"whether replicas are connected shows to REPLICATION SLAVE alone ({denied}); name them in "
                "rehome_throttle.replicas"
            ) from denied
        if count:
            raise UnreadableError(
                f"{count} replicas are connected, and this server does not know how far they are behind; "
                "name them in rehome_throttle.replicas"
            )
        return {}

    def seconds_behind(self) -> float:
        """Return the largest Seconds_Behind_Source (or …_Master) of all channels."""
        found = self._database.replica_status()
        if not found:
            raise UnreadableError("it is not a replica")
        behind = [
            status["Seconds_Behind_Source"] if "Seconds_Behind_Source" in status else status["Seconds_Behind_Master"]
            for status in found
        ]
        if any(seconds is None for seconds in behind):
            raise UnreadableError("its replication is not running")
        return float(max(behind))

    def redo_filled(self) -> float | None:
        """Return the age of the checkpoint relative to its maximum, from SHOW GLOBAL STATUS."""
        found = dict(self._database.run("SHOW GLOBAL STATUS WHERE Variable_name IN %s", (REDO,)))
        return redo_filled({name: int(value) for name, value in found.items() if value.isdigit()})

    def _status(self, name: str) -> int:
        found = self._database.run("SHOW GLOBAL STATUS WHERE Variable_name = %s", (name,))
        return int(found[0][1]) if found else 0
