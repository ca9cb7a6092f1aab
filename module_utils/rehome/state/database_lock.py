"""One run at a time per migration and database, on whatever machine it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..codes import Code
from ..config.settings import Database
from ..db.dialect import ConnectionLostError, DatabaseError, Dialect, LockHolder
from ..db.engines.open import connect
from ..db.work.pooling import pooled_sessions, shared_out
from ..errors import RefusedError, RehomeError
from .control_row import ControlRowDoor

CHECK_EVERY_S = 0.5
"""How soon a lost lock is noticed. It also keeps proxies and firewalls from closing an idle connection."""
END_TIMEOUT_S = 5.0
"""How long the end of a run waits for a check in flight, on a server that hangs."""


class DatabaseLock:
    """The lock of a migration, checked in the background while a run works under it.

    A lock that was lost, because its connection was, is taken again, as after a failover. If another run has taken it
    meanwhile, `lost` says so, and this run must stop.

    beside: looks at the control row by the same connection, so that it costs no other
    """

    def __init__(self, database: Dialect, migration: str, beside: ControlRowDoor | None = None) -> None:
        self._database = database
        self._migration = migration
        self._beside = beside
        self._session = database.session_id()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.lost: str | None = None
        """Why this run no longer has the lock; None while it has it, or may yet take it again."""

    def start(self) -> None:
        """Begin to check. What the control row asks counts from here on."""
        self._look_beside()
        self._thread.start()

    def end(self) -> None:
        """End the checks, with a last one."""
        self._over.set()
        self._thread.join(END_TIMEOUT_S)
        if not self._thread.is_alive():
            self._check()
            self._look_beside(last=True)

    def require(self) -> None:
        """Raise RehomeError if another run has the lock."""
        if self.lost is not None:
            raise RehomeError(self.lost, code=Code.LOCK_LOST)

    def _watch(self) -> None:
        while self.lost is None and not self._over.wait(CHECK_EVERY_S):
            self._check()
            self._look_beside()

    def _look_beside(self, *, last: bool = False) -> None:
        if self._beside is not None and self.lost is None:
            self._beside.look(self._database, last=last)

    def _check(self) -> None:
        try:
            if self.lost is not None or self._database.holds_advisory_lock(self._migration):
                return
        except ConnectionLostError:
            pass
        except DatabaseError:
            return  # a busy server; the session, and so the lock, is there
        self._take_again()

    def _take_again(self) -> None:
        try:
            self._database.reconnect()
            holder = self._database.try_advisory_lock(self._migration)
            if holder is None:
                self._session = self._database.session_id()
            elif holder.session != self._session or not self._session:
                self.lost = _lost(self._migration, holder)
        except (RefusedError, DatabaseError):
            return  # still away; the next check tries again
        # else the server has not noticed yet that the old session is dead, and keeps the lock for us


def _lost(migration: str, holder: LockHolder) -> str:
    return (
        f"rehome_name ({migration}): the connection that held the lock of this run was lost, and another run of this "
        f"migration has taken the lock: {holder.words}. This run has stopped; what was in flight is finished and "
        "recorded. Let the other run end, then run the same command again."
    )


def _require_sessions(database: Dialect, settings: Database) -> None:
    with connect(settings) as other:
        if pooled := pooled_sessions(database, other, settings):
            raise RefusedError([pooled])


def _is_held(database: Dialect, migration: str) -> bool:
    """Return whether the lock that was just taken is where this connection's next statement goes."""
    try:
        return database.holds_advisory_lock(migration)
    except DatabaseError:
        return True  # the watch over the lock tells a lost connection


@contextmanager
def migration_lock(settings: Database, migration: str, beside: ControlRowDoor | None = None) -> Iterator[DatabaseLock]:
    """Lock `migration` in the database for the length of the block, by the server's advisory lock.

    The server releases the lock when the connection ends, so a dead run locks nothing. The lock keeps two runs from
    doing the same work twice; safety depends on the conditions of every copy and every rewrite. Galera
    does not share such locks between its nodes ("GET_LOCK", MariaDB's manual).

    beside: see `DatabaseLock`

    Raises RefusedError if another run has locked it or a pooler or proxy would not keep it, and RehomeError at
    the end of the block if the lock was lost to another run.
    """
    with connect(settings) as database:
        if settings.engine != "sqlite":
            _require_sessions(database, settings)
        holder = database.try_advisory_lock(migration)
        if holder is not None:
            raise RefusedError.of(
                "rehome_name",
                migration,
                f"another run of this migration is at work in the database: {holder.words}",
                "Wait for it to end, or stop it; then run it again to do what is left",
                code=Code.MIGRATION_LOCKED,
            )
        if not _is_held(database, migration):
            raise RefusedError([shared_out(settings)])
        lock = DatabaseLock(database, migration, beside)
        lock.start()
        try:
            yield lock
        finally:
            lock.end()
        lock.require()
