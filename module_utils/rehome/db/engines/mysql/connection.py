"""Open a connection to MariaDB or MySQL, and translate its errors."""

from __future__ import annotations

import ssl
from typing import Final

import pymysql
from pymysql.constants import CLIENT

from ....config.settings import Database
from ....errors import Finding, RefusedError
from ...dialect import (
    ConnectionLostError,
    DatabaseError,
    MissingRightError,
    ReadOnlyError,
    RetryableError,
    RowRefusedError,
)
from ..base import no_server, server_address, user_refused

DEADLOCK_OR_TIMEOUT: Final = {1205, 1213, 1020, 1969, 3024, 1637}
"""1020: the row changed since the snapshot; 1969 and 3024: a statement timeout of MariaDB and of MySQL."""

CONNECTION_LOST: Final = {0, 1053, 1927, 2006, 2013, 2014, 2055, 4031}
"""0 is PyMySQL's own, for a closed connection; 1053: shutting down; 1927: killed; 4031: idle for too long."""

READ_ONLY: Final = {1047, 1290, 1792, 1836, 3100}
"""1047: a Galera node that is not ready."""

ROW_REFUSED: Final = {1048, 1062, 1264, 1300, 1366, 1406, 1451, 1452, 1644, 3819, 4025}
"""Duplicate keys, values that do not fit, foreign keys, checks (3819 MySQL, 4025 MariaDB), and SIGNALs of triggers."""

MISSING_RIGHT: Final = {1044, 1142, 1143, 1227, 1345, 1370}
"""On a database, a table, a column, of an administrator, to explain a view, to execute a routine."""

_ERRORS: Final[tuple[tuple[set[int], type[DatabaseError]], ...]] = (
    (CONNECTION_LOST, ConnectionLostError),
    (READ_ONLY, ReadOnlyError),
    (DEADLOCK_OR_TIMEOUT, RetryableError),
    (ROW_REFUSED, RowRefusedError),
    (MISSING_RIGHT, MissingRightError),
)


def open_connection(settings: Database, read_timeout_s: int) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """Open a connection. Raises RefusedError, naming the setting that is wrong.

    read_timeout_s: how long the server may be silent during a statement
    """
    try:
        return pymysql.connect(
            host=settings.host or "localhost",
            port=settings.port or 3306,
            unix_socket=settings.socket,
            user=settings.user,
            # as UTF-8: PyMySQL would encode a text as Latin-1, and on failure quote it in the error
            password=(settings.password or "").encode(),
            database=settings.name,
            charset="utf8mb4",
            # count matched rows, not changed ones: an update to the same value must not look like a lost one
            client_flag=CLIENT.FOUND_ROWS,
            autocommit=True,
            connect_timeout=10,
            read_timeout=read_timeout_s,
            write_timeout=read_timeout_s,
            ssl=_tls_context(settings),
            program_name="rehome",
        )
    except (pymysql.Error, OSError, UnicodeError) as error:
        raise RefusedError([connection_finding(settings, error)]) from error


def _tls_context(settings: Database) -> ssl.SSLContext | None:
    if not settings.tls.enabled:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls.ca)
    except (OSError, ssl.SSLError) as error:
        finding = Finding(
            "rehome_database.tls.ca",
            settings.tls.ca,
            f"cannot be read as certificates ({error})",
            "Name a readable file of CA certificates in PEM form",
        )
        raise RefusedError([finding]) from error
    if not settings.tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.tls.cert:
        context.load_cert_chain(settings.tls.cert, settings.tls.key)
    return context


def connection_finding(settings: Database, error: Exception) -> Finding:
    """Return the finding for a connection that failed, by the error numbers of server and client."""
    number = error.args[0] if error.args else None
    said = str(error.args[-1]) if error.args else str(error)
    server = server_address(settings, 3306)
    match number:
        case 1045 | 1698:
            return user_refused(settings, server)
        case 1044 | 1049:
            return Finding(
                "rehome_database.name",
                settings.name,
                f"the server at {server} has no such database for user {settings.user}",
                "Correct rehome_database.name (or DB_NAME), or grant the user access to it",
            )
        case 2003 | 2005 | 2002:
            return no_server(server, said)
    return Finding(
        "rehome_database",
        server,
        f"the connection failed ({said})",
        "Check host, port and TLS settings under rehome_database",
    )


def translated(error: pymysql.Error) -> DatabaseError:
    """Return the error as the subclass of DatabaseError that says what can be done about it."""
    number = error.args[0] if error.args else 0
    kind = next((kind for numbers, kind in _ERRORS if number in numbers), DatabaseError)
    return kind.quoting(f"{error.args[-1] if error.args else error} (error {number})", str(number))
