"""What `show` shows of the last runs: the objects or rows of any class, from its lists, its catalog, or its samples."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from .. import duckdb_engine as duckdb
from ..catalog.catalog import Catalog
from ..codes import Code
from ..errors import RehomeError
from ..files import read_json_lines
from ..mapping.row_key import key_from_json
from .facts import Report
from .lists import LISTS_FOLDER
from .page import plain
from .samples import shown

MOST: Final = 10_000
"""Lines that are shown at once: results are kept by AWX."""
LONGEST: Final = 400
Form = str
FORMS: Final = ("text", "csv", "json")

_OBJECTS: Final = {
    "copied": "SELECT suffix, size, etag, evidence FROM outcomes WHERE result = 'copied' ORDER BY suffix",
    "found_present": "SELECT suffix, size, etag, evidence FROM outcomes WHERE result = 'present' ORDER BY suffix",
    "orphan": """
        SELECT suffix, size, etag, class AS plan_class FROM objects WHERE NOT named AND class <> 'deferred'
        ORDER BY suffix
    """,
    "restoring": "SELECT suffix, size, storage_class, restore FROM objects WHERE restore IS NOT NULL ORDER BY suffix",
    "foreign": "SELECT DISTINCT text AS suffix FROM foreign_samples WHERE kind = 'object' ORDER BY text",
}
_BY_CLASS: Final = "SELECT suffix, size, etag, target_etag FROM objects WHERE class = ? ORDER BY suffix"
_ROWS: Final = {
    "foreign": "SELECT DISTINCT text AS value_begins_with FROM foreign_samples WHERE kind = 'row' ORDER BY text",
    "waiting": """
        SELECT r.reference, r.key, r.value FROM planned_rows r
        WHERE r.class = 'to_rewrite' AND r.object_class <> 'present' AND NOT EXISTS (
            SELECT 1 FROM outcomes o WHERE o.suffix = r.suffix AND o.result IN ('copied', 'present'))
        ORDER BY r.reference, r.ordinal
    """,
}
_ROWS_BY_CLASS: Final = "SELECT reference, key, value FROM planned_rows WHERE class = ? ORDER BY reference, ordinal"

_NO_CLASSES: Final = ("seen", "sampled", "compared", "checked", "verified", "not_reached", "journalled", "appeared")
"""Counts that are no classes of their own: others have their objects and rows."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class that the last run has counted. name: as in the summary"""

    kind: str
    name: str
    count: int

    @property
    def whole_name(self) -> str:
        """The name that is like no other."""
        return f"{self.kind}-{self.name}".replace("_", "-")


@dataclass(frozen=True, slots=True)
class Shown:
    """Some entries of a class.

    source: where they come from, in words
    file: the file that has all of them; None: there is none
    more: whether a higher limit shows more
    """

    of: Class
    entries: list[dict[str, Any]]
    source: str
    file: str | None
    more: bool = False


def classes_of(report: Report) -> list[Class]:
    """Return every class that the run has counted anything of."""
    found: dict[str, Class] = {}
    for fact in report.get("classes", []):
        one = Class(fact["kind"], fact["name"], fact["count"])
        found[one.whole_name] = one
    for name, count in report["counts"].items():
        kind, _, rest = name.partition("_")
        if kind in ("objects", "rows", "copies") and rest not in _NO_CLASSES:
            found.setdefault(Class(kind, rest, count).whole_name, Class(kind, rest, count))
    for name, file in report["lists"].items():
        kind, _, rest = name.partition("-")
        found[name] = Class(kind, rest.replace("-", "_"), file["count"])
    return [found[name] for name in sorted(found)]


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to show of a class. older: which run it is of, in words, where that is not the last one"""

    parts: list[Shown]
    older: str | None


def find(state_dir: Path, reports: Sequence[Report], name: str, limit: int) -> Found:
    """Return up to `limit` entries of each class of this name, of the first of the reports that has kept any.

    reports: of the last run, and of earlier ones of other verbs, the newest first
    Raises RehomeError if none has counted such a class, and names those that there are.
    """
    last, *_ = reports
    counted = None
    for report in reports:
        parts = [show(state_dir, report, one, limit) for one in chosen(report, name)]
        if any(part.entries for part in parts):
            return Found(parts, None if report is last else _older(last, report, counted=counted is not None))
        if parts and counted is None:
            counted = Found(parts, None if report is last else _older(last, report, counted=False))
    if counted is not None:
        return counted
    counts = {one.whole_name: one.count for report in reversed(reports) for one in classes_of(report)}
    known = ", ".join(f"{name} ({counts[name]:,})" for name in sorted(counts)) or "none has been counted"
    problem = f"({plain(name)[:100]}): no run, of which the last is {_run(last)}, has counted such a class"
    raise RehomeError(
        f"class {problem if name.strip() else '(unset): it says what to show'}. Name one of these: {known}.",
        code=Code.UNKNOWN_CLASS,
    )


def chosen(report: Report, name: str) -> list[Class]:
    """Return the classes of this name that a run has counted."""
    wanted = name.strip().lower().replace("_", "-")
    return [one for one in classes_of(report) if wanted in (one.whole_name, one.name.replace("_", "-"))]


def _older(last: Report, shown: Report, *, counted: bool) -> str:
    problem = "has kept nothing of this class but its count" if counted else "has not counted this class"
    return f"The last run ({_run(last)}) {problem}. This is what an earlier one has found ({_run(shown)})."


def _run(report: Report) -> str:
    return f"{report['verb']}, {report['started_at'][:19]} UTC"


def show(state_dir: Path, report: Report, one: Class, limit: int) -> Shown:
    """Return up to `limit` entries of a class: from its list, else from the catalog, else samples of the report."""
    list_name = one.whole_name
    if (file := report["lists"].get(list_name)) and (path := state_dir / LISTS_FOLDER / f"{list_name}.jsonl").exists():
        entries = list(islice(read_json_lines(path, "The next run writes it again"), limit))
        return Shown(one, entries, "its list", file["file"])
    entries_of_catalog = _from_catalog(state_dir, report, one, limit + 1)
    if entries_of_catalog:
        return Shown(one, entries_of_catalog[:limit], "the catalog", None, len(entries_of_catalog) > limit)
    samples = [*report.get("samples", []), *report["list_samples"]]
    some = [s for s in samples if s["kind"] == one.kind and s["name"].removeprefix(f"{one.kind}-") == one.name]
    lines = [{name: value for name, value in line.items() if value} for sample in some for line in sample["shown"]]
    return Shown(one, lines[:limit], "samples of the report", None)


def _from_catalog(state_dir: Path, report: Report, one: Class, limit: int) -> list[dict[str, Any]]:
    """Return entries from the catalog; none if it is another run's, in use by a run, gone, or of another version."""
    named, by_class = {"objects": (_OBJECTS, _BY_CLASS), "rows": (_ROWS, _ROWS_BY_CLASS)}.get(one.kind, ({}, ""))
    statement, params = named.get(one.name, by_class), [] if one.name in named else [one.name]
    if not statement:
        return []
    try:
        with Catalog.peek(state_dir / "catalog.duckdb") as catalog:
            if catalog.metadata().get("run") != report["run"]:
                return []
            found: list[dict[str, Any]] = []
            for names, rows in catalog.stream_named(f"{statement} LIMIT {limit}", params):
                found += [dict(zip(names, row, strict=True)) for row in rows]
    except (RehomeError, duckdb.Error):
        return []
    return [_entry(line, report["moves"]["source"]["prefix"]) for line in found]


def _entry(line: dict[str, Any], prefix: str) -> dict[str, Any]:
    if "suffix" in line:
        return {"key": prefix + line.pop("suffix"), **line}
    if "reference" in line:
        return {**line, "key": list(key_from_json(line["key"]))}
    return line


def lines_of(some: Sequence[Shown], form: Form) -> list[str]:
    """Return entries as lines: for people, or as CSV or JSON lines for programs, of which each names its class."""
    if form == "json":
        return [
            json.dumps({"class": part.of.whole_name, **entry}, ensure_ascii=True)
            for part in some
            for entry in part.entries
        ]
    return list(_csv(some)) if form == "csv" else list(_text(some))


def _text(some: Sequence[Shown]) -> Iterator[str]:
    for part in some:
        count, name = part.of.count, part.of.whole_name
        which = "all" if len(part.entries) >= count else f"{len(part.entries):,} of"
        yield f"{name}: {which} {count:,}, from {part.source}" if part.entries else f"{name}: {count:,}, {_NOT_KEPT}"
        for entry in part.entries:
            yield "  " + "  ".join(f"{column}={_word(value)}" for column, value in entry.items() if value is not None)
        if part.file and len(part.entries) < count:
            yield f"  … all of them are in {part.file}"
        elif part.more and len(part.entries) < min(count, MOST):
            yield f"  … -e show_limit=… shows more of them, up to {MOST:,}"


_NOT_KEPT: Final = "of which nothing is kept: 'make plan ENV=…' finds them again"


def _word(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return plain(shown(text, LONGEST))


def _csv(some: Sequence[Shown]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for part in some for entry in part.entries for name in entry))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["class", *columns])
    for part in some:
        writer.writerows([part.of.whole_name, *(_cell(entry.get(name)) for name in columns)] for entry in part.entries)
    return iter(out.getvalue().splitlines())


def _cell(value: object) -> str:
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=True)
    return "" if value is None else "".join(map(_printable, str(value)))


def _printable(character: str) -> str:
    """Return a character as it is, or its escape: it may end the line, of which each is one entry, or be a command."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()
