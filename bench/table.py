"""The sandbox's table of avatars on the benchmark's own server: filled, rewritten by one UPDATE, and measured."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import psutil
from rehome.config.settings import Database
from rehome.db.engines.open import connect

from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL
from sandbox.seed.avatars import MIGRATED_PREFIX, PREFIX

from .suite import BenchError

Engine = Literal["mariadb", "postgresql"]

JOURNAL_SCHEMA = "rehome"
PATIENCE_S = 60.0
WEARING_IN = 3
"""How often PostgreSQL is filled and rewritten before it is measured; after the second time no file is new."""
LOOK_S = 0.5
"""Over how long it is measured what a server does: less would be a few ticks of its CPU time."""
IDLE = 0.05
"""CPU seconds per second that an idle server may use."""

_FILL = {
    "mariadb": "INSERT INTO avatars (id, user_id, path) SELECT seq, seq, CONCAT('{prefix}avatar-', seq, '.png') "
    "FROM seq_1_to_{rows}",
    "postgresql": "INSERT INTO avatars (id, user_id, path) SELECT i, i, '{prefix}avatar-' || i || '.png' "
    "FROM generate_series(1, {rows}) i",
}
_NEXT_ID = {
    "mariadb": "ALTER TABLE avatars AUTO_INCREMENT = {next}",
    "postgresql": "ALTER TABLE avatars ALTER COLUMN id RESTART WITH {next}",
}
_ANALYZE = {"mariadb": "ANALYZE TABLE avatars", "postgresql": "VACUUM ANALYZE avatars"}
_BARE = {
    "mariadb": "UPDATE avatars SET path = CONCAT('{new}', SUBSTRING(path, {skip})) WHERE path LIKE '{old}%'",
    "postgresql": "UPDATE avatars SET path = '{new}' || substr(path, {skip}) WHERE path LIKE '{old}%'",
}
_JOURNAL_BYTES = {
    # not the file's size, which grows by megabytes in advance
    "mariadb": "SELECT data_length + index_length FROM information_schema.tables"
    " WHERE table_schema = 'rehome' AND table_name = 'journal'",
    "postgresql": "SELECT pg_total_relation_size('rehome.journal')",
}


class Table:
    """`avatars` with its index on `path`, filled with the seed's paths.

    rows: how many it is filled with
    """

    def __init__(self, server: MariaDB | PostgreSQL, rows: int) -> None:
        self.server = server
        self.engine: Engine = "mariadb" if isinstance(server, MariaDB) else "postgresql"
        self.rows = rows

    def fill(self) -> None:
        """Start again: every row in the source's form, no dead rows, an idle server, an empty journal."""
        self.execute("TRUNCATE avatars")
        self.execute(_FILL[self.engine].format(prefix=PREFIX, rows=self.rows))
        self.execute(_NEXT_ID[self.engine].format(next=self.rows + 1))
        self.execute(_ANALYZE[self.engine])
        self._new_journal()
        self.settle()

    def wear_in(self) -> None:
        """Create the files of PostgreSQL's log, as on a server that has been in use.

        A new server creates each of them, 16 MB of zeros and an fsync for which every COMMIT waits (wait events
        WALInitWrite and WALInitSync), until enough exist and are reused.
        """
        if self.engine == "postgresql":
            for statement in ("ALTER SYSTEM SET min_wal_size = '1GB'", "SELECT pg_reload_conf()"):
                self.execute(statement, "postgres")
            for _ in range(WEARING_IN):
                self.fill()
                self.bare_update()

    def bare_update(self, old: str = PREFIX, new: str = MIGRATED_PREFIX, rows: int | None = None) -> float:
        """Rewrite by one statement and return its seconds. Raises BenchError unless it rewrote `rows` (all) rows."""
        began = time.monotonic()
        count = self.execute(self.bare_statement(old, new))
        took = time.monotonic() - began
        if count != (rows or self.rows):
            raise BenchError(f"the bare UPDATE has rewritten {count} rows")
        return took

    def bare_statement(self, old: str = PREFIX, new: str = MIGRATED_PREFIX) -> str:
        """Return the bare UPDATE."""
        return _BARE[self.engine].format(new=new, old=old, skip=len(old) + 1)

    def settle(self) -> None:
        """Let the server clean up after the writes, so that the next measurement does not pay for it."""
        if self.engine == "postgresql":
            self.execute("VACUUM avatars")
            # otherwise one measurement has a checkpoint and the next has none
            self.execute("CHECKPOINT", "postgres")
        os.sync()
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            before = self._cpu_s()
            time.sleep(LOOK_S)
            if self._cpu_s() - before < IDLE * LOOK_S:
                return

    def heap_bytes(self) -> int:
        """Return the bytes of the table without its indexes (PostgreSQL)."""
        return int(self._value("SELECT pg_relation_size('avatars')"))

    def journal_bytes(self) -> int:
        """Return the bytes of the journal in whole pages, with its indexes."""
        if self.engine == "mariadb":
            self.execute("ANALYZE TABLE rehome.journal")
        return int(self._value(_JOURNAL_BYTES[self.engine]))

    def execute(self, statement: str, user: str = "admin") -> int:
        """Run one statement in its own transaction. Return the number of its rows."""
        with self._cursor(user) as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)

    def _value(self, statement: str) -> Any:
        with self._cursor("admin") as cursor:
            cursor.execute(statement)
            (value,) = cursor.fetchone()
            return value

    @contextmanager
    def _cursor(self, user: str) -> Iterator[Any]:
        with closing(self.server.connect(user)) as connection:
            if isinstance(self.server, PostgreSQL):
                connection.autocommit = True
            else:
                connection.autocommit(True)
            yield connection.cursor()

    def _new_journal(self) -> None:
        # as its owner, the least-privileged user
        with connect(Database(**self.server.database("migrate"))) as database:
            if database.has_journal(JOURNAL_SCHEMA):
                self.execute(f"DROP TABLE {JOURNAL_SCHEMA}.journal", "migrate")
            database.create_journal(JOURNAL_SCHEMA)

    def _cpu_s(self) -> float:
        """Return the CPU seconds of the server's running processes."""
        (process,) = self.server.processes
        family = psutil.Process(process.pid)
        used = 0.0
        for one in [family, *family.children(recursive=True)]:
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        return used


@contextmanager
def table(engine: Engine, folder: Path, rows: int) -> Iterator[Table]:
    """Run the server for the length of the block."""
    server = (MariaDB if engine == "mariadb" else PostgreSQL)(folder / engine)
    try:
        server.up()
        yield Table(server, rows)
    finally:
        server.destroy()
