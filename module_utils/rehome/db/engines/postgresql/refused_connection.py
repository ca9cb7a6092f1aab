"""Why a connection to PostgreSQL could not be opened, by the message: libpq gives no SQLSTATE for it.

The server's messages may be in its own language; those of libpq and of poolers are in English. So only what libpq says
about an address without an answer counts as that, and whatever is not known is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

from ....codes import Code
from ....config.settings import Database
from ....errors import Finding
from .. import refused_connection as refused

_Kind = Callable[[Database, str, str], Finding]


def _without_settings(kind: Callable[[str, str], Finding]) -> _Kind:
    return lambda _settings, server, said: kind(server, said)


def _may_not_connect(settings: Database, _server: str, said: str) -> Finding:
    return Finding(
        "rehome_database.user",
        settings.user,
        f"may not connect to database {settings.name} ({said})",
        f"Grant CONNECT on database {settings.name} to it",
        Code.DATABASE_LOGIN,
    )


_NO_CONNECT: Final = "CONNECT privilege|permission denied for database"

KINDS: Final[Sequence[tuple[str, _Kind]]] = (
    (_NO_CONNECT, _may_not_connect),
    # PgBouncer and its like; "Troubleshooting" and the sources of PgBouncer, Odyssey, pgcat, Supavisor
    (
        "unsupported startup parameter|unsupported protocol option|bouncer config error|pooler|pool_mode"
        "|transaction pooling|max_prepared_statements",
        _without_settings(refused.pooler_refused),
    ),
    (
        "no more connections allowed|too many connections|too many clients|remaining connection slots"
        "|max.?client|pool is full|query_wait_timeout",
        _without_settings(refused.too_many),
    ),
    (
        "starting up|shutting down|in recovery mode|not (yet )?accepting connections|Hot standby mode"
        "|client_login_timeout|cannot connect to server"
        "|server conn crashed|no working server|server_connect_timeout|pgbouncer is paus|backend is unavailable",
        _without_settings(refused.not_ready),
    ),
    ("server login (has been )?fail|server_login_retry", _without_settings(refused.pooler_not_let_in)),
    (
        "received invalid response to (SSL|GSSAPI) negotiation|received unencrypted data"
        "|wrong version number|expected authentication request from server"
        "|unsupported frontend protocol|invalid length of startup packet|does not support protocol",
        lambda _settings, server, said: refused.not_understood(server, said, "PostgreSQL"),
    ),
    # pg_hba.conf has entries for secured connections only, and this is none
    ("(SSL|TLS) (connection )?(is )?required|SSL required", _without_settings(refused.tls_wanted)),
    ("requires a valid client certificate|certificate authentication failed", _without_settings(refused.not_secured)),
    ("pg_hba.conf", refused.address_refused),
    ("is not permitted to log in|password (has )?expired|is locked", refused.account_closed),
    (
        "SASL authentication mechanisms|authentication method .* not supported|GSSAPI|SSPI|channel binding"
        "|unsupported authentication|auth_type",
        refused.method_unknown,
    ),
    (
        'authentication failed|no password supplied|auth failed|no such user|role ".*" does not exist|password',
        refused.user_refused,
    ),
    ('database ".*" does not exist|no such database|Tenant or user not found', refused.no_database),
    ("closed the connection unexpectedly|reset by peer|Broken pipe|SYSCALL", _without_settings(refused.closed)),
    ("SSL|TLS|certificate", _without_settings(refused.not_secured)),
    (
        "Connection refused|could not translate host name|timeout expired|timed out|No route to host|unreachable"
        "|No such file or directory|Permission denied\\s+Is the server running|Host is down|Name or service not known",
        _without_settings(refused.no_server),
    ),
)
"""Expressions that are searched for in the message without its names; the first that is found decides."""

_ADDRESS: Final = re.compile(r'connection to server (at|on socket) "[^"]*"( \([^)]*\))?(, port \d+)? failed:')
_CACHED: Final = re.compile(r"cached error: (.+) \(server_login_retry\)")
"""What the server said to PgBouncer's last login, which it repeats to its clients for server_login_retry seconds."""
_NAME: Final = re.compile(r'"[^"]*"')


def unanswered(settings: Database, said: str) -> Finding:
    """Return the finding for a connection that was accepted, and timed out."""
    return refused.closed(refused.server_address(settings, 5432), said)


def lost_finding(settings: Database, said: str) -> Finding:
    """Return the finding for a connection that ended at its first statement, by what was said last."""
    return _known(settings, said) or unanswered(settings, said)


def refused_finding(settings: Database, said: str) -> Finding | None:
    """Return the finding for a first statement that was refused for want of CONNECT: poolers log in only then."""
    if not re.search(_NO_CONNECT, said):
        return None
    return _may_not_connect(settings, refused.server_address(settings, 5432), said)


def connection_finding(settings: Database, error: psycopg.Error) -> Finding:
    """Return the finding for a connection that failed, by the message of libpq, the server or a pooler."""
    said = " ".join(str(error).split())
    if known := _known(settings, said):
        return known
    server = refused.server_address(settings, 5432)
    return refused.answered(server, said) if "connection to server" in said else refused.not_tried(server, said)


def _known(settings: Database, said: str) -> Finding | None:
    cached = _CACHED.search(said)
    words = _NAME.sub('"…"', cached[1] if cached else _ADDRESS.sub("", said))
    kind = next((kind for expression, kind in KINDS if re.search(expression, words, re.IGNORECASE)), None)
    return kind(settings, refused.server_address(settings, 5432), said) if kind else None
