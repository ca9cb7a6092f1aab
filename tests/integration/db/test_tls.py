"""TLS to the database, with every fault that a certificate may have, and logins without it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from rehome.config.settings import Database, Tls
from rehome.db.engines.open import connect
from rehome.errors import RefusedError

from sandbox.database import DatabaseServer
from sandbox.lifecycle import Servers
from sandbox.postgresql import _service_account
from tests.conftest import running
from tests.integration.db.certificates import Authority

ENGINES = ("mariadb", "postgresql")
WITHOUT = {"mariadb": ["--skip-ssl"], "mysql": ["--tls-version="], "postgresql": ["-c", "ssl=off"]}
RELOAD_S = 20


class Secured:
    """A private server whose certificate a test replaces."""

    def __init__(self, server: Any, authority: Authority) -> None:
        self.authority = authority
        self._server = server

    def present(self, **certificate: Any) -> None:
        """Let the server have another certificate (see `Authority.sign`)."""
        folder = self._server.folder.parent
        self.authority.sign(folder / "server.pem", folder / "server.key", **certificate)
        _own(folder / "server.key")
        if self._server.engine == "postgresql":
            with self._server._connect("postgres", "postgres", autocommit=True) as superuser:
                superuser.execute("SELECT pg_reload_conf()")
            return
        with self._server.connect("admin") as admin:
            admin.cursor().execute("ALTER INSTANCE RELOAD TLS" if self._server.engine == "mysql" else "FLUSH SSL")

    def settings(self, **tls: Any) -> Database:
        return Database(**self._server.database("migrate"), tls=Tls(enabled=True, **{"verify": True, **tls}))


def _own(key: Path) -> None:
    """Give a key to the account that PostgreSQL runs as: it refuses any other's."""
    if os.geteuid() == 0:
        account = _service_account()
        os.chown(key, account.pw_uid, account.pw_gid)


@pytest.fixture(scope="module", params=ENGINES)
def secured(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    authority = Authority(folder / "ca.pem", "authority")
    certificate, key = folder / "server.pem", folder / "server.key"
    authority.sign(certificate, key)
    _own(key)
    options = {
        # MySQL holds its certificate against the authority
        "mariadb": [f"--ssl-ca={authority.file}", f"--ssl-cert={certificate}", f"--ssl-key={key}"],
        "postgresql": ["-c", "ssl=on", "-c", f"ssl_cert_file={certificate}", "-c", f"ssl_key_file={key}"],
    }[request.param]
    for server in running(_with_options(getattr(servers, request.param), folder / "server", options)):
        yield Secured(server, authority)


def _with_options(kind: type[DatabaseServer], folder: Path, options: list[str]) -> DatabaseServer:
    made = type(kind.__name__, (kind,), {"command": lambda self: [*kind.command(self), *options]})
    return made(folder)


def refusal(database: Database) -> str:
    """Return why no connection is opened; empty if one is."""
    try:
        with connect(database):
            return ""
    except RefusedError as refused:
        (finding,) = refused.findings
        return str(finding)


def eventually(read: Callable[[], str], words: str) -> str:
    """Return what `read` returns as soon as it has `words`: a certificate is loaded, and expires, a moment later."""
    deadline = time.monotonic() + RELOAD_S
    while words not in (said := read()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert words in said
    return said


def is_secured(database: Database) -> bool:
    with connect(database) as opened:
        if database.engine == "postgresql":
            return bool(opened.run("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0][0])
        return bool(opened.run("SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1])


@pytest.mark.direct
def test_a_certificate_that_is_right_secures_the_connection(secured: Secured) -> None:
    secured.present()
    assert is_secured(secured.settings(ca=str(secured.authority.file)))


@pytest.mark.direct
def test_a_certificate_for_another_host_is_told_with_the_setting_of_the_host(secured: Secured) -> None:
    secured.present(host="db.example.com")
    said = eventually(
        lambda: refusal(secured.settings(ca=str(secured.authority.file))), "the server's certificate is for another"
    )
    assert said.startswith("rehome_database.host (127.0.0.1:")
    assert "no database server answers" not in said and "firewall" not in said
    assert is_secured(secured.settings(verify=False))


@pytest.mark.direct
def test_a_certificate_that_has_expired_is_told_with_the_setting_of_tls(secured: Secured) -> None:
    # MySQL loads none that has expired already
    secured.present(seconds=2)
    said = eventually(lambda: refusal(secured.settings(ca=str(secured.authority.file))), "could not be secured")
    assert said.startswith("rehome_database.tls") and "expired" in said
    assert "no database server answers" not in said


@pytest.mark.direct
@pytest.mark.parametrize("named", [True, False])
def test_a_certificate_of_an_unknown_authority_is_told_with_the_setting_of_the_authority(
    secured: Secured, tmp_path: Path, named: bool
) -> None:
    secured.present()
    other = Authority(tmp_path / "other.pem", "another authority")
    said = refusal(secured.settings(ca=str(other.file) if named else None))
    assert said.startswith("rehome_database.tls.ca (127.0.0.1:")
    assert "this machine does not trust the server's certificate" in said
    assert "no database server answers" not in said


@pytest.fixture(scope="module", params=ENGINES)
def plain(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseServer]:
    """A private server without TLS."""
    kind = getattr(servers, request.param)
    folder = tmp_path_factory.mktemp("plain")
    folder.chmod(0o755)
    yield from running(_with_options(kind, folder / "server", WITHOUT[kind.engine]))


def test_a_server_without_tls_is_told_as_such_before_the_password_is_sent(plain: DatabaseServer) -> None:
    said = refusal(Database(**plain.database("migrate"), tls=Tls(enabled=True, verify=False)))
    assert said.startswith("rehome_database.tls (127.0.0.1:")
    assert "the connection could not be secured: the server offers no TLS" in said
    assert not is_secured(Database(**plain.database("migrate")))


def test_a_wrong_password_is_told_without_tls_as_well(plain: DatabaseServer) -> None:
    said = refusal(replace(Database(**plain.database("migrate")), password="wrong"))
    assert "refuses this user with this password" in said and "If the server wants TLS, set rehome_database.tls" in said


@pytest.mark.parametrize("plain", ["mariadb"], indirect=True)
def test_an_account_that_requires_tls_is_told_where_there_is_none(plain: Any) -> None:
    with plain.connect("admin") as admin:
        admin.cursor().execute("CREATE USER strict IDENTIFIED BY 'secret' REQUIRE SSL")
    said = refusal(replace(Database(**plain.database("migrate")), user="strict", password="secret"))
    assert "If the server wants TLS, set rehome_database.tls" in said


@pytest.mark.product("mysql")
@pytest.mark.parametrize("plain", ["mariadb"], indirect=True)
def test_a_login_by_caching_sha2_password_works_without_tls_and_names_the_package_that_it_lacks(
    plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(**plain.database("migrate"))
    with plain.connect("admin") as admin:
        # forgets who has logged in: the next login sends the password, encrypted with the server's key
        admin.cursor().execute("FLUSH PRIVILEGES")
    monkeypatch.setattr(pymysql._auth, "_have_cryptography", False)
    said = refusal(database)
    assert "'cryptography' package is required" in said and "Set rehome_database.tls" in said
    monkeypatch.undo()
    assert not is_secured(database)
