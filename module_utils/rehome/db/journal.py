"""The journal: a table in the database that records, with each chunk's change, the old and new values of its rows."""

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

from ..job import SEPARATOR, Job, user_name
from ..mapping.row_key import key_to_json
from .dialect import Change, Dialect, Direction, JournalEntry, Key, RecordedEntry, UnusableJournalError, common_head

TABLE = "journal"
READ_AT_ONCE = 20
"""Entries per read. The largest chunks take a few bytes per row, so this many are a few megabytes."""
_WRITTEN = ", ".join(JournalEntry._fields)
_READ = f"id, written_at, {_WRITTEN}"


class JournalTarget(NamedTuple):
    """Where chunks are recorded, and under which name and settings.

    undoes: the id of the entry that a rollback undoes
    place: what is moved where, in one line for people
    job: whose job this run is; None outside of AWX
    """

    schema: str
    migration: str
    fingerprint: str
    direction: Direction = "rewrite"
    undoes: int | None = None
    place: str = ""
    job: Job | None = None


def insert(table: str, mark: str) -> str:
    """Return the statement that writes a JournalEntry. `table` is quoted, `mark` is the driver's placeholder."""
    return f"INSERT INTO {table} ({_WRITTEN}) VALUES ({', '.join([mark] * len(JournalEntry._fields))})"


def select_newest_of_others(table: str, mark: str) -> str:
    """Return the statement that reads the newest entry under other settings.

    Its parameters are the migration's name and the fingerprint of these settings.
    """
    return f"SELECT {_READ} FROM {table} WHERE migration = {mark} AND fingerprint <> {mark} ORDER BY id DESC LIMIT 1"


def select_row_count(table: str, mark: str) -> str:
    """Return the statement that reads how many rows a chunk changed. Its parameter is the chunk's id."""
    return f"SELECT row_count FROM {table} WHERE chunk = {mark}"


def select_entries(table: str, mark: str, *, from_newest: bool) -> str:
    """Return the statement that reads the newest entries.

    Its parameters are the migration's name, the id that all entries are below (not if `from_newest`), and the limit.
    """
    before = "" if from_newest else f" AND id < {mark}"
    return f"SELECT {_READ} FROM {table} WHERE migration = {mark}{before} ORDER BY id DESC LIMIT {mark}"


def check_columns(table: str, columns: Iterable[str]) -> bool:
    """Return whether the journal exists, given the columns of the table with its name (none if there is no table).

    Raises UnusableJournalError if they are not the journal's.
    """
    found = set(columns)
    missing = {"id", "written_at", *JournalEntry._fields} - found
    if found and missing:
        raise UnusableJournalError(
            f"{table} exists, but is not a journal of this version: it lacks {', '.join(sorted(missing))}"
        )
    return bool(found)


def recorded(row: Sequence[Any]) -> RecordedEntry:
    """Return the entry in a row of `select_entries`, whose types depend on the driver."""
    number, written_at, *fields = row
    moment = datetime.fromisoformat(written_at) if isinstance(written_at, str) else written_at
    # the session's time zone is UTC, but not every driver returns it with the value
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    made = JournalEntry(*fields)
    return RecordedEntry(int(number), aware, made._replace(entries=bytes(made.entries)))


def newest_first(
    database: Dialect, schema: str, migration: str, batch: int = READ_AT_ONCE
) -> Iterator[list[RecordedEntry]]:
    """Yield the entries of `migration`, newest first, in lists of at most `batch`.

    No statement stays open between two lists. Entries written after the first read are newer, and not included.
    """
    before: int | None = None
    while found := database.read_journal(schema, migration, before, batch):
        yield found
        before = found[-1].id


def pack(changes: Sequence[Change]) -> bytes:
    """Compress `changes`: zlib over JSON of columns, which takes 2 to 4 bytes per row for short paths.

    Integer keys become differences. The common head of all old values is stored once, and so is that of the new ones.
    If old and new values have the same suffixes after it, these are stored once as well.
    """
    all_keys, olds, news = zip(*changes, strict=True)
    old_head, new_head = common_head(olds), common_head(news)
    old, new = len(old_head), len(new_head)
    suffixes, new_suffixes = [text[old:] for text in olds], [text[new:] for text in news]
    keys = [_differences(part) for part in zip(*all_keys, strict=True)]
    document = {"keys": keys, "old": old_head, "new": new_head, "rests": suffixes}
    if new_suffixes != suffixes:
        document["new_rests"] = new_suffixes
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 6)


class Columns(NamedTuple):
    """Changes as columns of equal length."""

    keys: list[Key]
    olds: list[str]
    news: list[str]


def unpack(entries: bytes) -> list[Change]:
    """Return the inverse of `pack`."""
    return list(map(Change, *unpack_columns(entries)))


def unpack_columns(entries: bytes) -> Columns:
    """Return what `unpack` returns, as columns and at a fraction of its cost."""
    document = json.loads(zlib.decompress(entries).decode("utf-8", "surrogatepass"))
    keys: list[Key] = list(zip(*map(_sums, document["keys"]), strict=True))
    suffixes = document["rests"]
    old_head, new_head = document["old"], document["new"]
    return Columns(
        keys,
        [old_head + suffix for suffix in suffixes],
        [new_head + suffix for suffix in document.get("new_rests", suffixes)],
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
    """Return the entry of one chunk of at least one change.

    chunk: a unique id of 32 hexadecimal digits
    packed: the result of `pack` for `changes`, if it was computed before
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
        written_by=_origin(target),
    )


_PLACE_FOLLOWS = f"{SEPARATOR} "
_USER_LENGTH = 40
"""Characters of a job's user in an entry, whose place must find room beside it."""


def _origin(target: JournalTarget) -> str:
    """Return who writes, and of which migration: in ASCII, as the journal's column may take nothing else."""
    return _PLACE_FOLLOWS.join(filter(None, (_author(target.job), _plain(target.place))))[:255]


def _plain(place: str) -> str:
    return place.encode("ascii", "backslashreplace").decode()


def _author(job: Job | None) -> str:
    """Return user and host with the job, or else with the process id."""
    user = (job["user"] if job else None) or _plain(user_name())
    process = f"job {job['id'][:_USER_LENGTH]}" if job else f"pid {os.getpid()}"
    return f"{user[:_USER_LENGTH]}@{socket.gethostname()} {process}"


def whose(recorded: RecordedEntry) -> str:
    """Return when, by whom and of which migration an entry was written, for a message.

    Entries of earlier versions do not say what was moved where: for those, a value before and after stands for it.
    """
    entry = recorded.entry
    author, _, place = entry.written_by.partition(_PLACE_FOLLOWS)
    if not place and hashlib.sha256(entry.entries).hexdigest() == entry.sha256:
        first = unpack(entry.entries)[0]
        place = f"such as {first.old} to {first.new}"
    when = f"{recorded.written_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{when} by {author}, {entry.row_count:,} rows of {entry.reference} ({place or 'a damaged entry'})"


def is_of_database(recorded: RecordedEntry, place: str) -> bool:
    """Return whether an entry was written for the database that `place` names, as far as it says."""
    _, _, other = recorded.entry.written_by.partition(_PLACE_FOLLOWS)
    return not other or other.partition(": ")[0] == _plain(place).partition(": ")[0]
