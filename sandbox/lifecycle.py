"""Start and remove a whole sandbox: one object store, one of three databases, one record.

The record is written when every server answers, and removed before anything changes: if it exists, it is true.
Another database replaces the earlier one, which keeps its data for the next time; the object store stays as it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .database import DatabaseServer
from .errors import SandboxError
from .files import read_json, write_json, write_private
from .mariadb import MariaDB
from .postgresql import PostgreSQL
from .record import FILE, PROFILES, describe, profiles
from .s3_server import S3Server
from .seaweedfs import SeaweedFS
from .sqlite import SQLite

DATABASES = ("mariadb", "postgresql", "sqlite")


@dataclass(frozen=True, slots=True)
class Servers:
    """Which server each of the sandbox's names stands for: `mariadb` may be another version, or MySQL."""

    mariadb: type[MariaDB] = MariaDB
    postgresql: type[PostgreSQL] = PostgreSQL
    store: type[S3Server] = SeaweedFS


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Everything that `make sandbox-up` makes, in one folder."""

    folder: Path
    servers: Servers = Servers()

    @property
    def record(self) -> Path:
        """The file that describes the running sandbox."""
        return self.folder / FILE

    @property
    def store(self) -> S3Server:
        """The object store, running or not."""
        return self.servers.store(self.folder / self.servers.store.name)

    def database(self, db: str) -> DatabaseServer | SQLite:
        """Return the database server of this name, running or not."""
        if db == "mariadb":
            return self.servers.mariadb(self.folder / "mariadb")
        if db == "postgresql":
            return self.servers.postgresql(self.folder / "postgresql")
        return SQLite(self.folder / "app.db")

    def missing(self, db: str) -> dict[str, str]:
        """Return the missing programs that this database needs, each with its Debian package."""
        database = self.database(db)
        if isinstance(database, SQLite):
            return {}
        return {program: database.programs[program] for program in database.missing_programs()}

    def up(self, db: str) -> bool:
        """Start the sandbox with this database. Return False if it runs already."""
        with self._locked():
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.folder.chmod(0o700)
            store, database = self.store, self.database(db)
            others = [self.database(name) for name in DATABASES if name != db]
            changed = False
            for other in others:
                changed |= other.stop()
            for server in (store, database):
                if not server.processes:
                    self.record.unlink(missing_ok=True)
                changed |= server.up()
            now = describe(db, store, database)
            if read_json(self.record) != now or not (self.folder / PROFILES).exists():
                write_private(self.folder / PROFILES, profiles(store))
                write_json(self.record, now)
                changed = True
            return changed

    def down(self) -> bool:
        """Stop and remove the whole sandbox. Return False if there is none."""
        with self._locked():
            if not self.folder.exists():
                return False
            self.record.unlink(missing_ok=True)
            for server in (self.store, *map(self.database, DATABASES)):
                server.destroy()
            shutil.rmtree(self.folder)
            return True

    def status(self) -> dict[str, Any]:
        """Return what runs, without passwords."""
        databases = [self.database(name) for name in DATABASES]
        running = [server for server in (self.store, *databases) if server.processes]
        record = read_json(self.record)
        return {
            "complete": record is not None and len(record["processes"]) == len(running),
            "db": record["db"] if record else None,
            "endpoint_url": record["s3"]["endpoint_url"] if record else None,
            "running": [server.name for server in running],
        }

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait for other starts and removals; the lock is on the folder's parent, which remains."""
        if not self.folder.parent.is_dir():
            raise SandboxError(f"{self.folder.parent} is no folder, so the sandbox can't be in it")
        descriptor = os.open(self.folder.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
