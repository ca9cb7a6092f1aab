"""Whether connections keep their sessions, or a connection pooler gives each transaction another one."""

from __future__ import annotations

from typing import Final

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
    port = f":{settings.port}" if settings.port else ""
    return Finding(
        "rehome_database.host", settings.socket or f"{settings.host}{port}", f"{_POOLED}{why}", _WAY_TO_SESSIONS
    )
