"""What is said about a connection that failed: each kind for its own reason, and never "no server" if one answered."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pymysql
import pytest
from rehome.config.settings import Database, Tls
from rehome.db.dialect import ConnectionLostError, DatabaseError, ReadOnlyError, RetryableError
from rehome.db.engines.mysql import connection as mysql_opening
from rehome.db.engines.mysql.refused_connection import connection_finding as mysql_finding
from rehome.db.engines.postgresql import connection as postgresql_opening
from rehome.db.engines.postgresql.refused_connection import connection_finding as postgresql_finding
from rehome.errors import RefusedError

MYSQL = Database(engine="mariadb", host="db.example.com", port=3306, name="app", user="migrate")
POSTGRESQL = Database(engine="postgresql", host="db.example.com", port=5432, name="app", user="migrate")


def of_server(number: int, message: str) -> pymysql.Error:
    return pymysql.err.OperationalError(number, message)


def of_system(cause: OSError) -> pymysql.Error:
    error = pymysql.err.OperationalError(2003, f"Can't connect to MySQL server on 'db' ({cause})")
    error.original_exception = cause  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "setting", "problem"),
    [
        (of_server(1040, "Too many connections"), "rehome_connections", "a limit on connections"),
        (of_server(1203, "User migrate already has more than 'max_user_connections'"), "rehome_connections", "limit"),
        (of_server(1226, "User 'migrate' has exceeded the 'max_questions' resource"), "rehome_connections", "limit"),
        (of_server(1129, "Host '10.0.0.1' is blocked"), "rehome_database.user", "from this machine"),
        (of_server(1130, "Host '10.0.0.1' is not allowed"), "rehome_database.user", "from this machine"),
        (of_server(1045, "Access denied for user"), "rehome_database.user", "refuses this user with this password"),
        (of_server(1698, "Access denied for user"), "rehome_database.user", "refuses this user with this password"),
        (of_server(1862, "Your password has expired"), "rehome_database.user", "does not let it in"),
        (of_server(3118, "Access denied. Account is locked."), "rehome_database.user", "does not let it in"),
        (of_server(4151, "Access denied, this account is locked"), "rehome_database.user", "does not let it in"),
        (of_server(3159, "insecure transport are prohibited"), "rehome_database.tls", "secured connections only"),
        (of_server(2026, "SSL is required but the server doesn't support it"), "rehome_database.tls", "secured"),
        (of_server(1049, "Unknown database 'app'"), "rehome_database.name", "no such database"),
        (of_server(2059, "Authentication plugin 'auth_gssapi_client' not configured"), "rehome_database.user", "way"),
        (
            of_server(3032, "The server is currently in offline mode"),
            "rehome_database.host",
            "no clients at the moment",
        ),
        (of_server(1047, "WSREP has not yet prepared node"), "rehome_database.host", "no clients at the moment"),
        (of_server(2003, "Can't connect to remote MySQL server"), "rehome_database.host", "no clients at the moment"),
        (of_server(9001, "Max connect timeout reached"), "rehome_database.host", "no clients at the moment"),
        (of_server(1105, "vttablet: throttled"), "rehome_database", "the server answers, and refuses the connection"),
        (of_server(2013, "Lost connection to MySQL server during query"), "rehome_database.host", "accepted there"),
        (pymysql.err.InternalError("Packet sequence number wrong"), "rehome_database.port", "does not speak"),
        (RuntimeError("'pynacl' package is required"), "rehome_database.user", "the driver does not have"),
        (of_system(ssl.SSLCertVerificationError("certificate has expired")), "rehome_database.tls", "expired"),
        (of_system(ConnectionResetError("reset")), "rehome_database.host", "accepted there"),
        (of_system(ConnectionRefusedError("refused")), "rehome_database.host", "no database server answers there"),
        (of_system(TimeoutError("timed out")), "rehome_database.host", "no database server answers there"),
        (of_system(socket.gaierror("unknown name")), "rehome_database.host", "no database server answers there"),
    ],
    ids=str,
)
def test_each_error_of_mariadb_and_mysql_is_told_for_its_reason(error: Exception, setting: str, problem: str) -> None:
    finding = mysql_finding(MYSQL, error)
    assert finding.setting == setting
    assert problem in finding.problem
    assert str(error.args[-1]) in finding.problem or getattr(error, "original_exception", None)


AT = 'connection to server at "10.1.2.3", port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "setting", "problem"),
    [
        ("FATAL:  unsupported startup parameter: options", "rehome_database.host", "a connection pooler answers there"),
        ("FATAL:  unsupported startup parameter: extra_float_digits", "rehome_database.host", "pooler answers there"),
        ('FATAL:  too many connections for role "migrate"', "rehome_connections", "a limit on connections"),
        ('FATAL:  too many connections for database "app"', "rehome_connections", "a limit on connections"),
        ("FATAL:  sorry, too many clients already", "rehome_connections", "a limit on connections"),
        ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", "rehome_connections", "limit"),
        ("FATAL:  no more connections allowed (max_client_conn)", "rehome_connections", "limit"),
        ("FATAL:  query_wait_timeout", "rehome_connections", "limit"),
        ("FATAL:  Max client connections reached", "rehome_connections", "limit"),
        ("FATAL:  the database system is starting up", "rehome_database.host", "no clients at the moment"),
        ("FATAL:  the database system is shutting down", "rehome_database.host", "no clients at the moment"),
        ("FATAL:  the database system is in recovery mode", "rehome_database.host", "no clients at the moment"),
        (
            "FATAL:  the database system is not accepting connections DETAIL:  Hot standby mode is disabled.",
            "rehome_database.host",
            "no clients at the moment",
        ),
        (
            "FATAL:  server login has been failing, try again later (server_login_retry)",
            "rehome_database.host",
            "cannot log in to the database for this user",
        ),
        (
            'FATAL:  server login has been failing, cached error: permission denied for database "app" '
            "(server_login_retry)",
            "rehome_database.user",
            "may not connect to database app",
        ),
        (
            'FATAL:  server login has been failing, cached error: role "migrate" is not permitted to log in '
            "(server_login_retry)",
            "rehome_database.user",
            "does not let it in",
        ),
        (
            "FATAL:  server login has been failing, cached error: the database system is starting up "
            "(server_login_retry)",
            "rehome_database.host",
            "no clients at the moment",
        ),
        ('FATAL:  password authentication failed for user "migrate"', "rehome_database.user", "with this password"),
        ("FATAL:  SASL authentication failed", "rehome_database.user", "with this password"),
        ("FATAL:  no such user: migrate", "rehome_database.user", "with this password"),
        ('FATAL:  Peer authentication failed for user "migrate"', "rehome_database.user", "with this password"),
        ("fe_sendauth: no password supplied", "rehome_database.user", "with this password"),
        ('FATAL:  role "migrate" does not exist', "rehome_database.user", "with this password"),
        ('FATAL:  role "migrate" is not permitted to log in', "rehome_database.user", "does not let it in"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "migrate", database "app", no encryption',
            "rehome_database.user",
            "does not take this user from this machine",
        ),
        ("FATAL:  pg_hba.conf rejects connection for host", "rehome_database.user", "from this machine"),
        ("FATAL:  SSL required", "rehome_database.tls", "secured connections only"),
        ("FATAL:  SSL connection is required", "rehome_database.tls", "secured connections only"),
        ("server does not support SSL, but SSL was required", "rehome_database.tls", "could not be secured"),
        ("FATAL:  connection requires a valid client certificate", "rehome_database.tls", "could not be secured"),
        ("SSL error: certificate verify failed", "rehome_database.tls.ca", "could not be secured"),
        (
            'server certificate for "db.example.com" does not match host name "10.1.2.3"',
            "rehome_database.host",
            "could not be secured",
        ),
        ('FATAL:  database "app" does not exist', "rehome_database.name", "no such database"),
        ("FATAL:  no such database: app", "rehome_database.name", "no such database"),
        ("none of the server's SASL authentication mechanisms are supported", "rehome_database.user", "in a way"),
        ("received invalid response to SSL negotiation: H", "rehome_database.port", "does not speak as PostgreSQL"),
        ("expected authentication request from server, but received 5", "rehome_database.port", "does not speak"),
        ("server closed the connection unexpectedly", "rehome_database.host", "accepted there, and then closed"),
        ("ВАЖНО:  роль уже занята", "rehome_database", "the server answers, and refuses the connection"),
        ("FATAL:  something entirely new", "rehome_database", "the server answers, and refuses the connection"),
        ("Connection refused Is the server running on that host?", "rehome_database.host", "no database server"),
        ("timeout expired", "rehome_database.host", "no database server"),
    ],
)
def test_each_error_of_postgresql_and_its_poolers_is_told_for_its_reason(
    message: str, setting: str, problem: str
) -> None:
    finding = postgresql_finding(POSTGRESQL, psycopg.OperationalError(f"{AT}{message}"))
    assert finding.setting == setting
    assert problem in finding.problem
    assert " ".join(message.split()) in finding.problem


def test_a_name_in_the_message_does_not_decide_what_it_is_about() -> None:
    error = psycopg.OperationalError(
        'connection to server at "pooler-tls.example.com" (10.0.0.1), port 5432 failed: FATAL:  database "password" '
        "does not exist"
    )
    assert postgresql_finding(POSTGRESQL, error).setting == "rehome_database.name"


@pytest.mark.parametrize(
    ("tls", "advice"),
    [(Tls(), "If the server wants TLS, set rehome_database.tls"), (Tls(enabled=True), "rehome_database.tls.cert")],
)
def test_a_refused_user_is_told_of_tls_which_the_account_may_require(tls: Tls, advice: str) -> None:
    settings = Database(engine="mariadb", host="db", name="app", user="migrate", tls=tls)
    finding = mysql_finding(settings, of_server(1045, "Access denied for user 'migrate'@'10.0.0.1'"))
    assert advice in finding.way_out


@contextmanager
def speaking(greeting: bytes) -> Iterator[int]:
    """A program of another kind on a port: it sends this and closes, or sends nothing and stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            client, _ = server.accept()
            with closing(client):
                client.sendall(greeting)
                if not greeting:
                    over.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("greeting", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak as MariaDB or MySQL"),
        (b"220 mail.example.com ESMTP\r\n", "does not speak as MariaDB or MySQL"),
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "does not speak as MariaDB or MySQL"),
        (b"\x05\x00\x00\x00\x0b\x08\x05\x1a\x00", "does not speak as MariaDB or MySQL"),
        (b"", "accepted there, and then closed or left without an answer"),
    ],
    ids=["ssh", "smtp", "http", "x protocol", "silence"],
)
def test_a_program_of_another_kind_is_told_as_such_and_not_waited_for_long(
    greeting: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_opening, "CONNECT_TIMEOUT_S", 1)
    with speaking(greeting) as port, pytest.raises(RefusedError, match=problem):
        mysql_opening.open_connection(Database(engine="mysql", host="127.0.0.1", port=port, name="a", user="b"), 300)


@pytest.mark.parametrize(
    ("number", "message", "kind"),
    [
        (1290, "The MariaDB server is running with the --read-only option", ReadOnlyError),
        (1290, "The MariaDB server is running with the --max-session-mem-used=1 option", DatabaseError),
        (1317, "Query execution was interrupted", RetryableError),
        (1206, "The total number of locks exceeds the lock table size", RetryableError),
    ],
)
def test_a_killed_statement_is_tried_again_and_an_option_of_another_kind_is_not_waited_for(
    number: int, message: str, kind: type[DatabaseError]
) -> None:
    assert type(mysql_opening.translated(of_server(number, message))) is kind


@pytest.mark.parametrize("lost", ["57P01", "57P05", "25P04", "25P03", "08P01"])
def test_a_session_that_the_server_or_a_pooler_has_ended_is_a_lost_connection(lost: str) -> None:
    error = psycopg.errors.lookup(lost)("FATAL: terminating connection")
    assert type(postgresql_opening.translated(error)) is ConnectionLostError
