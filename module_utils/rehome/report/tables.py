"""The first lines of the lists, for the tables of the report's page. Whatever the lists hold, they stay small."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .fields import ListFile
from .lists import LISTS_FOLDER
from .samples import shown

MOST_ROWS: Final = 1_000
MOST_CHARACTERS: Final = 1_000_000
"""Of all tables together."""
LONGEST_CELL: Final = 240
_LONGEST_LINE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ListTable:
    """The first rows of a list. columns: the names of its cells; rows: as many cells each"""

    name: str
    file: ListFile
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(state_dir: Path, lists: Mapping[str, ListFile], *, most: int = MOST_ROWS) -> list[ListTable]:
    """Return a table of each list, from its file in the state folder. A list whose file is gone has no rows.

    most: rows of each; 0 if keys and rows are to be left out
    """
    share = MOST_CHARACTERS // max(1, len(lists))
    return [_table(name, file, state_dir / LISTS_FOLDER / f"{name}.jsonl", most, share) for name, file in lists.items()]


def _table(name: str, file: ListFile, path: Path, most: int, characters: int) -> ListTable:
    entries: list[dict[str, str]] = []
    for entry in first_entries(path, most):
        cells = {column: _cell(value) for column, value in entry.items()}
        characters -= sum(map(len, cells.values())) + 40
        if characters < 0:
            break
        entries.append(cells)
    columns = tuple(dict.fromkeys(column for entry in entries for column in entry))
    return ListTable(name, file, columns, tuple(tuple(entry.get(c, "") for c in columns) for entry in entries))


def first_entries(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """Yield the first lines of a list. One that is too long for a table, or is no JSON, has the column `line` alone."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for _ in range(most):
            line = file.readline(_LONGEST_LINE)
            if not line:
                return
            length = len(line)
            while line and not line.endswith(b"\n") and (more := file.readline(_LONGEST_LINE)):
                length += len(more)
                if more.endswith(b"\n"):
                    break
            try:
                entry = json.loads(line)
            except ValueError:
                text = line[:LONGEST_CELL].decode(errors="replace")
                entry = {"line": f"{text} … ({length:,} bytes)"}
            yield entry if isinstance(entry, dict) else {"line": entry}


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return shown(text, LONGEST_CELL)
