"""The sandbox's databases: the rights of their users, and a table that behaves the same in all three."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pymysql
import pytest

from sandbox.database import DatabaseServer
from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL
from sandbox.sqlite import SQLite
from tests.statements import execute

REFUSED = (pymysql.err.OperationalError, pymysql.err.ProgrammingError, psycopg.errors.InsufficientPrivilege)


@pytest.fixture(params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    database: DatabaseServer | SQLite = request.getfixturevalue(request.param)
    with closing(database.connect("admin")) as connection:
        yield Row(connection)


class Row:
    """One row of the table, read and changed by single statements."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        execute(connection, "INSERT INTO avatars (user_id, path) VALUES (77, 'image/a.png')")
        ((self._id,),) = execute(connection, "SELECT max(id) FROM avatars")

    def update(self, assignment: str) -> tuple[Any, Any]:
        """Run an UPDATE of the row. Return its creation and change times afterwards."""
        time.sleep(0.005)
        execute(self._connection, f"UPDATE avatars SET {assignment} WHERE id = {self._id}")
        query = f"SELECT created_at, updated_at FROM avatars WHERE id = {self._id}"
        ((created, updated),) = execute(self._connection, query)
        return created, updated


def test_a_change_moves_updated_at(row: Row) -> None:
    created, before = row.update("path = 'image/a.png'")  # its present value: no change
    _, again = row.update("path = 'image/a.png'")
    assert again == before
    same_created, updated = row.update("path = 'avatar/a.png'")
    assert same_created == created
    assert updated > before


def test_an_explicit_updated_at_is_kept(row: Row) -> None:
    _, updated = row.update("path = 'b', updated_at = '2001-02-03 04:05:06'")
    assert str(updated).startswith("2001-02-03 04:05:06")


def test_no_account_works_without_its_password(server: DatabaseServer) -> None:
    settings = server.database("admin")
    for user in (server.superuser, "admin", "migrate", "reader"):
        with pytest.raises((pymysql.err.OperationalError, psycopg.OperationalError)):
            _connect_with(settings | {"user": user, "password": ""})


def test_reader_reads_and_no_more(server: DatabaseServer) -> None:
    with closing(server.connect("reader")) as connection:
        execute(connection, "SELECT count(*) FROM avatars")
        for statement in ("UPDATE avatars SET path = ''", "DELETE FROM avatars", "CREATE SCHEMA rehome"):
            _refused(connection, statement)


def test_migrate_may_what_a_migration_needs_and_no_more(server: DatabaseServer) -> None:
    with closing(server.connect("migrate")) as connection:
        execute(connection, "UPDATE avatars SET path = path")
        execute(connection, "CREATE SCHEMA rehome")
        execute(connection, "CREATE TABLE rehome.journal (id INT)")
        for statement in (
            "INSERT INTO avatars (user_id, path) VALUES (1, '')",
            "DELETE FROM avatars",
            "DROP TABLE avatars",
            "ALTER TABLE avatars ADD COLUMN extra INT",
        ):
            _refused(connection, statement)
    with closing(server.connect("admin")) as connection:
        execute(connection, "DROP TABLE rehome.journal")
        execute(connection, "DROP SCHEMA rehome")


def test_the_servers_listen_on_loopback_only(mariadb: MariaDB, postgresql: PostgreSQL) -> None:
    with closing(mariadb.connect("admin")) as connection:
        assert execute(connection, "SELECT @@bind_address") == [("127.0.0.1",)]
    with closing(postgresql.connect("admin")) as connection:
        assert execute(connection, "SHOW listen_addresses") == [("127.0.0.1",)]


def _connect_with(settings: dict[str, Any]) -> None:
    params = {name: settings[name] for name in ("host", "port", "user", "password")}
    if settings["engine"] == "mariadb":
        pymysql.connect(**params).close()
    else:
        psycopg.connect(**params, dbname=settings["name"]).close()


def _refused(connection: Any, statement: str) -> None:
    with pytest.raises(REFUSED, match=r"denied|permission|owner"):
        execute(connection, statement)
    connection.rollback()
