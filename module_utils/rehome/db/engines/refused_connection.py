"""Why a connection could not be opened: the findings that the engines have in common.

Only an address from which nothing came back is told as one at which no server answers. Whatever else there is, the
finding quotes the server, or what stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ...codes import Code
from ...config.settings import Database
from ...errors import Finding

TLS_OFF = "If the server wants TLS, set rehome_database.tls"

NOT_LET_IN = "refuses this user with this password"
"""What all findings about a wrong user or password say."""


def server_address(settings: Database, default_port: int) -> str:
    """Return where the server is, for messages: the socket, or host and port."""
    return settings.socket or f"{settings.host}:{settings.port or default_port}"


def no_server(server: str, said: str) -> Finding:
    """Return the finding for an address at which no server answers. said: the driver's message"""
    return Finding(
        "rehome_database.host",
        server,
        f"no database server answers there ({said})",
        "Correct rehome_database.host and port (or DB_HOST), and see that the server runs and is not behind a firewall",
        Code.DATABASE_UNREACHABLE,
    )


def not_tried(server: str, said: str) -> Finding:
    """Return the finding for what the driver refuses by itself."""
    return Finding(
        "rehome_database",
        server,
        f"the driver does not try to connect ({said})",
        "Correct what it names: a setting of rehome_database, or a variable of the environment (such as PGSERVICE)",
        Code.DATABASE_UNREACHABLE,
    )


def answered(server: str, said: str) -> Finding:
    """Return the finding for a refusal of a kind that is not known."""
    return Finding(
        "rehome_database",
        server,
        f"the server answers, and refuses the connection ({said})",
        "The words in parentheses are the server's, or those of a proxy before it: follow them",
        Code.DATABASE_UNREACHABLE,
    )


def not_understood(server: str, said: str, engine: str) -> Finding:
    """Return the finding for an address at which something else answers. engine: what was expected there"""
    return Finding(
        "rehome_database.port",
        server,
        f"what answers there does not speak as {engine} does ({said})",
        "Correct rehome_database.host, port and engine: another program, or another of the server's own protocols, may "
        "listen there",
        Code.DATABASE_UNREACHABLE,
    )


def closed(server: str, said: str) -> Finding:
    """Return the finding for a connection that is accepted and then closed, or left without an answer."""
    return Finding(
        "rehome_database.host",
        server,
        f"the connection is accepted there, and then closed or left without an answer ({said})",
        "A server that starts or is overloaded does that, a proxy without a server behind it, a firewall, or a program "
        "of another kind: see the logs there, and check rehome_database.port and rehome_database.tls",
        Code.DATABASE_UNREACHABLE,
    )


def not_ready(server: str, said: str) -> Finding:
    """Return the finding for a server that starts, stops, recovers, or whose proxy reaches none."""
    return Finding(
        "rehome_database.host",
        server,
        f"what answers there serves no clients at the moment ({said})",
        "Wait until the database behind it runs, then run the same command again",
        Code.DATABASE_UNREACHABLE,
    )


def pooler_not_let_in(server: str, said: str) -> Finding:
    """Return the finding for a pooler that cannot log in to the server for this user, and does not say why."""
    return Finding(
        "rehome_database.host",
        server,
        f"a connection pooler answers there, and cannot log in to the database for this user ({said})",
        "See the pooler's log for the reason. The database may be away, or refuse the user: its password, its right to"
        " connect, its limits",
        Code.POOLED,
    )


def user_refused(settings: Database, server: str, said: str) -> Finding:
    """Return the finding for a wrong user or password; servers also say so where an account requires TLS."""
    way_out = (
        "Correct rehome_database.user and rehome_database.password (or what is exported: DB_USER, DB_PASSWD, DB_URL)"
    )
    if not settings.tls.enabled:
        way_out += f". {TLS_OFF}"
    elif not settings.tls.cert:
        way_out += ". If the account requires a client's certificate, set rehome_database.tls.cert and key"
    return Finding(
        "rehome_database.user",
        settings.user,
        f"the server at {server} {NOT_LET_IN} ({said})",
        way_out,
        Code.DATABASE_LOGIN,
    )


def account_closed(settings: Database, server: str, said: str) -> Finding:
    """Return the finding for an account that exists and may not be used: locked, expired, or without a login."""
    return Finding(
        "rehome_database.user",
        settings.user,
        f"the server at {server} knows this user, and does not let it in ({said})",
        "Let an administrator unlock the account, give it a new password or the right to log in",
        Code.DATABASE_LOGIN,
    )


def address_refused(settings: Database, server: str, said: str) -> Finding:
    """Return the finding for a machine that this server, or this account, does not accept."""
    way_out = "Let an administrator allow this user from this machine's address (the user's host, or pg_hba.conf)"
    return Finding(
        "rehome_database.user",
        settings.user,
        f"the server at {server} does not take this user from this machine ({said})",
        way_out if settings.tls.enabled else f"{way_out}. {TLS_OFF}",
        Code.DATABASE_LOGIN,
    )


def no_database(settings: Database, server: str, said: str) -> Finding:
    """Return the finding for a database that does not exist, or is hidden from this user."""
    return Finding(
        "rehome_database.name",
        settings.name,
        f"the server at {server} has no such database for user {settings.user} ({said})",
        "Correct rehome_database.name (or DB_NAME), or grant the user access to it. If a role has it, the role must be "
        "active at login (SET DEFAULT ROLE)",
        Code.DATABASE_LOGIN,
    )


_UNVERIFIED: Final = "rehome_database.tls.verify: false takes any certificate, and does not prove who answers"
_INSECURE: Final[Sequence[tuple[str, str, str, str]]] = (
    (
        "mismatch|does not match host name|not valid for",
        "rehome_database.host",
        ": the server's certificate is for another host",
        f"Set rehome_database.host to a name in the server's certificate, or let the server have one for it; "
        f"{_UNVERIFIED}",
    ),
    (
        "expired|not yet valid",
        "rehome_database.tls",
        ": the server's certificate is not valid now",
        "Let the server have a certificate of this time, and see that this machine's clock is right",
    ),
    (
        "verify failed|self.signed|unable to get|unknown ca|root certificate|signature failure",
        "rehome_database.tls.ca",
        ": this machine does not trust the server's certificate",
        "Set rehome_database.tls.ca to the file with the certificate of the authority that signed the server's (a "
        f"provider offers it; MySQL's own is ca.pem in its data folder), and see that none has expired; {_UNVERIFIED}",
    ),
    (
        "support (SSL|it)|doesn.t support|does not support SSL",
        "rehome_database.tls",
        ": the server offers no TLS",
        "Switch TLS on at the server, or set rehome_database.tls to {enabled: false}",
    ),
)
"""What is searched for in the message, the setting, the problem and the way out. The first that is found decides."""


def not_secured(server: str, said: str) -> Finding:
    """Return the finding for TLS that one side wants and the other does not have, and for certificates."""
    for expression, setting, problem, way_out in _INSECURE:
        if re.search(expression, said, re.IGNORECASE):
            return Finding(
                setting, server, f"the connection could not be secured{problem} ({said})", way_out, Code.DATABASE_TLS
            )
    return Finding(
        "rehome_database.tls",
        server,
        f"the connection could not be secured ({said})",
        "Correct rehome_database.tls (enabled, ca, cert, key), or the server's certificate",
        Code.DATABASE_TLS,
    )


def tls_wanted(server: str, said: str) -> Finding:
    """Return the finding for a server that takes no connection without TLS."""
    return Finding(
        "rehome_database.tls",
        server,
        f"the server takes secured connections only ({said})",
        "Set rehome_database.tls: {enabled: true}, and ca if the certificate's authority is not one of the system's",
        Code.DATABASE_TLS,
    )


def method_unknown(settings: Database, server: str, said: str) -> Finding:
    """Return the finding for a way to authenticate that the driver here does not have."""
    return Finding(
        "rehome_database.user",
        settings.user,
        f"the server at {server} wants to authenticate this user in a way that the driver does not have here ({said})",
        "Set rehome_database.tls, install the package that the message names, or give the user a password of a common "
        "kind (MySQL: caching_sha2_password; MariaDB: mysql_native_password; PostgreSQL: SCRAM)",
        Code.DATABASE_LOGIN,
    )


def too_many(server: str, said: str) -> Finding:
    """Return the finding for a limit on connections or statements that is reached."""
    return Finding(
        "rehome_connections",
        None,
        f"the server at {server} answers, and a limit on connections or statements is reached ({said})",
        "Raise the limit that it names, wait until others have ended, or lower rehome_connections",
        Code.TOO_FEW_CONNECTIONS,
    )


def pooler_refused(server: str, said: str) -> Finding:
    """Return the finding for a connection pooler that refuses what a session needs."""
    return Finding(
        "rehome_database.host",
        server,
        f"a connection pooler answers there, and refuses the connection ({said})",
        "Connect to the database server itself, or to a pool whose pool_mode is session",
        Code.POOLED,
    )
