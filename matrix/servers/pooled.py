"""PostgreSQL 18 behind PgBouncer in session mode, as one server."""

from __future__ import annotations

from typing import Any

from .pgbouncer import PgBouncer
from .postgresql import PostgreSQL18

LOGINS = """\
auth_user = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
default_pool_size = 40
ignore_startup_parameters = extra_float_digits
"""
"""PgBouncer knows the users of the tests by asking the server, as the server's superuser."""


class PooledPostgreSQL(PostgreSQL18):
    """Rehome reaches the server through the pooler; the tests' own connections go past it."""

    name = "postgresql"

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

    def _pooler(self) -> PgBouncer:
        folder = self.folder.with_name(f"{self.folder.name}-pgbouncer")
        return PgBouncer(folder, PostgreSQL18(self.folder), "session", LOGINS)
