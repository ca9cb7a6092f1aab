"""Whether connections keep their sessions, and all lead to one server, whatever pooler or proxy stands before it."""

from __future__ import annotations

from typing import Final

from ...codes import Code
from ...config.settings import Database
from ...errors import Finding
from ..dialect import DatabaseError, Dialect

TURNS: Final = "abbabaab"
"""Which of two connections asks for its session's number. Uneven, so that no pool that hands its sessions out by turns,
or the last one first, gives both connections the same number each time."""

_POOLED: Final = (
    "the connections do not keep their sessions: a connection pooler in transaction or statement mode (PgBouncer's "
    "pool_mode, for example) stands before the server. It would lose the time-outs of the session, and pass the lock "
    "that keeps out a second run on to that run"
)
_WAY_TO_SESSIONS: Final = (
    "Connect to the database server itself, or to a pool whose pool_mode is session (in PgBouncer, a second entry "
    "under [databases] with pool_mode = session)"
)
_SHARED: Final = (
    "statements are shared out among several servers: a proxy that balances the load (Pgpool-II's load_balance_mode, "
    "for example) stands before them. A replica may be behind, so that rows that the application has just written "
    "would be taken for missing"
)
_WAY_TO_PRIMARY: Final = (
    "Connect to the primary itself, or to a port of the proxy that leads to nothing else (in Pgpool-II, "
    "load_balance_mode = off, or a database_redirect_preference_list that names this database with primary)"
)


def pooled_sessions(a: Dialect, b: Dialect, settings: Database) -> Finding | None:
    """Return the finding for two connections that share sessions, or change them from one transaction to the next.

    What is not seen is no proof: the lock is checked while a run works, too.
    """
    seen: dict[str, set[int]] = {"a": set(), "b": set()}
    why = ""
    try:
        for turn in TURNS:
            database = a if turn == "a" else b
            # in a transaction: outside one, a proxy that splits reads from writes may ask another server each time
            with database.transaction():
                seen[turn].add(database.session_id())
    except DatabaseError as error:
        why = f" ({error})"
    if not why and all(len(numbers) == 1 for numbers in seen.values()) and not seen["a"] & seen["b"]:
        return None
    return _of_the_host(settings, f"{_POOLED}{why}", _WAY_TO_SESSIONS)


def shared_reads(a: Dialect, b: Dialect, settings: Database) -> Finding | None:
    """Return the finding for two connections of which one alone leads to a server that takes writes.

    What is not seen is no proof: a proxy may by chance send both to the same server.
    """
    return shared_out(settings) if a.is_read_only() != b.is_read_only() else None


def shared_out(settings: Database) -> Finding:
    """Return the finding for a proxy that does not send all of a connection's statements to the primary."""
    return _of_the_host(settings, _SHARED, _WAY_TO_PRIMARY)


def _of_the_host(settings: Database, problem: str, way_out: str) -> Finding:
    port = f":{settings.port}" if settings.port else ""
    return Finding("rehome_database.host", settings.socket or f"{settings.host}{port}", problem, way_out, Code.POOLED)
