"""Real replicas for the tests: a PostgreSQL standby, a MariaDB and a MySQL replica, private and short-lived."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matrix.servers.mysql import MySQL
from sandbox.files import write_private
from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL, _service_account
from sandbox.server import Login


class Standby(PostgreSQL):
    """A streaming standby of another private server, made by pg_basebackup."""

    def __init__(self, folder: Path, primary: PostgreSQL) -> None:
        super().__init__(folder)
        self._primary = primary
        self.program = primary.program  # of the same version

    def new_logins(self) -> dict[str, Login]:
        return dict(self._primary.state.logins)

    def prepare(self) -> None:
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        passwords = self.folder / "pgpass"
        login = self._primary.state.logins[self.superuser]
        write_private(passwords, f"*:*:*:{login.name}:{login.secret}\n")
        _give_to_the_server(data, passwords)
        self.run_tool(
            [
                *self._primary.tool("pg_basebackup"),
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
                f"--pgdata={data}",
                f"--dbname={self._where()}",
            ],
            self.folder,
        )
        # Not by --write-recovery-conf: a newer pg_basebackup writes options that an older server does not know.
        signal = data / "standby.signal"
        signal.touch()
        _give_to_the_server(signal)

    def command(self) -> Sequence[str]:
        return [*super().command(), "-c", f"primary_conninfo={self._where()}"]

    def _where(self) -> str:
        port, login = self._primary.state.ports["sql"], self._primary.state.logins[self.superuser]
        return f"host=127.0.0.1 port={port} user={login.name} passfile={self.folder / 'pgpass'}"

    def populate(self) -> None:
        """All comes from the primary."""

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connect(self.superuser, "app", autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _give_to_the_server(*paths: Path) -> None:
    """Give files to the user whom the server runs as, if root starts it."""
    if os.geteuid() == 0:
        account = _service_account()
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid)


class Primary(MariaDB):
    """A MariaDB that writes a binary log."""

    def command(self) -> Sequence[str]:
        return [*super().command(), "--log-bin=binlog", "--server-id=1", "--binlog-format=ROW"]


class Replica(MariaDB):
    """A MariaDB that follows a `Primary` from its beginning; its users are its own."""

    def __init__(self, folder: Path, primary: Primary) -> None:
        super().__init__(folder)
        self._primary = primary

    def new_logins(self) -> dict[str, Login]:
        return dict(self._primary.state.logins)

    def command(self) -> Sequence[str]:
        return [*super().command(), "--server-id=2"]

    def populate(self) -> None:
        port, login = self._primary.state.ports["sql"], self._primary.state.logins["admin"]
        self.ask(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='{login.name}',"
            f" MASTER_PASSWORD='{login.secret}', MASTER_USE_GTID=slave_pos"
        )
        self.ask("START SLAVE")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connect("admin") as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


class MySQLReplica(MySQL):
    """A MySQL that follows another from its beginning, accounts included."""

    options = ("--server-id=2",)

    def __init__(self, folder: Path, primary: MySQL) -> None:
        super().__init__(folder)
        self._primary = primary

    def new_logins(self) -> dict[str, Login]:
        return dict(self._primary.state.logins)

    def populate(self) -> None:
        port, login = self._primary.state.ports["sql"], self._primary.state.logins["admin"]
        # its accounts are its own
        with self._primary.connect("admin") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@GLOBAL.gtid_executed")
            ((executed,),) = cursor.fetchall()
        self.ask("RESET BINARY LOGS AND GTIDS")
        super().populate()
        self.ask("RESET BINARY LOGS AND GTIDS")
        self.ask(f"SET GLOBAL gtid_purged = '{executed}'")
        self.ask(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port},"
            f" SOURCE_USER = '{login.name}', SOURCE_PASSWORD = '{login.secret}', SOURCE_AUTO_POSITION = 1,"
            " GET_SOURCE_PUBLIC_KEY = 1"
        )
        self.ask("START REPLICA")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connect("admin") as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
