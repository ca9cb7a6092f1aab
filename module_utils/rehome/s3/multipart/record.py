"""The record of open multipart uploads: what a killed run leaves open, the next run resumes or aborts."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ...codes import Code
from ...errors import RehomeError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS uploads (
    bucket TEXT NOT NULL,
    target_key TEXT NOT NULL,
    upload_id TEXT,
    source_etag TEXT NOT NULL,
    size INTEGER NOT NULL,
    part_size INTEGER NOT NULL,
    settings TEXT NOT NULL,
    began REAL NOT NULL,
    PRIMARY KEY (bucket, target_key)
) WITHOUT ROWID
"""


class Upload(NamedTuple):
    """A multipart upload that was created, or was about to be.

    upload_id: None if the run ended before the service's reply was recorded
    source_etag, size, part_size: of the content; bytes
    settings: digest of the headers that it was created with
    began: seconds since the epoch by the service's clock: the upload was created no earlier
    """

    bucket: str
    target_key: str
    upload_id: str | None
    source_etag: str
    size: int
    part_size: int
    settings: str
    began: float


class Uploads:
    """The open uploads, in a SQLite file that survives kill -9 and power cuts. One process at a time writes it.

    path: None keeps the record in memory, for runs that need not be resumed
    bytes_sent: target key → bytes of the parts that the target has, of this run's jobs without an outcome

    Every method raises RehomeError if the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.bytes_sent: dict[str, int] = {}
        with self._explaining_errors():
            self._file = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute(_SCHEMA)
            rows = self._file.execute("SELECT bucket, target_key FROM uploads").fetchall()
        # Only these can be unfinished at the end; a set of all jobs that came would grow with the run.
        self._inherited = set(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def at_once(self) -> Generator[None, None, None]:
        """Record all that the block records in one transaction, or nothing of it if it raises.

        Each transaction waits for the disk.
        """
        self._execute("BEGIN")
        try:
            yield
        except BaseException:
            self._execute("ROLLBACK")
            raise
        self._execute("COMMIT")

    def find(self, bucket: str, target_key: str) -> Upload | None:
        """Return what is recorded for a job of this run; `unfinished` no longer returns it."""
        self._inherited.discard((bucket, target_key))
        rows = self._execute("SELECT * FROM uploads WHERE bucket = ? AND target_key = ?", bucket, target_key)
        return Upload(*rows[0]) if rows else None

    def add(self, upload: Upload) -> None:
        """Record an upload that is about to be created, in place of any other for its key."""
        self._execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *upload)

    def set_id(self, bucket: str, target_key: str, upload_id: str) -> None:
        """Record the id that the service gave to an upload."""
        self._execute(
            "UPDATE uploads SET upload_id = ? WHERE bucket = ? AND target_key = ?", upload_id, bucket, target_key
        )

    def remove(self, bucket: str, target_key: str) -> None:
        """Record that an upload is completed or aborted."""
        self._inherited.discard((bucket, target_key))
        self._execute("DELETE FROM uploads WHERE bucket = ? AND target_key = ?", bucket, target_key)

    def recorded(self, bucket: str) -> list[Upload]:
        """Return all recorded uploads to `bucket`, by key."""
        rows = self._execute("SELECT * FROM uploads WHERE bucket = ? ORDER BY target_key", bucket)
        return [Upload(*row) for row in rows]

    def unfinished(self, bucket: str) -> list[Upload]:
        """Return the uploads to `bucket` that nobody goes on with.

        They are those of an earlier run whose jobs have not come in this run, and those of `leave`.
        """
        return [upload for upload in self.recorded(bucket) if (bucket, upload.target_key) in self._inherited]

    def leave(self, bucket: str, target_key: str) -> None:
        """Let `unfinished` return the upload of a job of this run, which may have left one open, and has an outcome."""
        self._inherited.add((bucket, target_key))

    def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._explaining_errors():
            return self._file.execute(statement, values).fetchall()

    @contextmanager
    def _explaining_errors(self) -> Generator[None, None, None]:
        """Turn SQLite's errors into what the operator can do about them."""
        try:
            yield
        except sqlite3.Error as error:
            raise RehomeError(
                f"{self._path}: the record of open uploads cannot be used ({error}). Check that there is space and "
                "the right to write. If the file is damaged, remove it, and abort the target bucket's incomplete "
                "multipart uploads by other means, such as a lifecycle rule.",
                code=Code.STATE_FILE,
            ) from error
