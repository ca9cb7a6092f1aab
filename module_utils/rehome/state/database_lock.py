"""One run at a time per migration and database, on whatever machine it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..config.settings import Database
from ..db.engines.open import connect
from ..errors import Finding, RefusedError


@contextmanager
def migration_lock(settings: Database, migration: str) -> Iterator[None]:
    """Lock `migration` in the database for the length of the block, by the server's advisory lock.

    The server releases the lock when the connection ends, so a dead run locks nothing. The lock keeps two runs from
    doing the same work twice; safety depends on the conditions of every copy and every rewrite. Galera
    does not share such locks between its nodes ("GET_LOCK", MariaDB's manual).

    Raises RefusedError if another run has locked it.
    """
    with connect(settings) as database:
        holder = database.try_advisory_lock(migration)
        if holder is not None:
            finding = Finding(
                "rehome_name",
                migration,
                f"another run of this migration is at work in the database: {holder}",
                "Wait for it to end, or stop it; then run it again to do what is left",
            )
            raise RefusedError([finding])
        yield
