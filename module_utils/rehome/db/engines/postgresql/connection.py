"""Open a connection to PostgreSQL, and translate its errors."""

from __future__ import annotations

from collections.abc import Sequence
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
from .refused_connection import connection_finding

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
            port=settings.port or 5432,
            dbname=settings.name,
            user=settings.user,
            password=settings.password,
            connect_timeout=10,
            application_name="rehome",
            client_encoding="UTF8",
            autocommit=True,
            sslmode=mode if tls.enabled else "prefer",
            sslrootcert=(tls.ca or "system") if tls.enabled and tls.verify else tls.ca,
            sslcert=tls.cert,
            sslkey=tls.key,
        )
    except psycopg.Error as error:
        raise RefusedError([connection_finding(settings, error)]) from error


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
