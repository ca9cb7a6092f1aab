"""A private PgBouncer before a private PostgreSQL, as many sites have one, in each of its modes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from sandbox.database import NAME
from sandbox.errors import SandboxError
from sandbox.files import write_private
from sandbox.postgresql import PostgreSQL
from sandbox.server import Login, Server

UNPACKED = Path(__file__).parents[2] / ".venv" / "pgbouncer"
"""Where the Makefile unpacks its packages: nothing is installed, so no system service starts."""

CONFIG = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = {mode}
{more}
"""


class PgBouncer(Server):
    """PgBouncer with one pool for each user. `mode` is its pool_mode, `more` further lines of its configuration."""

    name = "pgbouncer"
    port_names = ("sql",)

    def __init__(self, folder: Path, server: PostgreSQL, mode: str, more: str = "") -> None:
        super().__init__(folder)
        self._server = server
        self._mode = mode
        self._more = more

    def database(self, user: str) -> dict[str, Any]:
        """Return the setting `rehome_database` by which this user reaches the server through it."""
        return self._server.database(user) | {"port": self.state.ports["sql"]}

    def new_logins(self) -> dict[str, Login]:
        """Return the logins of the server."""
        return dict(self._server.state.logins)

    def prepare(self) -> None:
        """Write its configuration and its list of users."""
        users = "".join(f'"{login.name}" "{login.secret}"\n' for login in self.state.logins.values())
        ports = {"server": self._server.state.ports["sql"], "port": self.state.ports["sql"]}
        config = CONFIG.format(folder=self.folder, mode=self._mode, more=self._more, **ports)
        write_private(self.folder / "users.txt", users)
        write_private(self.folder / "pgbouncer.ini", config)
        if self.launcher():
            # it refuses to run as root, and so runs as the user of the server
            owner = (self._server.folder / "data").stat()
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, owner.st_uid, owner.st_gid)

    def launcher(self) -> Sequence[str]:
        """Return the program that changes to the user of the server."""
        return self._server.launcher()

    def command(self) -> Sequence[str]:
        """Return pgbouncer with its configuration. Raises SandboxError if it is not unpacked."""
        program = UNPACKED / "usr" / "sbin" / "pgbouncer"
        if not program.exists():
            raise SandboxError(f"{program} is missing; `make packages` gets it")
        return [str(program), str(self.folder / "pgbouncer.ini")]

    def environment(self) -> dict[str, str]:
        """Return the environment, with the folder of the libraries that came with it."""
        libraries = (UNPACKED / "usr" / "lib").glob("*-linux-gnu*")
        return super().environment() | {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}

    def check_health(self) -> None:
        """Log in through it."""
        login = self.state.logins["migrate"]
        psycopg.connect(
            host="127.0.0.1",
            port=self.state.ports["sql"],
            dbname=NAME,
            user=login.name,
            password=login.secret,
            connect_timeout=5,
        ).close()

    def populate(self) -> None:
        """Do nothing: the server has the data."""
