"""The record of uploads in parts that are open: what a killed run leaves behind is resumed or aborted by the next."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

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
    """An upload in parts that was begun, or was about to be.

    upload_id: None where the run ended before the service's answer was written down
    source_etag, size, part_size: of the content; bytes
    settings: digest of the headers that it was created with
    began: seconds since the epoch, by the service's clock: it was created no earlier
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
    """The open uploads, in a SQLite file that survives kill -9 and power cuts; one process at a time writes it.

    path: None keeps the record in memory, for runs that need not be resumed
    Every method raises RehomeError where the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        with self._telling():
            self._file = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute(_SCHEMA)
            rows = self._file.execute("SELECT bucket, target_key FROM uploads").fetchall()
        # Only these can be left over; a set of all that came would grow with the run.
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

    def find(self, bucket: str, target_key: str) -> Upload | None:
        """What is recorded for a job that has come; it no longer counts as left over."""
        self._inherited.discard((bucket, target_key))
        rows = self._ask("SELECT * FROM uploads WHERE bucket = ? AND target_key = ?", bucket, target_key)
        return Upload(*rows[0]) if rows else None

    def intend(self, upload: Upload) -> None:
        """Note an upload that is about to be created."""
        self._ask("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *upload)

    def opened(self, bucket: str, target_key: str, upload_id: str) -> None:
        """Note the service's name of an intended upload."""
        self._ask("UPDATE uploads SET upload_id = ? WHERE bucket = ? AND target_key = ?", upload_id, bucket, target_key)

    def forget(self, bucket: str, target_key: str) -> None:
        """Note that there is no such upload any more."""
        self._inherited.discard((bucket, target_key))
        self._ask("DELETE FROM uploads WHERE bucket = ? AND target_key = ?", bucket, target_key)

    def everything(self, bucket: str) -> list[Upload]:
        """All recorded uploads to `bucket`."""
        rows = self._ask("SELECT * FROM uploads WHERE bucket = ? ORDER BY target_key", bucket)
        return [Upload(*row) for row in rows]

    def leftovers(self, bucket: str) -> list[Upload]:
        """The uploads to `bucket` that an earlier run left open, and whose jobs have not come since."""
        return [upload for upload in self.everything(bucket) if (bucket, upload.target_key) in self._inherited]

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._telling():
            return self._file.execute(statement, values).fetchall()

    @contextmanager
    def _telling(self) -> Generator[None, None, None]:
        """Turns what SQLite objects to into what the operator can do about it."""
        try:
            yield
        except sqlite3.Error as error:
            raise RehomeError(
                f"{self._path}: the record of open uploads cannot be used ({error}). See that there is space and the "
                "right to write. If the file is damaged, remove it, and abort the target bucket's incomplete "
                "multipart uploads by other means, such as a lifecycle rule."
            ) from error
