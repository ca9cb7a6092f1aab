"""MariaDB as the sandbox's database: a private server, never the system's service.

`mariadb-server-core` has the programs without a service. When root starts it, the server runs as root: it owns nothing
but its folder, and no parent folder needs to be open to another user.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any, ClassVar

import pymysql

from .database import JOURNAL, NAME, DatabaseServer
from .files import write_private

SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""mariadbd lies in /usr/sbin, which is not on every user's PATH."""

SCHEMA = """
CREATE TABLE avatars (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id BIGINT NOT NULL,
  path VARCHAR(255) NOT NULL,
  created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  KEY avatars_path (path)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci
"""


class MariaDB(DatabaseServer):
    """`mariadbd` on a data folder of its own, over TCP on 127.0.0.1."""

    name = "mariadb"
    engine = "mariadb"
    superuser = "root"
    # mariadb-install-db calls my_print_defaults.
    programs: ClassVar = {
        "mariadbd": "mariadb-server-core",
        "mariadb-install-db": "mariadb-server-core",
        "my_print_defaults": "mariadb-client-core",
    }

    @classmethod
    def find_program(cls, name: str) -> str | None:
        """Return the path of a program, also in /usr/sbin."""
        return shutil.which(name, path=SYSTEM_PATH)

    def connect(self, user: str) -> Any:
        """Return a PyMySQL connection of this user."""
        settings = self.database(user)
        return pymysql.connect(
            host=settings["host"],
            port=settings["port"],
            user=settings["user"],
            password=settings["password"],
            database=settings["name"],
            charset="utf8mb4",
            connect_timeout=5,
        )

    def prepare(self) -> None:
        """Install the data folder with its accounts."""
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        # Read before the server listens for the first time, so no account is ever without its password.
        write_private(self.folder / "accounts.sql", self._accounts())
        self.run_tool(
            [
                self.program("mariadb-install-db"),
                "--no-defaults",
                *self.install_options(),
                *_run_as(),
                # The script splits a path at its spaces.
                "--datadir=.",
                "--auth-root-authentication-method=socket",
                "--auth-root-socket-user=root",
                "--skip-test-db",
                "--extra-file=../accounts.sql",
            ],
            data,
        )
        (self.folder / "accounts.sql").unlink()

    def install_options(self) -> Sequence[str]:
        """Return further options of the script that installs the data folder."""
        return ()

    def command(self) -> Sequence[str]:
        """Return mariadbd with its options."""
        return [
            self.program("mariadbd"),
            "--no-defaults",
            *_run_as(),
            f"--datadir={self.folder / 'data'}",
            f"--tmpdir={self.folder}",
            f"--pid-file={self.folder / 'mariadb.pid'}",
            # Relative to the data folder: the path of a Unix socket has room for 107 bytes only.
            "--socket=mariadb.sock",
            "--bind-address=127.0.0.1",
            f"--port={self.state.ports['sql']}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
        ]

    def check_health(self) -> None:
        """Log in as the database's owner."""
        self.connect("admin").close()

    def populate(self) -> None:
        """Create the table `avatars`."""
        with self.connect("admin") as connection, connection.cursor() as cursor:
            cursor.execute(SCHEMA)

    def _accounts(self) -> str:
        secret = {user: login.secret for user, login in self.state.logins.items()}
        return f"""
FLUSH PRIVILEGES;
ALTER USER 'root'@'localhost' IDENTIFIED BY '{secret["root"]}';
CREATE DATABASE {NAME} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE USER 'admin'@'%' IDENTIFIED BY '{secret["admin"]}';
GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;
CREATE USER 'migrate'@'%' IDENTIFIED BY '{secret["migrate"]}';
GRANT SELECT, UPDATE ON {NAME}.* TO 'migrate'@'%';
GRANT ALL PRIVILEGES ON {JOURNAL}.* TO 'migrate'@'%';
CREATE USER 'reader'@'%' IDENTIFIED BY '{secret["reader"]}';
GRANT SELECT ON {NAME}.* TO 'reader'@'%';
GRANT SELECT ON {JOURNAL}.* TO 'reader'@'%';
"""


def _run_as() -> list[str]:
    """Return the option without which mariadbd refuses to run as root."""
    return ["--user=root"] if os.geteuid() == 0 else []
