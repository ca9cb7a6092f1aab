"""What was deleted, and how it comes back: lines of JSON in the state folder, written before and after each delete.

A line tells what was meant (`intended`, before S3 is asked), and then what became of it: `deleted` with the version id
of its delete marker, `kept`, and perhaps later `restored`. What is only intended was under way when a run died.
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
"""The folders of legacy objects and of copies: both may be in one bucket, and are brought back apart."""

Event = Literal["intended", "deleted", "kept", "restored"]

LIVE_MARKERS = """
SELECT r.key, r.marker FROM records r
WHERE r.event = 'deleted' AND r.marker IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM records b WHERE b.event = 'restored' AND b.key = r.key AND b.marker = r.marker)
ORDER BY r.key
"""
"""The delete markers that we made and have not taken away again."""

_UNSETTLED = """
SELECT key, max_by(etag, ordinal), max_by(noted_at, ordinal) FROM records
GROUP BY key HAVING max_by(event, ordinal) = 'intended' ORDER BY key
"""

_BATCH = 5_000
_WAY_OUT = "Put a good copy in its place, or delete that line; a delete marker that only it names is not removed"


class Unsettled(NamedTuple):
    """A delete of which nobody knows whether it was done. intended_at: by this machine's clock"""

    key: str
    etag: str
    intended_at: datetime


class Deletions:
    """The records of one bucket. Each run that has something to tell writes a file of its own."""

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

    def note(self, event: Event, facts: Sequence[tuple[str, str | None, str | None]]) -> None:
        """Record an event of objects (key, ETag, marker's version id); it is on the disk when this returns."""
        if not facts:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        file = self._open()
        for key, etag, marker in facts:
            known = {"etag": etag, "marker": marker}
            given = {name: value for name, value in known.items() if value is not None}
            file.write(json.dumps({"event": event, "key": key, **given, "at": now}, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
        rows = [(self._next(), event, key, etag, marker, now) for key, etag, marker in facts]
        self._catalog.append("records", rows)

    def unsettled(self) -> list[Unsettled]:
        """What was under way when a run died: a few thousand deletes at most, as so many are under way at once."""
        return [Unsettled(key, etag, datetime.fromisoformat(at)) for key, etag, at in self._catalog.query(_UNSETTLED)]

    def live_markers(self) -> int:
        """How many delete markers of ours there are to be taken away."""
        (count,) = self._catalog.query(f"SELECT count(*) FROM ({LIVE_MARKERS})")[0]
        return int(count)

    def _load(self) -> None:
        self._catalog.run(RECORDS.create())
        batch: list[tuple[object, ...]] = []
        for file in sorted(self._folder.glob("*.jsonl")):
            for row in self._lines(file):
                batch.append(row)
                if len(batch) == _BATCH:
                    self._catalog.append("records", batch)
                    batch.clear()
        self._catalog.append("records", batch)

    def _lines(self, file: Path) -> Iterator[tuple[object, ...]]:
        # a run that is killed while it writes a line has not acted on it yet
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
