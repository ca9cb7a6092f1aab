"""What a search has found, in the state folder: `discover.json` when it has come to its end, and until then how far."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ..config.settings import Settings
from ..files import read_json, write_json, write_whole
from .columns import FoundColumn
from .search import Position

FILE: Final = "discover.json"
TEXT_FILE: Final = "discover.txt"
UNFINISHED_FILE: Final = "discover-unfinished.json"
WAY_OUT: Final = "Remove it, and run playbooks/discover.yml again"
WRITE_EVERY_S: Final = 2.0
WRITE_RATIO: Final = 20
"""So many times as long as writing it takes, nothing is written."""


def searched_for(settings: Settings) -> str:
    """Return what is the same for two searches for the same names in the same database.

    Host and port are not part of it: the search may have asked a replica.
    """
    source, database = settings.source, settings.database
    what: list[object] = [source.bucket, source.prefix, settings.include, settings.exclude]
    what += [database.engine, database.name, database.path]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Record:
    """The result of a search that has come to its end.

    searched_for: see the function
    place: what was searched for, and where, for people
    listing: how many objects the listing had that names were looked up in; None: there was none
    """

    searched_for: str
    place: str
    began: str
    ended: str
    whole: bool
    listing: int | None
    columns: tuple[FoundColumn, ...] = field(default=())

    def of(self, standing: str) -> list[FoundColumn]:
        """Return the columns of this standing."""
        return [column for column in self.columns if column.standing == standing]


def write_record(state_dir: Path, record: Record) -> None:
    """Replace the record of an earlier search, and forget how far this one was."""
    fields = {name: getattr(record, name) for name in Record.__slots__}
    write_json(state_dir / FILE, {**fields, "columns": [column.as_dict() for column in record.columns]})
    (state_dir / UNFINISHED_FILE).unlink(missing_ok=True)


def read_record(settings: Settings) -> Record | None:
    """Return the result of the last search for these names; None if there is none. Raises RehomeError if damaged."""
    found = read_json(settings.state_dir / FILE, _record, WAY_OUT)
    return found if found and found.searched_for == searched_for(settings) else None


def _record(given: Any) -> Record:
    fields = {name: given[name] for name in Record.__slots__}
    return Record(**{**fields, "columns": tuple(map(FoundColumn.of_dict, fields["columns"]))})


class Unfinished:
    """How far a search is, written every few seconds, so that another run goes on there.

    asked: what the search is for, and how: one that was asked for something else begins anew
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = settings.state_dir / UNFINISHED_FILE
        self._clock = clock
        self._due = 0.0
        self._asked = _asked(settings)
        self.began = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.tables: dict[str, list[FoundColumn]] = {}
        self.position: Position | None = None
        ended = read_json(settings.state_dir / FILE, _began, WAY_OUT)
        given = read_json(self._path, dict, WAY_OUT)
        # one that a later search has overtaken may come back from the copy of the state folder
        if given and given["asked"] == self._asked and given["began"] > (ended or ""):
            self.began = given["began"]
            self.tables = {
                table: [FoundColumn.of_dict(column) for column in columns] for table, columns in given["tables"].items()
            }
            self.position = Position.of_dict(given["position"]) if given["position"] else None

    def done(self, table: str, columns: Sequence[FoundColumn]) -> None:
        """Take in a table that has been searched."""
        self.tables[table] = list(columns)
        self.position = None
        self._write_if_due()

    def reached(self, position: Position) -> None:
        """Take in how far the search of a table is."""
        self.position = position
        self._write_if_due()

    def _write_if_due(self) -> None:
        if self._clock() >= self._due:
            self.write()

    def write(self) -> None:
        """Write it now."""
        began = self._clock()
        tables: Mapping[str, Any] = {
            table: [column.as_dict() for column in columns] for table, columns in self.tables.items()
        }
        position = self.position.as_dict() if self.position else None
        content = {"asked": self._asked, "began": self.began, "tables": tables, "position": position}
        write_whole(self._path, json.dumps(content, ensure_ascii=False))
        took = self._clock() - began
        self._due = self._clock() + max(WRITE_EVERY_S, WRITE_RATIO * took)


def _asked(settings: Settings) -> str:
    references = sorted(reference.name for reference in settings.references)
    what = [searched_for(settings), settings.discover.whole, settings.discover.schemas, references]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _began(given: Any) -> str:
    return str(given["began"])
