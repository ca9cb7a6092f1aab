"""The log of deletes, from which objects are undeleted: lines of JSON in the state folder.

Each object gets a line before its delete is sent (`intended`), and another with what became of it: `deleted`, with the
version id of its delete marker, or `kept`; and perhaps later `restored`, if it was undeleted. An object that is only
`intended` was in flight when a run died.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from ..catalog.catalog import Catalog
from ..catalog.schema import RECORDS
from ..files import read_json_lines

RETIRED, REMOVED = "retired", "removed"
"""The folders for legacy objects and for copies: both may be in one bucket, and are undeleted separately."""

Event = Literal["intended", "deleted", "kept", "restored"]

LIVE_MARKERS = """
SELECT r.key, r.marker FROM records r
WHERE r.event = 'deleted' AND r.marker IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM records b WHERE b.event = 'restored' AND b.key = r.key AND b.marker = r.marker)
ORDER BY r.key
"""
"""The delete markers that Rehome created and has not removed again."""

_UNRESOLVED = """
SELECT key, max_by(etag, ordinal), max_by(noted_at, ordinal) FROM records
GROUP BY key HAVING max_by(event, ordinal) = 'intended' ORDER BY key
"""

_BATCH_ROWS = 5_000
_WAY_OUT = "Put a good copy in its place, or delete that line; a delete marker that only it names is not removed"


class UnresolvedDelete(NamedTuple):
    """A delete whose outcome is unknown. intended_at: by this machine's clock"""

    key: str
    etag: str
    intended_at: datetime


class DeleteLog:
    """The log of one bucket's deletes, also loaded into the catalog's `records`. Each run appends to a file of its own.

    Raises RehomeError if a file of an earlier run is damaged.
    """

    def __init__(self, folder: Path, bucket: str, catalog: Catalog) -> None:
        self._folder = folder
        self._bucket = bucket
        self._catalog = catalog
        self._file: TextIOWrapper | None = None
        self._ordinal = 0
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def record(self, event: Event, objects: Sequence[tuple[str, str | None, str | None]]) -> None:
        """Append an event of objects (key, ETag, marker's version id). It is on the disk when this returns."""
        if not objects:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        file = self._open()
        for key, etag, marker in objects:
            line = {"event": event, "key": key, "etag": etag, "marker": marker, "at": now}
            known = {name: value for name, value in line.items() if value is not None}
            file.write(json.dumps(known, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
        rows = [(self._next(), event, key, etag, marker, now) for key, etag, marker in objects]
        self._catalog.append("records", rows)

    def unresolved(self) -> list[UnresolvedDelete]:
        """Return the deletes that were in flight when a run died: a few thousand at most."""
        rows = self._catalog.query(_UNRESOLVED)
        return [UnresolvedDelete(key, etag, datetime.fromisoformat(at)) for key, etag, at in rows]

    def live_markers(self) -> int:
        """Return how many delete markers undeleting everything would remove."""
        return self._catalog.count(LIVE_MARKERS)

    def _load(self) -> None:
        self._catalog.run(RECORDS.create())
        batch: list[tuple[object, ...]] = []
        for file in sorted(self._folder.glob("*.jsonl")):
            for row in self._lines(file):
                batch.append(row)
                if len(batch) == _BATCH_ROWS:
                    self._catalog.append("records", batch)
                    batch.clear()
        self._catalog.append("records", batch)

    def _lines(self, file: Path) -> Iterator[tuple[object, ...]]:
        # a run that was killed while it wrote a line had not acted on it yet
        records = read_json_lines(file, _WAY_OUT, may_be_cut=True)
        if next(records, {"bucket": None})["bucket"] == self._bucket:
            for record in records:
                etag, marker = record.get("etag"), record.get("marker")
                yield self._next(), record["event"], record["key"], etag, marker, record["at"]

    def _open(self) -> TextIOWrapper:
        if self._file is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            self._file = (self._folder / f"{name}.jsonl").open("x", encoding="utf-8")
            self._file.write(json.dumps({"bucket": self._bucket}) + "\n")
        return self._file

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal
