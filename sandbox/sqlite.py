"""SQLite as the sandbox's database: a file, without users and processes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from .processes import Process

NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"

SCHEMA = f"""
BEGIN;
CREATE TABLE avatars (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id BIGINT NOT NULL,
  path VARCHAR(255) NOT NULL,
  created_at TEXT NOT NULL DEFAULT ({NOW}),
  updated_at TEXT NOT NULL DEFAULT ({NOW})
);
CREATE INDEX avatars_path ON avatars (path);
-- The trigger's own UPDATE touches none of the columns that fire it, so it can't fire itself.
CREATE TRIGGER avatars_touch AFTER UPDATE OF id, user_id, path, created_at ON avatars FOR EACH ROW
  WHEN NEW.updated_at IS OLD.updated_at
    AND (NEW.id, NEW.user_id, NEW.path, NEW.created_at) IS NOT (OLD.id, OLD.user_id, OLD.path, OLD.created_at)
BEGIN
  UPDATE avatars SET updated_at = {NOW} WHERE id = NEW.id;
END;
COMMIT;
"""


class SQLite:
    """The file with the application's table. There are no users: whoever may read the file is one."""

    name = "sqlite"
    engine = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def processes(self) -> list[Process]:
        """No processes: a file does not run."""
        return []

    def database(self, user: str = "") -> dict[str, Any]:
        """Return how to reach the database, as `rehome_database` has it."""
        return {"engine": self.engine, "path": str(self.path)}

    def connect(self, user: str = "") -> sqlite3.Connection:
        """Return a connection to the file."""
        return sqlite3.connect(self.path)

    def up(self) -> bool:
        """Create the file with its table. Return False if it exists."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = self.connect()
        try:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'avatars'").fetchone():
                return False
            connection.executescript(SCHEMA)
        finally:
            connection.close()
        return True

    def stop(self) -> bool:
        """Return False: a file does not run."""
        return False

    def destroy(self) -> bool:
        """Remove the file. Return False if there is none."""
        existed = self.path.exists()
        for leftover in ("", "-journal", "-wal", "-shm"):
            Path(f"{self.path}{leftover}").unlink(missing_ok=True)
        return existed
