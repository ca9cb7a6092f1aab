"""TODO-DOC."""

from __future__ import annotations

import ssl
from typing import Final

import pymysql

from ....config.settings import Database
from ....errors import Finding, RefusedError
from ...dialect import (
    ConnectionLostError,
    DatabaseError,
    ReadOnlyError,
    RetryableError,
    RowRefusedError,
)

DEADLOCK_OR_TIMEOUT: Final = {1205, 1213, 1020, 1969, 3024, 1637}
"""1020: the row changed since the snapshot; 1969 and 3024: the statement's time-out, of MariaDB and of MySQL."""


CONNECTION_LOST: Final = {0, 1053, 1927, 2006, 2013, 2014, 2055, 4031}
"""0 is PyMySQL's own, for a connection that is closed; 1053: shutting down; 1927: killed; 4031: idle for too long."""


READ_ONLY: Final = {1047, 1290, 1792, 1836, 3100}
"""1047: a Galera node that is not ready."""


ROW_REFUSED: Final = {1048, 1062, 1264, 1300, 1366, 1406, 1451, 1452, 1644, 3819, 4025}
"""Duplicate keys, values that do not fit, foreign keys, checks (3819 MySQL, 4025 MariaDB), and SIGNALs of triggers."""


SESSION: Final = (
    # Strict, or an overlong value is cut with a warning; nothing else, so that old zero dates stay as they are.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
    # Assigning a TIMESTAMP to itself must not pass through an hour that daylight saving repeats.
    "SET SESSION time_zone = '+00:00'",
    # No gap locks: the application may insert while a chunk is open.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    # In a conflict it is this tool that loses, not the application.
    "SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 10",
    # A chunk's values come back as one text.
    "SET SESSION group_concat_max_len = 1073741824",
)


SESSION_MARIADB: Final = (
    # A list of keys must stay a list: made into a subquery, it would be joined and lock what it reads.
    "SET SESSION in_predicate_conversion_threshold = 0",
    # What we may have lost must not hold its locks for hours.
    "SET SESSION idle_transaction_timeout = 15, max_statement_time = 60",
)


SESSION_MYSQL: Final = (
    # Else a long list of keys means a scan of the table.
    "SET SESSION range_optimizer_max_mem_size = 0",
    "SET SESSION wait_timeout = 120, max_execution_time = 60000",
)


def tls_context(settings: Database) -> ssl.SSLContext | None:
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
    number = error.args[0] if error.args else None
    said = str(error.args[-1]) if error.args else str(error)
    where = settings.socket or f"{settings.host}:{settings.port or 3306}"
    match number:
        case 1045 | 1698:
            return Finding(
                "rehome_database.user",
                settings.user,
                f"the server at {where} refuses this user with this password",
                "Correct rehome_database.user and rehome_database.password (or DB_USER and DB_PASSWD)",
            )
        case 1044 | 1049:
            return Finding(
                "rehome_database.name",
                settings.name,
                f"the server at {where} has no such database for user {settings.user}",
                "Correct rehome_database.name (or DB_NAME), or grant the user access to it",
            )
        case 2003 | 2005 | 2002:
            return Finding(
                "rehome_database.host",
                where,
                f"no database server answers there ({said})",
                "Correct rehome_database.host and port (or DB_HOST), and see that the server runs and is not "
                "behind a firewall",
            )
    return Finding(
        "rehome_database",
        where,
        f"the connection failed ({said})",
        "Check host, port and TLS settings under rehome_database",
    )


def translated(error: pymysql.Error) -> DatabaseError:
    number = error.args[0] if error.args else 0
    said = f"{error.args[-1] if error.args else error} (error {number})"
    if number in CONNECTION_LOST:
        return ConnectionLostError(f"the connection to the database was lost: {said}")
    if number in READ_ONLY:
        return ReadOnlyError(f"the database takes no writes now: {said}")
    if number in DEADLOCK_OR_TIMEOUT:
        return RetryableError(f"the database asks to try again: {said}")
    if number in ROW_REFUSED:
        return RowRefusedError(f"the database refuses the row: {said}")
    return DatabaseError(f"the database answered: {said}")
