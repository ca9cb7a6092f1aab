"""Oracle's MySQL as a private server, with the users and the table of the sandbox's MariaDB."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matrix.packages import Tree, unpack
from sandbox.database import JOURNAL, NAME
from sandbox.files import write_private
from sandbox.mariadb import SCHEMA, MariaDB

SUITE = "sid"
PACKAGE = "mysql-server-core"


class MySQL(MariaDB):
    """`mysqld` 9.7 with its defaults: EXPLAIN as a tree, caching_sha2_password, a binary log with GTIDs, TLS."""

    name = "mysql"
    engine = "mysql"
    version = "9.7"

    @classmethod
    def tree(cls) -> Tree:
        """Return its unpacked packages."""
        return unpack(f"mysql-{cls.version}", SUITE, [PACKAGE])

    @classmethod
    def full_version(cls) -> str:
        """Return its Debian version."""
        return cls.tree().version(PACKAGE)

    def prepare(self) -> None:
        """Make the data folder with its accounts."""
        (self.folder / "data").mkdir(mode=0o700)
        write_private(self.folder / "accounts.sql", self._accounts())
        self.run_tool(
            [*self._mysqld(), "--initialize-insecure", f"--init-file={self.folder / 'accounts.sql'}"], self.folder
        )
        (self.folder / "accounts.sql").unlink()

    def command(self) -> Sequence[str]:
        """Return mysqld with its options."""
        return [
            *self._mysqld(),
            f"--pid-file={self.folder / 'mysql.pid'}",
            # Relative to the data folder: the path of a Unix socket has room for 107 bytes only.
            "--socket=mysql.sock",
            "--bind-address=127.0.0.1",
            f"--port={self.state.ports['sql']}",
            "--mysqlx=OFF",
            "--skip-name-resolve",
            *self.options,
        ]

    options: Sequence[str] = ()
    """Further options, which tests of one setting give."""

    def _mysqld(self) -> list[str]:
        tree = self.tree()
        return [
            *tree.command("mysqld"),
            "--no-defaults",
            *(["--user=root"] if os.geteuid() == 0 else []),
            f"--basedir={tree.root / 'usr'}",
            f"--lc-messages-dir={tree.path('usr/share/mysql')}",
            f"--character-sets-dir={tree.path('usr/share/mysql/charsets')}",
            f"--datadir={self.folder / 'data'}",
            f"--tmpdir={self.folder}",
            # The defaults wait for the disk at each commit; the tests' servers die with their folder.
            "--sync-binlog=0",
            "--secure-file-priv=NULL",
        ]

    def populate(self) -> None:
        """Create the table `avatars`."""
        with self.connect("admin") as connection, connection.cursor() as cursor:
            cursor.execute(SCHEMA)

    def _accounts(self) -> str:
        """Return one statement a line: the server reads this file before it knows of other delimiters."""
        secret = {user: login.secret for user, login in self.state.logins.items()}
        statements = [
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{secret['root']}'",
            f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            f"CREATE USER 'admin'@'%' IDENTIFIED BY '{secret['admin']}'",
            "GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION",
            f"CREATE USER 'migrate'@'%' IDENTIFIED BY '{secret['migrate']}'",
            f"GRANT SELECT, UPDATE, TRIGGER ON {NAME}.* TO 'migrate'@'%'",
            f"GRANT ALL PRIVILEGES ON {JOURNAL}.* TO 'migrate'@'%'",
            f"CREATE USER 'reader'@'%' IDENTIFIED BY '{secret['reader']}'",
            f"GRANT SELECT ON {NAME}.* TO 'reader'@'%'",
            f"GRANT SELECT ON {JOURNAL}.* TO 'reader'@'%'",
        ]
        return "".join(f"{statement};\n" for statement in statements)
