"""Run the same tests against each database: a new table, an administrator's connection, and Rehome's own user."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rehome.config.settings import Database
from rehome.db.dialect import Dialect
from rehome.db.engines.open import connect

from tests.statements import execute

ENGINES = ("mariadb", "postgresql", "sqlite")


def only(*engines: str) -> pytest.MarkDecorator:
    """Run a test with these engines only."""
    return pytest.mark.parametrize("bench", engines, indirect=True)


def named_on(products: Mapping[str, Collection[str]]) -> pytest.MarkDecorator:
    """Run a test with each name, on the products that it is for."""
    cases = []
    for name, where in products.items():
        if of_mariadb := [product for product in ("mariadb", "mysql") if product in where]:
            cases.append(pytest.param("mariadb", name, marks=pytest.mark.product(*of_mariadb)))
        if "postgresql" in where:
            cases.append(pytest.param("postgresql", name))
    return pytest.mark.parametrize(("bench", "name"), cases, indirect=["bench"])


class Bench:
    """One database with an administrator's connection, and Rehome's connections on demand.

    `engine` is "mariadb", "postgresql" or "sqlite", and "mariadb" on MySQL, too; `product` is "mysql" there.
    """

    def __init__(
        self,
        engine: str,
        admin: Any,
        database: Callable[[str], dict[str, Any]],
        stack: ExitStack,
        connect_as: Callable[[str], Any],
    ) -> None:
        self.engine = engine
        self.product = str(database("migrate")["engine"])
        self.schema = "rehome"
        self.table = f"t_{secrets.token_hex(4)}"
        self._admin = admin
        self._database = database
        self._stack = stack
        self._connect_as = connect_as

    def settings(self, user: str = "migrate", **changes: Any) -> Database:
        return Database(**(self._database(user) | changes))

    def rehome_database(self, user: str = "migrate") -> dict[str, Any]:
        """Return this database as the setting `rehome_database`."""
        return self._database(user)

    def rehome(self, user: str = "migrate") -> Dialect:
        """Open Rehome's own connection, as this user."""
        return self._stack.enter_context(connect(self.settings(user)))

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as the administrator; `?` marks a parameter and `T` the table of this test."""
        mark = "?" if self.engine == "sqlite" else "%s"
        return execute(self._admin, statement.replace(" T ", f" {self.table} ").replace("?", mark), values)

    def rehome_execute(self, statement: str) -> None:
        """Run a statement as Rehome's own user, who owns the journal."""
        if self.engine == "sqlite":
            self.execute(statement)
            return
        with self._connect_as("migrate") as connection:
            connection.cursor().execute(statement)
            connection.commit()

    def as_superuser(self, statement: str, at_end: ExitStack | None = None) -> None:
        """Run a statement of PostgreSQL as its superuser, now or at the end of the block of `at_end`."""
        if at_end is not None:
            at_end.callback(self.as_superuser, statement)
            return
        with self._connect_as("postgres") as connection:
            connection.execute(statement)

    def another_admin(self) -> Any:
        """Open a connection for an application that writes at the same time."""
        return self._connect_as("admin")

    def table_emptied(self) -> None:
        """Delete all rows of the table, and all entries of the journal."""
        self.execute("DELETE FROM T ")
        journal = "rehome_journal" if self.engine == "sqlite" else "rehome.journal"
        self.rehome_execute(f"DELETE FROM {journal}")

    def create(
        self, key: str = "id BIGINT NOT NULL PRIMARY KEY", column: str = "path VARCHAR(255)", more: str = ""
    ) -> None:
        self.execute(f"CREATE TABLE T ({key}, {column}{more})")

    def fill(self, *values: str | None) -> None:
        """Insert rows 1, 2, 3 … with these values."""
        for number, value in enumerate(values, 1):
            self.execute("INSERT INTO T (id, path) VALUES (?, ?)", number, value)

    def values(self) -> list[Any]:
        return [row[0] for row in self.execute("SELECT path FROM T ORDER BY id")]


@pytest.fixture(params=ENGINES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            path = tmp_path / "app.db"
            admin: Any = stack.enter_context(sqlite3.connect(path))
            database = {"engine": "sqlite", "path": str(path)}
            yield Bench("sqlite", admin, lambda _user: dict(database), stack, lambda _user: admin)
        else:
            server = request.getfixturevalue(request.param)
            admin = server.connect("admin")
            stack.callback(admin.close)
            yield Bench(request.param, admin, server.database, stack, server.connect)
            stack.close()
            _drop_journal(server, request.param)


def _drop_journal(server: Any, engine: str) -> None:
    """Restore the shared server's state. The journal's schema belongs to the user who created it."""
    connection = server.connect("migrate")
    what = "DATABASE IF EXISTS rehome" if engine == "mariadb" else "SCHEMA IF EXISTS rehome CASCADE"
    connection.cursor().execute(f"DROP {what}")
    connection.commit()
    connection.close()


@pytest.fixture
def modest(bench: Bench) -> Iterator[Callable[..., dict[str, str]]]:
    """Create a user with exactly these rights on the table, and return its login."""
    login = {"user": f"u_{bench.table}", "password": "modest"}
    table = bench.table

    def make(*rights: str) -> dict[str, str]:
        if bench.engine == "mariadb":
            bench.execute(f"CREATE USER {login['user']}@'%%' IDENTIFIED BY 'modest'")
            bench.execute(f"GRANT USAGE ON app.* TO {login['user']}@'%%'")
            bench.execute(f"GRANT {', '.join(rights)} ON app.{table} TO {login['user']}@'%%'")
        else:
            bench.execute(f"CREATE ROLE {login['user']} LOGIN PASSWORD 'modest'")
            bench.execute(f"GRANT {', '.join(rights)} ON {table} TO {login['user']}")
        return login

    yield make
    if bench.engine == "mariadb":
        bench.execute(f"DROP USER {login['user']}@'%%'")
    else:
        bench.execute(f"REVOKE ALL ON {table} FROM {login['user']}")
        bench.execute(f"DROP ROLE {login['user']}")
