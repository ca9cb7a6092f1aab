"""How many connections a run may have, whether each keeps its session, and what is said if the server refuses one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.checks import Check
from rehome.config.read import read_settings
from rehome.config.settings import BESIDE_WRITERS, Database
from rehome.db.engines.mysql import connection
from rehome.db.engines.open import connect
from rehome.db.engines.open_inspector import inspector
from rehome.db.engines.postgresql import connection as postgresql_connection
from rehome.errors import RefusedError
from rehome.preflight.sessions import check_sessions
from rehome.state.database_lock import migration_lock

from matrix.servers.pgbouncer import PgBouncer
from sandbox.postgresql import PostgreSQL
from tests.conftest import running
from tests.integration.db.conftest import Bench, only
from tests.unit.config.test_settings import given

ACCOUNT = "limited"

Account = Callable[[str], Database]


@pytest.fixture
def account(bench: Bench) -> Iterator[Account]:
    """Make a user with these options. Returns the database as this user reaches it."""

    def make(options: str) -> Database:
        if bench.engine == "mariadb":
            bench.execute(f"CREATE USER {ACCOUNT} IDENTIFIED BY 'secret' {options}")
            bench.execute(f"GRANT SELECT, UPDATE ON app.* TO {ACCOUNT}")
        else:
            bench.as_superuser(f"CREATE ROLE {ACCOUNT} PASSWORD 'secret' {options}")
        return replace(bench.settings(), user=ACCOUNT, password="secret")

    yield make
    if bench.engine == "mariadb":
        bench.execute(f"DROP USER IF EXISTS {ACCOUNT}")
    else:
        bench.as_superuser(f"DROP ROLE IF EXISTS {ACCOUNT}")


def checks(database: Database, connections: int = 2, *, lenient: bool = False) -> list[Check]:
    """Return what the preflight of a run finds that rewrites rows on so many connections."""
    settings = replace(read_settings(given()), database=database, connections=connections)
    with connect(database) as opened:
        return check_sessions(opened, settings, lenient)


def refusal(database: Database) -> str:
    """Return why no connection is opened."""
    with pytest.raises(RefusedError) as refused, connect(database):
        pass
    return str(refused.value)


def test_a_server_that_grants_all_connections_passes(bench: Bench) -> None:
    assert all(check.status == "pass" for check in checks(bench.settings()))


LIMITS = {"mariadb": "WITH MAX_USER_CONNECTIONS {}", "postgresql": "LOGIN CONNECTION LIMIT {}"}
NAMES = {"mariadb": "max_user_connections is 5", "postgresql": "CONNECTION LIMIT of the role is 5"}


@pytest.mark.direct
@only("mariadb", "postgresql")
def test_an_account_that_may_open_too_few_connections_is_told_before_the_copy(bench: Bench, account: Account) -> None:
    database = account(LIMITS[bench.engine].format(5))
    (stop,) = [check for check in checks(database) if check.status == "stop"]
    text = str(stop.finding)
    assert stop.setting == "rehome_connections"
    assert f"a run needs {2 + BESIDE_WRITERS} connections to the database at once, 2 of them to rewrite rows" in text
    assert "the server refuses number 6" in text
    assert "Set rehome_connections to 1, or raise the limit to at least 6" in text
    assert NAMES[bench.engine] in text
    assert all(check.status == "pass" for check in checks(database, connections=1))
    (warning,) = [check for check in checks(database, lenient=True) if check.name == "connections"]
    assert (warning.status, warning.found) == ("warn", f"{stop.found}; a run would stop")


@pytest.mark.direct
@only("mariadb", "postgresql")
def test_a_limit_that_no_setting_can_meet_must_be_raised(bench: Bench, account: Account) -> None:
    (stop,) = [check for check in checks(account(LIMITS[bench.engine].format(2))) if check.status == "stop"]
    assert stop.advice.startswith("Raise the limit to at least 6")
    assert "the server refuses number 3" in stop.found


@pytest.mark.direct
@only("postgresql")
def test_the_limit_of_a_database_is_told_as_well(bench: Bench) -> None:
    bench.as_superuser("ALTER DATABASE app CONNECTION LIMIT 4")
    try:
        (stop,) = [check for check in checks(bench.settings()) if check.status == "stop"]
    finally:
        bench.as_superuser("ALTER DATABASE app CONNECTION LIMIT -1")
    assert "CONNECTION LIMIT of the database is 4" in stop.advice


@only("mariadb")
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ("MAX_QUERIES_PER_HOUR 200", "stop"),
        ("MAX_UPDATES_PER_HOUR 20", "stop"),
        ("MAX_CONNECTIONS_PER_HOUR 50", "stop"),
        ("MAX_QUERIES_PER_HOUR 1000000", "warn"),
    ],
)
def test_a_limit_per_hour_is_told_by_name(account: Account, options: str, status: str) -> None:
    name, _, value = options.partition(" ")
    (found,) = [check for check in checks(account(f"WITH {options}")) if check.status != "pass"]
    assert found.status == status
    assert f"the account's {name} is {int(value):,}" in found.found
    assert f"Set {name} to 0" in found.advice


@pytest.mark.direct
@only("mariadb", "postgresql")
def test_a_limit_that_is_used_up_is_not_told_as_a_server_that_is_away(bench: Bench, account: Account) -> None:
    database = account(LIMITS[bench.engine].format(1))
    with connect(database):
        text = refusal(database)
    assert "rehome_connections: the server at" in text
    assert "answers, and a limit on connections or statements is reached" in text


@only("mariadb")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("REQUIRE X509", "If the server wants TLS, set rehome_database.tls"),
        ("ACCOUNT LOCK", "knows this user, and does not let it in"),
        ("PASSWORD EXPIRE", "knows this user, and does not let it in"),
    ],
)
def test_an_account_of_mariadb_that_is_closed_is_told_for_its_reason(
    account: Account, options: str, expected: str
) -> None:
    database = account(options)
    assert expected in refusal(database)


@pytest.mark.product("mariadb")  # in MySQL an option of the server's start
@only("mariadb")
@pytest.mark.parametrize("disconnects", [0, 1])
def test_an_expired_password_is_told_whether_the_server_lets_it_in_or_not(
    bench: Bench, account: Account, disconnects: int
) -> None:
    before = bench.execute("SELECT @@GLOBAL.disconnect_on_expired_password")[0][0]
    bench.execute("SET GLOBAL disconnect_on_expired_password = ?", disconnects)
    try:
        assert "knows this user, and does not let it in" in refusal(account("PASSWORD EXPIRE"))
    finally:
        bench.execute("SET GLOBAL disconnect_on_expired_password = ?", before)


@pytest.mark.direct
@only("postgresql")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("NOLOGIN", "knows this user, and does not let it in"),
        ("LOGIN VALID UNTIL '2001-01-01'", "refuses this user with this password"),
    ],
)
def test_a_role_of_postgresql_that_is_closed_is_told_for_its_reason(
    account: Account, options: str, expected: str
) -> None:
    assert expected in refusal(account(options))


@only("mariadb", "postgresql")
def test_the_port_of_another_engine_is_told_as_such(
    bench: Bench, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 1)
    other = "postgresql" if bench.engine == "mariadb" else "mariadb"
    port = request.getfixturevalue(other).database("migrate")["port"]
    text = refusal(bench.settings(port=port))
    assert "no database server answers" not in text
    assert "does not speak as" in text or "accepted there, and then closed or left without an answer" in text


@pytest.fixture(params=["transaction", "statement", "session"])
def pooled(
    request: pytest.FixtureRequest, postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Database]]:
    """A PgBouncer in each mode, and the database through it."""
    folder = tmp_path_factory.mktemp("servers") / "pgbouncer"
    for pool in running(PgBouncer(folder, postgresql, request.param, "default_pool_size = 20")):
        yield request.param, Database(**pool.database("migrate"))


def test_a_pool_of_transactions_is_refused_by_name_and_one_of_sessions_is_used(pooled: tuple[str, Database]) -> None:
    mode, database = pooled
    if mode == "session":
        assert all(check.status == "pass" for check in checks(database))
        with migration_lock(database, "avatars"), connect(database) as opened:
            assert opened.run("SHOW lock_timeout") == [("2s",)]
        return
    with pytest.raises(RefusedError) as refused:
        checks(database)
    with pytest.raises(RefusedError) as not_locked, migration_lock(database, "avatars"):
        pass
    text = str(refused.value)
    assert str(not_locked.value) == text
    assert text.startswith("rehome_database.host (127.0.0.1:")
    assert "a connection pooler in transaction or statement mode (PgBouncer's pool_mode, for example)" in text
    assert "Connect to the database server itself, or to a pool whose pool_mode is session" in text


@only("mariadb")
def test_a_server_whose_crash_undoes_commits_is_warned_of(bench: Bench) -> None:
    bench.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        with connect(bench.settings()) as database:
            found = inspector(database, bench.settings()).server_checks(dry_run=True)
    finally:
        bench.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    (durability,) = [check for check in found if check.name == "durability"]
    assert durability.status == "warn"
    assert "innodb_flush_log_at_trx_commit = 2" in durability.found


@only("postgresql")
def test_a_pool_that_accepts_a_connection_and_lets_it_wait_is_not_told_as_a_server_that_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # libpq takes less than two seconds as two
    monkeypatch.setattr(postgresql_connection, "CONNECT_TIMEOUT_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as pool:
        text = refusal(bench.settings(port=pool.getsockname()[1]))
    assert "the connection is accepted there, and then closed or left without an answer" in text


def test_a_pool_of_too_few_sessions_is_told_and_not_waited_for(
    postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_connection, "CONNECT_TIMEOUT_S", 2)
    more = "default_pool_size = 3\nquery_wait_timeout = 0"
    for pool in running(PgBouncer(tmp_path / "pool", postgresql, "session", more)):
        (stop,) = [check for check in checks(Database(**pool.database("migrate"))) if check.status == "stop"]
    assert "the server refuses number 4" in stop.found
    assert "the connection is accepted there, and then closed or left without an answer" in stop.found


def test_what_a_pooler_says_of_its_server_is_told_for_its_reason(postgresql: PostgreSQL, tmp_path: Path) -> None:
    for pool in running(PgBouncer(tmp_path / "pool", postgresql, "session")):
        database = Database(**pool.database("migrate"))
        assert "no such database" in refusal(replace(database, name="nothing"))
        assert "refuses this user with this password" in refusal(replace(database, password="wrong"))
        assert "refuses this user with this password" in refusal(replace(database, user="nobody"))


@only("postgresql")
@pytest.mark.parametrize(
    ("name", "value"),
    [("PGHOSTADDR", "127.0.0.9"), ("PGOPTIONS", "-c statement_timeout=1"), ("PGTARGETSESSIONATTRS", "read-only")],
)
def test_the_environment_leads_to_no_other_server_or_session(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert bench.rehome().run("SELECT current_setting('statement_timeout')") == [("1min",)]


@only("postgresql")
def test_what_the_driver_refuses_is_not_told_as_the_servers_word(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "nothing")
    assert "the driver does not try to connect (" in refusal(bench.settings())
