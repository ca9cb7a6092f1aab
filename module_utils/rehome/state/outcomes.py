"""Record what became of each object, by way of the catalog in Parquet files, for people and for later runs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .. import duckdb_engine as duckdb
from ..catalog import schema
from ..catalog.catalog import Catalog
from ..codes import Code
from ..config.settings import Settings
from ..errors import RehomeError
from ..files import read_json_lines, replacing
from ..planning.plan import BLANK_ETAG, SAME_ETAG
from ..s3.errors import ENDPOINT_DEAD
from .delete_log import REMOVED

if TYPE_CHECKING:
    # stages that need no S3 client should not have to load it
    from ..s3.objects.job import CopyOutcome

FOLDER = "outcomes"
FLUSH_ROWS = 2_000
FLUSH_S = 60.0
"""After how many seconds outcomes are written to the catalog though they are few: that is the run's sign of life."""
LINE_ROWS = 200
PART_ROWS = 100_000
PART_S = 300.0
"""After how many seconds a part becomes a file, if somebody takes it to where a machine that is lost cannot take it
along."""

_BEGUN_WAY_OUT = "Delete it; copies that were in flight when that run died may then be reported as conflicts"
_FILE_WAY_OUT = (
    "Put a good copy in its place, or delete it; what it proves is compared again then, and copies whose source has "
    "changed since may be reported as conflicts"
)

_EXPORT = """
COPY (
    SELECT $source_prefix || suffix AS key, $target_prefix || suffix AS target_key, $target_bucket AS target_bucket,
        size, etag, result, target_etag, evidence, attempts, duration_s, error, message, $alive_at::VARCHAR AS alive_at
    FROM outcomes WHERE part = $part
) TO $file (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048, USE_TMP_FILE false)
"""
"""DuckDB holds a row group in memory until it is complete: this many of the longest keys are a few megabytes."""

_UNPROVEN = f"""
SELECT s.suffix, s.size, s.etag, t.size AS target_size, t.etag AS target_etag
FROM source_objects s JOIN target_objects t ON t.suffix = s.suffix WHERE NOT {SAME_ETAG}
"""
"""Mostly there is none. For those that there are, DuckDB reads only the row groups that may have their keys."""

_KNOWN = f"""
SELECT s.suffix, min(o.evidence) FROM unproven s
JOIN (
    SELECT key, etag, target_key, target_etag, evidence, result FROM read_parquet($files, union_by_name = true)
    UNION ALL
    SELECT target_key, target_etag, key, etag, evidence, result FROM read_parquet($files, union_by_name = true)
) o ON o.key = $source_prefix || s.suffix AND o.target_key = $target_prefix || s.suffix
WHERE s.size = s.target_size AND NOT {BLANK_ETAG} AND o.etag = s.etag AND o.target_etag = s.target_etag
    AND o.evidence IS NOT NULL AND o.result IN ('copied', 'present')
GROUP BY s.suffix
"""
"""The best proof of each pair, in either direction: `bytes` and `checksum` sort before `size`."""

_REMOVED = """
INSERT INTO removed
SELECT key, max(parse_filename(filename)) FROM read_json(
    $files, format = 'newline_delimited', columns = {event: 'VARCHAR', key: 'VARCHAR'}, ignore_errors = true,
    filename = true)
WHERE event = 'deleted' GROUP BY key
"""
_NOT_REMOVED_SINCE = """
NOT EXISTS (SELECT 1 FROM removed r WHERE r.key = o.target_key AND r.file > parse_filename(o.filename))
"""
"""Both kinds of files are named after their start. An object that exists after its removal is somebody else's."""

_OWN = f"""
SELECT DISTINCT s.suffix FROM unproven s
JOIN read_parquet($files, union_by_name = true, filename = true) o
    ON o.key = $source_prefix || s.suffix AND o.target_key = $target_prefix || s.suffix
WHERE {_NOT_REMOVED_SINCE} AND NOT starts_with(s.target_etag, '{"0" * 32}') AND s.target_etag <> ''
    AND o.target_bucket = $target_bucket AND o.size = s.target_size
    AND (
        o.result = 'copied' AND o.target_etag = s.target_etag
        OR o.result IN ('begun', 'changed', 'failed') AND o.etag = s.target_etag
    )
"""
"""A copy whose reply was lost may exist all the same: it is recognised by the ETag of its source."""

_MADE = f"""
SELECT DISTINCT substr(target_key, length($target_prefix) + 1) AS suffix, target_etag AS etag
FROM read_parquet($files, union_by_name = true, filename = true) o
WHERE {_NOT_REMOVED_SINCE} AND result = 'copied' AND target_bucket = $target_bucket
    AND starts_with(target_key, $target_prefix)
"""

_UNTOLD = f"""
WITH told AS (
    SELECT *, parse_filename(filename) AS file
    FROM read_parquet($files, union_by_name = true, filename = true)
    WHERE target_bucket = $target_bucket AND starts_with(target_key, $target_prefix)
    UNION ALL BY NAME SELECT NULL::VARCHAR AS alive_at WHERE false
)
SELECT DISTINCT substr(target_key, length($target_prefix) + 1) AS suffix, alive_at,
    CASE WHEN result = 'begun' OR attempts > 1 OR (attempts = 1 AND error = '{ENDPOINT_DEAD}')
        THEN coalesce(etag, '') END AS etag
FROM told o
WHERE {_NOT_REMOVED_SINCE} AND result IN ('begun', 'changed', 'failed') AND NOT EXISTS (
    SELECT 1 FROM told c WHERE c.result = 'copied' AND c.target_key = o.target_key AND c.file >= o.file)
"""
"""The plan had found none of these in the target, or another one, and no later run has copied them, as one does that
finds none. Without an ETag are those that S3 refused at once: whoever made them, it was not that request. Files of
earlier versions have no `alive_at`."""

_END_BEGUN = """
INSERT INTO outcomes
SELECT suffix, size, etag, 'begun', NULL, NULL, 0, NULL, NULL, NULL, (SELECT coalesce(max(part) + 1, 0) FROM outcomes)
FROM begun b WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.suffix = b.suffix)
"""


class Outcomes:
    """Takes outcomes one by one, and writes them to the catalog by the thousand and to files by the hundred thousand.

    What is in the catalog survives a kill; the next run exports it (`export_leftover_outcomes`).

    keep: called with each file that is written before the end
    """

    def __init__(self, catalog: Catalog, settings: Settings, keep: Callable[[Path], object] | None = None) -> None:
        self._catalog = catalog
        self._keep = keep
        self._due = time.monotonic() + PART_S if keep else math.inf
        self._state_dir = settings.state_dir
        self._skip = len(settings.source.prefix)
        if "began" not in catalog.metadata():
            # the export may have nothing but the catalog
            catalog.note_all(
                {
                    "began": datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"),
                    "source_prefix": settings.source.prefix,
                    "target_prefix": settings.target.prefix,
                    "target_bucket": settings.target.bucket,
                }
            )
        self._rows: list[tuple[object, ...]] = []
        self._flush_due = time.monotonic() + FLUSH_S
        self._begun: dict[str, tuple[int, str]] = {}
        self._begun_file = _begun_file(catalog, self._state_dir)
        self._shard_files: dict[int, Path] = {}
        # a part that may have been exported already takes no more rows
        (self._part,) = catalog.one("SELECT coalesce(max(part) + 1, 0) FROM outcomes")
        self._in_part = 0

    def begin(self, objects: Iterable[tuple[str, int, str]]) -> None:
        """Record that these objects (suffix, size, ETag) are about to be copied.

        A run that is killed does not record its last copies. If the next run did not recognise them as its own, it
        would report a conflict if the application has overwritten their source meanwhile.
        """
        self.flush()
        self._begun |= {suffix: (size, etag) for suffix, size, etag in objects}
        _write_begun(self._begun_file, self._begun)

    def begin_shard(self, number: int, objects: Iterable[tuple[str, int, str]]) -> None:
        """As `begin`, in a file of its own until `end_shard`: many shards are under way at once, and end by turns."""
        begun = {suffix: (size, etag) for suffix, size, etag in objects}
        self._begun |= begun
        self._shard_files[number] = _begun_file(self._catalog, self._state_dir, f"-{number:06}")
        _write_begun(self._shard_files[number], begun)

    def end_shard(self, number: int) -> None:
        """Record that every object of a shard has its outcome."""
        ended = self._shard_files.pop(number)
        self.flush()
        ended.unlink()

    def add(self, outcome: CopyOutcome) -> None:
        """Add one outcome."""
        job = outcome.job
        suffix = job.source_key[self._skip :]
        self._begun.pop(suffix, None)
        # in the order of the table's columns
        became = outcome.result, outcome.target_etag, outcome.evidence, outcome.attempts, outcome.error, outcome.message
        self._rows.append((suffix, job.size, job.etag, *became, outcome.duration_s, self._part))
        self._in_part += 1
        now = time.monotonic()
        if self._in_part == PART_ROWS or now >= self._due:
            self._end_part()
        elif len(self._rows) >= FLUSH_ROWS or now >= self._flush_due:
            self.flush()

    def _end_part(self) -> None:
        self.flush()
        for file in export_outcomes(self._catalog, self._state_dir, time.time(), self._part):
            if self._keep:
                self._keep(file)
                self._due = time.monotonic() + PART_S
        self._catalog.shrink()
        self._part += 1
        self._in_part = 0

    def flush(self) -> None:
        """Write the gathered outcomes to the catalog."""
        self._catalog.append("outcomes", self._rows)
        self._rows.clear()
        self._flush_due = time.monotonic() + FLUSH_S
        with contextlib.suppress(FileNotFoundError):  # nothing has begun yet, or it is no copy
            os.utime(next(iter(self._shard_files.values()), self._begun_file))

    def show_life(self) -> None:
        """Give the run's sign of life if it is due, also while nothing ends."""
        if time.monotonic() >= self._flush_due:
            self.flush()

    def close(self) -> None:
        """Write everything to the catalog and to files. Copies without an outcome are recorded as `begun`."""
        unknown = ("begun", None, None, 0, None, None, None, self._part)
        self._rows += [(suffix, *source, *unknown) for suffix, source in self._begun.items()]
        self._begun.clear()
        self.flush()
        export_outcomes(self._catalog, self._state_dir, time.time(), self._part)
        for file in (self._begun_file, *self._shard_files.values()):
            file.unlink(missing_ok=True)
        self._shard_files.clear()


def _write_begun(path: Path, begun: Mapping[str, tuple[int, str]]) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # not in the catalog: rows that come and go by the thousand cost it half as much memory again
    with replacing(path) as temporary, temporary.open("w") as file:
        rows = ((suffix, *source) for suffix, source in begun.items())
        # `json.dump` encodes in Python, not in C; `json.dumps` of everything would need much memory
        while some := list(islice(rows, LINE_ROWS)):
            file.write(json.dumps(some) + "\n")


def export_outcomes(catalog: Catalog, state_dir: Path, alive_at: float | None, first: int = 0) -> list[Path]:
    """Write `outcomes/<began>-<part>.parquet` for each part that has no file yet, each file whole or not at all.

    alive_at: Unix time of the last sign of life of the run whose outcomes they are; None: not known
    first: the parts before it have their files; neither those nor their rows are looked at
    Return the files that were written.
    """
    written = []
    metadata = catalog.metadata()
    folder = state_dir / FOLDER
    alive = None if alive_at is None else datetime.fromtimestamp(alive_at, UTC).isoformat(timespec="seconds")
    for (part,) in catalog.query("SELECT DISTINCT part FROM outcomes WHERE part >= ? ORDER BY part", [first]):
        file = folder / f"{metadata['began']}-{part:05}.parquet"
        if file.exists():
            continue
        folder.mkdir(mode=0o700, exist_ok=True)
        with replacing(file) as temporary:
            params = {name: metadata[name] for name in ("source_prefix", "target_prefix", "target_bucket")}
            catalog.run(_EXPORT, params | {"part": part, "file": str(temporary), "alive_at": alive})
        written.append(file)
    return written


def export_leftover_outcomes(path: Path, state_dir: Path) -> None:
    """Export the outcomes that a killed run left in its catalog at `path`, which is about to be replaced.

    A catalog that cannot be read, or that another version created, is skipped. Raises RehomeError if the list of copies
    that were in flight is damaged.
    """
    if not path.exists():
        return
    try:
        catalog = Catalog.open(path)
    except RehomeError:
        return
    with contextlib.suppress(duckdb.Error, KeyError), catalog:
        if catalog.query("FROM duckdb_columns() WHERE table_name = 'outcomes' AND column_name = 'rest'"):
            catalog.run("ALTER TABLE outcomes RENAME rest TO suffix")  # its name before 0.1.0
        began = _begun_file(catalog, state_dir)
        files = sorted(began.parent.glob(f"{began.stem}*.begun"))
        if files:
            catalog.run(schema.BEGUN.create())
        for begun in files:
            catalog.append("begun", [row for rows in read_json_lines(begun, _BEGUN_WAY_OUT) for row in rows])
        if files:
            catalog.run(_END_BEGUN)
        export_outcomes(catalog, state_dir, max((begun.stat().st_mtime for begun in files), default=None))
        for begun in files:
            begun.unlink(missing_ok=True)


def load_proofs(catalog: Catalog, settings: Settings) -> None:
    """Load what earlier passes and runs have proven, as far as the ETags are still those of the proof.

    Fills `unproven` (pairs whose ETags prove nothing), `compared` (of them, those whose contents are equal) and
    `own_copies` (target objects that earlier passes and runs created). An ETag changes with every change of content.
    Of the files, only what may be of such a pair is read, and how they begin and end. Raises RehomeError if a file is
    damaged.
    """
    catalog.run(schema.UNPROVEN.create(_UNPROVEN))
    files = _files(settings, FOLDER, "*.parquet")
    if files:
        params = {"files": files, "source_prefix": settings.source.prefix, "target_prefix": settings.target.prefix}
        _run_on_files(catalog, f"INSERT INTO compared {_KNOWN}", params)
        _load_removed(catalog, settings)
        params["target_bucket"] = settings.target.bucket
        _run_on_files(catalog, f"INSERT INTO own_copies {_OWN}", params)


def load_made_copies(catalog: Catalog, settings: Settings) -> None:
    """Fill `made` with the target objects (suffix, ETag) that any run copied there and verified, and `untold`.

    Raises RehomeError if a file is damaged.
    """
    files = _files(settings, FOLDER, "*.parquet")
    if not files:
        catalog.run(schema.MADE.create())
        catalog.run(schema.UNTOLD.create())
        return
    _load_removed(catalog, settings)
    params = {"files": files, "target_bucket": settings.target.bucket, "target_prefix": settings.target.prefix}
    _run_on_files(catalog, schema.MADE.create(_MADE), params)
    _run_on_files(catalog, schema.UNTOLD.create(_UNTOLD), params)


def _load_removed(catalog: Catalog, settings: Settings) -> None:
    catalog.run(schema.REMOVED.create())
    if files := _files(settings, REMOVED, "*.jsonl"):
        catalog.run(_REMOVED, {"files": files})


def _files(settings: Settings, folder: str, pattern: str) -> list[str]:
    return sorted(map(str, (settings.state_dir / folder).glob(pattern)))


def _run_on_files(catalog: Catalog, statement: str, params: Mapping[str, object]) -> None:
    try:
        catalog.run(statement, params)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:  # it names the file
        raise RehomeError(
            f"a file of outcomes cannot be read: {error}. {_FILE_WAY_OUT}.", code=Code.STATE_FILE
        ) from error


def _begun_file(catalog: Catalog, state_dir: Path, shard: str = "") -> Path:
    return state_dir / FOLDER / f"{catalog.metadata()['began']}{shard}.begun"
