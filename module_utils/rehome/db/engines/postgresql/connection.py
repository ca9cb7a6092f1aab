"""Open a connection to PostgreSQL, and translate its errors."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors as pg_errors

from ....config.settings import Database
from ....errors import RefusedError
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
from .refused_connection import connection_finding, unanswered

RETRYABLE: Final = (
    pg_errors.SerializationFailure,
    pg_errors.DeadlockDetected,
    pg_errors.LockNotAvailable,
)
LOST: Final = (
    pg_errors.AdminShutdown,
    pg_errors.CrashShutdown,
    pg_errors.CannotConnectNow,
    pg_errors.ConnectionException,
    pg_errors.ConnectionFailure,
    pg_errors.ConnectionDoesNotExist,
    # what connection poolers say before they close a connection
    pg_errors.ProtocolViolation,
    pg_errors.IdleInTransactionSessionTimeout,
    pg_errors.IdleSessionTimeout,
    pg_errors.TransactionTimeout,
)
SERVER_TROUBLE: Final = ("08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "F0", "XX")
"""Classes of SQLSTATE about the connection, the statement or the server. All others are about the row
("PostgreSQL Error Codes", appendix A of its manual), unless a trigger raises them: a row is refused if others are
not."""


PORT: Final = 5432
CONNECT_TIMEOUT_S: Final = 10
ACCEPT_TIMEOUT_S: Final = 2.0


class UnsupportedError(DatabaseError):
    """The server does not support the statement for this table: an UPDATE within WITH, if the table has rules."""


_KINDS: Final[Sequence[tuple[tuple[type[psycopg.Error], ...], type[DatabaseError]]]] = (
    ((pg_errors.FeatureNotSupported,), UnsupportedError),
    ((pg_errors.ReadOnlySqlTransaction,), ReadOnlyError),
    (RETRYABLE, RetryableError),
    ((pg_errors.QueryCanceled,), StatementTimeoutError),
    ((pg_errors.UniqueViolation, pg_errors.ExclusionViolation), TakenError),
    ((pg_errors.InsufficientPrivilege,), MissingRightError),
)


def open_connection(settings: Database) -> psycopg.Connection[Any]:
    """Open a connection. Raises RefusedError, naming the setting that is wrong."""
    tls = settings.tls
    mode = "verify-full" if tls.verify else "require"
    try:
        return psycopg.connect(
            host=settings.socket or settings.host,
            port=settings.port or PORT,
            dbname=settings.name,
            user=settings.user,
            password=settings.password,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="rehome",
            client_encoding="UTF8",
            # PGHOSTADDR, PGOPTIONS and PGTARGETSESSIONATTRS would name another server, preset the session, or refuse it
            hostaddr="",
            options="",
            target_session_attrs="any",
            autocommit=True,
            sslmode=mode if tls.enabled else "prefer",
            sslrootcert=(tls.ca or "system") if tls.enabled and tls.verify else tls.ca,
            sslcert=tls.cert,
            sslkey=tls.key,
        )
    except pg_errors.ConnectionTimeout as error:
        # libpq does not say whether the address was reached: a pool whose sessions are all taken accepts, and waits
        finding = unanswered(settings, str(error)) if _is_accepted(settings) else connection_finding(settings, error)
        raise RefusedError([finding]) from error
    except psycopg.Error as error:
        raise RefusedError([connection_finding(settings, error)]) from error


@contextmanager
def cut_after_timeout(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Cut the connection if the block takes longer than a connection may: a pool without a free session lets wait.

    The block's statement then raises a lost connection.
    """
    timer = threading.Timer(CONNECT_TIMEOUT_S, _shut_down, (connection.fileno(),))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def _is_accepted(settings: Database) -> bool:
    """Return whether something accepts connections at the server's address."""
    if settings.socket:
        return True  # a socket without a listener refuses at once
    try:
        socket.create_connection((settings.host or "localhost", settings.port or PORT), ACCEPT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def translated(error: psycopg.Error) -> DatabaseError:
    """Return the error as the subclass of DatabaseError that says what can be done about it."""
    said = " ".join(str(error).split())
    if isinstance(error, LOST) or (error.sqlstate is None and isinstance(error, psycopg.OperationalError)):
        return ConnectionLostError.quoting(said)
    return _kind(error).quoting(f"{said} (SQLSTATE {error.sqlstate})", error.sqlstate or "")


def _kind(error: psycopg.Error) -> type[DatabaseError]:
    for causes, kind in _KINDS:
        if isinstance(error, causes):
            return kind
    row_refused = (error.sqlstate or SERVER_TROUBLE[0])[:2] not in SERVER_TROUBLE
    return RowRefusedError if row_refused else DatabaseError
