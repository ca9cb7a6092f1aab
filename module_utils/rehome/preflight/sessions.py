"""Whether each connection has a session of its own, and whether the server grants as many as a run needs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from ..checks import Check, stop, unknown, warn
from ..codes import Code
from ..config.settings import BESIDE_WRITERS, Settings
from ..db.dialect import DatabaseError, Dialect
from ..db.engines.open import connect
from ..db.work.pooling import pooled_sessions, shared_reads
from ..errors import Finding, RefusedError

MIN_PER_HOUR: Final = {"MAX_QUERIES_PER_HOUR": 50_000, "MAX_UPDATES_PER_HOUR": 1_000, "MAX_CONNECTIONS_PER_HOUR": 200}
"""What the smallest run takes: the load is read ten times a second, each stage has connections of its own."""


def check_sessions(database: Dialect, settings: Settings, lenient: bool = False) -> list[Check]:
    """Open as many connections as a run does, beside `database`, and check that each keeps its session.

    lenient: then too few connections, or statements an hour, are a warning: a dry run has another user, and needs less
    SQLite has neither. Reads only. Raises RefusedError if sessions are not kept, or lead to several servers: nothing
    else that is read is certain.
    """
    if settings.database.engine == "sqlite":
        return []
    needed = settings.connections_at_once
    with ExitStack() as stack:
        for number in range(2, needed + 1):
            try:
                other = stack.enter_context(connect(settings.database))
            except RefusedError as refusal:
                too_few = _too_few(database, settings, number, refusal.findings[0])
                return [_limited("connections", too_few, lenient)]
            if number == 2 and (pooled := pooled_sessions(database, other, settings.database)):
                raise RefusedError([pooled])
            if shared := shared_reads(database, other, settings.database):
                raise RefusedError([shared])
    return [
        Check("database", "sessions", "pass", "every connection keeps its session, and what Rehome sets in it"),
        Check("database", "connections", "pass", f"the server takes the {needed} that a run needs at once"),
        *_hourly_limits(database, lenient),
    ]


def _limited(name: str, finding: Finding, lenient: bool) -> Check:
    if lenient:
        return warn(
            "database", name, f"{finding.problem}; a run would stop", finding.way_out, code=Code.TOO_FEW_CONNECTIONS
        )
    return stop("database", name, finding)


def _too_few(database: Dialect, settings: Settings, number: int, refusal: Finding) -> Finding:
    needed, granted = settings.connections_at_once, number - 1
    try:
        limits = database.connection_limits()
    except DatabaseError:
        limits = {}
    named = "; ".join(f"{name} is {limit}" for name, limit in limits.items() if limit > 0)
    fewer = granted - BESIDE_WRITERS
    lower = f"Set rehome_connections to {fewer}, or raise" if fewer > 0 else "Raise"
    way_out = f"{lower} the limit to at least {needed} for this user{f' ({named})' if named else ''}"
    return Finding(
        "rehome_connections",
        str(settings.connections),
        f"a run needs {needed} connections to the database at once, {settings.connections} of them to rewrite rows, "
        f"and the server refuses number {number}: {refusal.problem}",
        f"{way_out}. Other connections of this user count, too",
        Code.TOO_FEW_CONNECTIONS,
    )


def _hourly_limits(database: Dialect, lenient: bool) -> list[Check]:
    try:
        limits = database.hourly_limits()
    except DatabaseError as error:
        return [unknown("database", "hourly limits", str(error))]
    checks = []
    for name, limit in limits.items():
        least = MIN_PER_HOUR[name]
        found = f"the account's {name} is {limit:,}, and the smallest run takes up to {least:,} an hour"
        advice = f"Set {name} to 0 (no limit) for the time of the migration"
        if limit < least:
            checks.append(
                _limited(
                    "hourly limits",
                    Finding("rehome_database.user", None, found, advice, Code.TOO_FEW_CONNECTIONS),
                    lenient,
                )
            )
        else:
            checks.append(
                warn(
                    "database",
                    "hourly limits",
                    f"{found}; a large one takes more",
                    advice,
                    code=Code.TOO_FEW_CONNECTIONS,
                )
            )
    return checks
