"""Open a connection to MariaDB or MySQL, and translate its errors."""

from __future__ import annotations

import re
import ssl
import struct
from typing import Final

import pymysql
from pymysql.constants import CLIENT

from ....codes import Code
from ....config.settings import Database
from ....errors import Finding, RefusedError
from ...dialect import (
    ConnectionLostError,
    DatabaseError,
    MissingRightError,
    ReadOnlyError,
    RetryableError,
    RowRefusedError,
    StatementTimeoutError,
    TakenError,
)
from .refused_connection import connection_finding

DEADLOCK_OR_TIMEOUT: Final = {1205, 1206, 1213, 1020, 1317, 1412, 1637}
"""1206: no memory for more locks; 1020 and 1412: a row or a table changed since the snapshot; 1317: KILL QUERY by an
administrator."""

STATEMENT_TIMEOUT: Final = {1969, 3024}
"""Of MariaDB, and of MySQL."""

CONNECTION_LOST: Final = {0, 1053, 1927, 2006, 2013, 2014, 2055, 4031}
"""0 is PyMySQL's own, for a closed connection; 1053: shutting down; 1927: killed; 4031: idle for too long."""

READ_ONLY: Final = {1047, 1290, 1792, 1836, 3100, 3989}
"""1047: a Galera node that is not ready; 3989: a database that was made read-only."""

OPTION_PREVENTS: Final = 1290
"""An option of the server prevents the statement; its name, which no language changes, is in the message."""

CANNOT_LOCK: Final = 1015
"""InnoDB cannot lock the table; with its error 165, because it is read-only."""

TAKEN: Final = {1062, 1169, 1586, 1761, 1762}
"""Duplicate keys; 1761 and 1762: of a child that a foreign key would change as well."""

ROW_REFUSED: Final = {
    *(1048, 1264, 1265, 1292, 1300, 1365, 1366, 1406, 1526, 1690),
    *(1216, 1217, 1451, 1452),
    *(3140, 3751, 3752, 3819, 3903, 3904, 4025),
    1644,
}
"""Values that do not fit or cannot be computed, foreign keys, checks (3819 MySQL, 4025 MariaDB), indexes over
expressions, and SIGNALs of triggers without a number. The list need not be complete, nor right: a SIGNAL may have any
number. A row is refused if others are not."""

MISSING_RIGHT: Final = {1044, 1142, 1143, 1227, 1345, 1370}
"""On a database, a table, a column, of an administrator, to explain a view, to execute a routine."""

_ERRORS: Final[tuple[tuple[set[int], type[DatabaseError]], ...]] = (
    (CONNECTION_LOST, ConnectionLostError),
    (READ_ONLY, ReadOnlyError),
    (DEADLOCK_OR_TIMEOUT, RetryableError),
    (STATEMENT_TIMEOUT, StatementTimeoutError),
    (TAKEN, TakenError),
    (ROW_REFUSED, RowRefusedError),
    (MISSING_RIGHT, MissingRightError),
)


CONNECT_TIMEOUT_S: Final = 10

# PyMySQL lets through what it meets in bytes that are none of the protocol, and a package that a plugin needs.
_FAILURES: Final = (pymysql.Error, OSError, UnicodeError, RuntimeError, ValueError, IndexError, struct.error)


class _Connection(pymysql.Connection):
    """A connection that is encrypted if the server can, where no TLS is asked for.

    PyMySQL reads all authorities of the system for that, 30 ms of CPU a connection, and then verifies nothing.
    """

    def _create_ssl_ctx(self, sslp: ssl.SSLContext | dict[str, object]) -> ssl.SSLContext:
        if isinstance(sslp, ssl.SSLContext):
            return sslp
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def open_connection(settings: Database, read_timeout_s: int) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """Open a connection. Raises RefusedError, naming the setting that is wrong.

    read_timeout_s: how long the server may be silent during a statement
    """
    try:
        connection = _Connection(
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
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=CONNECT_TIMEOUT_S,
            write_timeout=CONNECT_TIMEOUT_S,
            ssl=_tls_context(settings),
            program_name="rehome",
        )
    except _FAILURES as error:
        raise RefusedError([connection_finding(settings, error)]) from error
    # Only now: a program of another kind on that port would be waited for as long as for a statement. PyMySQL has no
    # public name for these.
    connection._read_timeout = connection._write_timeout = read_timeout_s  # type: ignore[attr-defined]
    return connection


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
            Code.DATABASE_TLS,
        )
        raise RefusedError([finding]) from error
    # the default of Python 3.13 refuses authorities that servers make for themselves, as MySQL does
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not settings.tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.tls.cert:
        try:
            context.load_cert_chain(settings.tls.cert, settings.tls.key)
        except (OSError, ssl.SSLError) as error:
            finding = Finding(
                "rehome_database.tls.cert",
                settings.tls.cert,
                f"cannot be read as a certificate with its private key ({error})",
                "Name readable files of the client's certificate and of its key in PEM form",
                Code.DATABASE_TLS,
            )
            raise RefusedError([finding]) from error
    return context


def translated(error: pymysql.Error) -> DatabaseError:
    """Return the error as the subclass of DatabaseError that says what can be done about it."""
    number = error.args[0] if error.args else 0
    said = str(error.args[-1] if error.args else error)
    kind = next((kind for numbers, kind in _ERRORS if number in numbers), DatabaseError)
    if number == OPTION_PREVENTS and not re.search("read.only", said):
        kind = DatabaseError
    if number == CANNOT_LOCK and "165" in said:
        kind = ReadOnlyError
    return kind.quoting(f"{said} (error {number})", str(number))
