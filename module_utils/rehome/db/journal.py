"""The journal: what the rows of a chunk held before, and what they were given, recorded with the change itself."""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
import os
import socket
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..mapping.row_key import key_to_json
from .dialect import Change, Dialect, Direction, JournalEntry, Key, RecordedEntry, UnusableJournalError, common_head

TABLE = "journal"
READ_AT_ONCE = 20
"""Entries: at some bytes a row, that many of the largest chunks are a few megabytes."""
_WRITTEN = ", ".join(JournalEntry._fields)
_READ = f"id, written_at, {_WRITTEN}"


class JournalTarget(NamedTuple):
    """Where chunks are recorded, and as what.

    undoes: the id of the entry that a rollback undoes
    """

    schema: str
    migration: str
    fingerprint: str
    direction: Direction = "rewrite"
    undoes: int | None = None


def insert(table: str, mark: str) -> str:
    """The statement that takes a JournalEntry; `table` is quoted, `mark` is the driver's placeholder."""
    return f"INSERT INTO {table} ({_WRITTEN}) VALUES ({', '.join([mark] * len(JournalEntry._fields))})"


def select_fingerprints(table: str, mark: str) -> str:
    """The statement that takes a migration's name and gives the fingerprints it wrote under."""
    return f"SELECT DISTINCT fingerprint FROM {table} WHERE migration = {mark}"


def select_row_count(table: str, mark: str) -> str:
    """The statement that takes a chunk and gives how many rows it changed; nothing where it never happened."""
    return f"SELECT row_count FROM {table} WHERE chunk = {mark}"


def select_entries(table: str, mark: str, *, all_of_them: bool) -> str:
    """The statement that takes a migration's name, unless `all_of_them` an id, and a limit, and gives the newest
    entries (before that id)."""
    before = "" if all_of_them else f" AND id < {mark}"
    return f"SELECT {_READ} FROM {table} WHERE migration = {mark}{before} ORDER BY id DESC LIMIT {mark}"


def check_columns(table: str, columns: Iterable[str]) -> bool:
    """Whether the journal is there, given the columns of the table of its name.

    Raises UnusableJournalError where they are not the journal's.
    """
    found = set(columns)
    missing = {"id", "written_at", *JournalEntry._fields} - found
    if found and missing:
        raise UnusableJournalError(
            f"{table} is there and is no journal of this version: it lacks {', '.join(sorted(missing))}"
        )
    return bool(found)


def recorded(row: Sequence[Any]) -> RecordedEntry:
    """An entry from a row of `select_entries`, in whatever types the driver gives."""
    number, written_at, *entry = row
    moment = datetime.fromisoformat(written_at) if isinstance(written_at, str) else written_at
    # the sessions' own time zone is UTC, which not every driver says with the value
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    made = JournalEntry(*entry)
    return RecordedEntry(int(number), aware, made._replace(entries=bytes(made.entries)))


def newest_first(
    database: Dialect, schema: str, migration: str, batch: int = READ_AT_ONCE
) -> Iterator[list[RecordedEntry]]:
    """Every entry of `migration` that was there when this began to read, the newest first, a batch at a time.

    No statement stays open between two batches: what is written meanwhile is newer, and not met.
    """
    before: int | None = None
    while found := database.read_journal(schema, migration, before, batch):
        yield found
        before = found[-1].id


def pack(changes: Sequence[Change]) -> bytes:
    """Compress `changes`: zlib over JSON of columns, which takes 2 to 4 bytes a row for short paths.

    Integer keys become differences. What all old values begin with stands once, and so for the new ones; where the
    rest of each row's two values is one, it stands once too.
    """
    all_keys, olds, news = zip(*changes, strict=True)
    old_head, new_head = common_head(olds), common_head(news)
    old, new = len(old_head), len(new_head)
    rests, new_rests = [text[old:] for text in olds], [text[new:] for text in news]
    keys = [_differences(part) for part in zip(*all_keys, strict=True)]
    document = {"keys": keys, "old": old_head, "new": new_head, "rests": rests}
    if new_rests != rests:
        document["new_rests"] = new_rests
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 6)


class Columns(NamedTuple):
    """Changes as columns of equal length."""

    keys: list[Key]
    olds: list[str]
    news: list[str]


def unpack(entries: bytes) -> list[Change]:
    """The inverse of `pack`."""
    return list(map(Change, *unpack_columns(entries)))


def unpack_columns(entries: bytes) -> Columns:
    """What `unpack` answers, at a fraction of its cost."""
    document = json.loads(zlib.decompress(entries).decode("utf-8", "surrogatepass"))
    keys: list[Key] = list(zip(*map(_sums, document["keys"]), strict=True))
    rests = document["rests"]
    old_head, new_head = document["old"], document["new"]
    return Columns(
        keys,
        [old_head + rest for rest in rests],
        [new_head + rest for rest in document.get("new_rests", rests)],
    )


def _differences(part: Sequence[int | str]) -> dict[str, Sequence[int | str]]:
    numbers = [value for value in part if isinstance(value, int)]
    if len(numbers) < len(part):
        return {"values": part}
    return {"steps": [numbers[0], *map(operator.sub, numbers[1:], numbers)]}


def _sums(part: dict[str, Sequence[int | str]]) -> Iterable[int | str]:
    return part["values"] if "values" in part else itertools.accumulate(int(step) for step in part["steps"])


def entry(
    chunk: str, target: JournalTarget, reference: str, changes: Sequence[Change], packed: bytes | None = None
) -> JournalEntry:
    """The record of one chunk, of at least one change.

    chunk: 32 hexadecimal digits that no other chunk has
    packed: what `pack` makes of `changes`, if that is known
    """
    packed = packed or pack(changes)
    return JournalEntry(
        chunk=chunk,
        migration=target.migration,
        fingerprint=target.fingerprint,
        reference=reference,
        direction=target.direction,
        undoes=target.undoes,
        row_count=len(changes),
        first_key=key_to_json(changes[0].key),
        last_key=key_to_json(changes[-1].key),
        entries=packed,
        sha256=hashlib.sha256(packed).hexdigest(),
        written_by=_who(),
    )


def _who() -> str:
    """The AWX job and user where there is one, else the process and its host."""
    job, user = os.environ.get("JOB_ID"), os.environ.get("AWX_USER_NAME") or os.environ.get("USER", "")
    return f"{user}@{socket.gethostname()} {f'job {job}' if job else f'pid {os.getpid()}'}".strip()[:255]
