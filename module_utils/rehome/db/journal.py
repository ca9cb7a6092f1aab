"""The journal's entries: what the rows of a chunk held before, and what they were given."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import zlib
from collections.abc import Sequence

from .dialect import Change, JournalEntry

TABLE = "journal"
_COLUMNS = ", ".join(JournalEntry._fields)


def insert(table: str, mark: str) -> str:
    """The statement that takes a JournalEntry; `table` is quoted, `mark` is the driver's placeholder."""
    return f"INSERT INTO {table} ({_COLUMNS}) VALUES ({', '.join([mark] * len(JournalEntry._fields))})"


def select_fingerprints(table: str, mark: str) -> str:
    """The statement that takes a migration's name and gives the fingerprints it wrote under."""
    return f"SELECT DISTINCT fingerprint FROM {table} WHERE migration = {mark}"


def select_entries(table: str, mark: str) -> str:
    """The statement that takes a migration's name and gives its entries, oldest first."""
    return f"SELECT {_COLUMNS} FROM {table} WHERE migration = {mark} ORDER BY id"


def pack(changes: Sequence[Change]) -> bytes:
    """Compress `changes`: zlib over JSON lines of `[[key…], old, new]`."""
    lines = "\n".join(json.dumps([change.key, change.old, change.new], ensure_ascii=False) for change in changes)
    return zlib.compress(lines.encode("utf-8", "surrogatepass"), 6)


def unpack(entries: bytes) -> list[Change]:
    """The inverse of `pack`."""
    lines = zlib.decompress(entries).decode("utf-8", "surrogatepass").split("\n")
    return [Change(tuple(key), old, new) for key, old, new in map(json.loads, lines)]


def entry(migration: str, fingerprint: str, reference: str, changes: Sequence[Change]) -> JournalEntry:
    """The record of one chunk, of at least one change."""
    packed = pack(changes)
    return JournalEntry(
        migration=migration,
        fingerprint=fingerprint,
        reference=reference,
        row_count=len(changes),
        first_key=json.dumps(changes[0].key, ensure_ascii=False),
        last_key=json.dumps(changes[-1].key, ensure_ascii=False),
        entries=packed,
        sha256=hashlib.sha256(packed).hexdigest(),
        written_by=_who(),
    )


def _who() -> str:
    """The AWX job and user where there is one, else the process and its host."""
    job, user = os.environ.get("JOB_ID"), os.environ.get("AWX_USER_NAME") or os.environ.get("USER", "")
    return f"{user}@{socket.gethostname()} {f'job {job}' if job else f'pid {os.getpid()}'}".strip()[:255]
