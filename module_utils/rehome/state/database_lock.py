"""One run at a time per migration and database, whatever machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..config.settings import Database
from ..db.engines.open import connect
from ..errors import Finding, RefusedError


@contextmanager
def held(settings: Database, migration: str) -> Iterator[None]:
    """Hold `migration` in the database for the length of the block, by the server's own advisory lock.

    The server lets go when the connection ends, so that a dead run holds nothing. It keeps two runs from doing the same
    work twice and from each other's state; that neither does harm rests on the conditions of every copy and every
    rewrite. Galera does not share such locks between its nodes ("GET_LOCK", MariaDB's manual).
    Raises RefusedError where another run holds it.
    """
    with connect(settings) as database:
        holder = database.try_advisory_lock(migration)
        if holder is not None:
            finding = Finding(
                "rehome_name",
                migration,
                f"another run of this migration is at work in the database: {holder}",
                "Wait for it to end, or stop it; what is left is done by running it again",
            )
            raise RefusedError([finding])
        yield
