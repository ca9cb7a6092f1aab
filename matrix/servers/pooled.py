"""PostgreSQL 18 behind PgBouncer in session mode, as one server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matrix.packages import Tree, unpack

from .pgbouncer import PgBouncer
from .postgresql import PostgreSQL18

LOGINS = """\
auth_user = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
default_pool_size = 40
server_lifetime = 0
server_login_retry = 0.1
ignore_startup_parameters = extra_float_digits
"""
"""PgBouncer knows the users of the tests by asking the server, as the server's superuser.

Tests change settings of roles and databases, which only a new session has: the pooler uses each for one client. That it
may use one for several is what tests/integration/db/test_connections.py is for, with its defaults.
"""


class CurrentPgBouncer(PgBouncer):
    """PgBouncer of Debian 13, which forwards what the server said of a login that failed."""

    @classmethod
    def tree(cls) -> Tree:
        """Return its unpacked packages."""
        return unpack("pgbouncer-trixie", "trixie", ["pgbouncer"])

    def command(self) -> Sequence[str]:
        """Return pgbouncer with its configuration, and with the tree's own loader."""
        return [*self.tree().command("pgbouncer"), str(self.folder / "pgbouncer.ini")]

    def environment(self) -> dict[str, str]:
        """Return the environment without the libraries of another release."""
        return {name: value for name, value in super().environment().items() if name != "LD_LIBRARY_PATH"}


class PooledPostgreSQL(PostgreSQL18):
    """Rehome reaches the server through the pooler; the tests' own connections go past it."""

    name = "postgresql"

    @classmethod
    def full_version(cls) -> str:
        """Return the versions of both."""
        pooler = CurrentPgBouncer.tree().version("pgbouncer")
        return f"{super().full_version()}, PgBouncer {pooler}"

    def database(self, user: str) -> dict[str, Any]:
        """Return the setting `rehome_database` by which this user reaches the server through the pooler."""
        direct = super().database(user)
        pooler = self._pooler()
        return direct | {"port": pooler.state.ports["sql"]} if pooler.processes else direct

    def up(self) -> bool:
        """Start the server, and the pooler before it. Return False if both run already."""
        started = super().up()
        return self._pooler().up() or started

    def stop(self) -> bool:
        """End both and keep the data. Return False if nothing runs."""
        ended = self._pooler().stop()
        return super().stop() or ended

    def destroy(self) -> bool:
        """End both and remove their folders. Return False if neither exists."""
        ended = self._pooler().destroy()
        return super().destroy() or ended

    def _pooler(self) -> CurrentPgBouncer:
        folder = self.folder.with_name(f"{self.folder.name}-pgbouncer")
        return CurrentPgBouncer(folder, PostgreSQL18(self.folder), "session", LOGINS)
