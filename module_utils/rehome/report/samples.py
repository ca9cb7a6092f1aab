"""What the report shows of a catalog: counts and bytes by class, and a few keys and rows of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ..catalog.catalog import Catalog
from ..config.settings import Settings
from ..mapping.row_key import key_from_json
from .facts import ClassFact, Proof, ReferenceCounts, Sample, Samples
from .fields import ListFile
from .lists import LISTS_FOLDER
from .words import CLASSES

LONGEST: Final = 1_100
"""Characters of a key or value that a report has; S3's keys have 1,024 bytes."""

_OBJECT_CLASSES = "SELECT class, count(*), coalesce(sum(size), 0)::BIGINT FROM objects GROUP BY class ORDER BY class"
_ROW_CLASSES = "SELECT class, count(*) FROM planned_rows GROUP BY class ORDER BY class"
_BY_REFERENCE = "SELECT reference, class, count(*) FROM planned_rows GROUP BY ALL ORDER BY ALL"

_OBJECTS: Final = {
    "to_copy": "class = 'to_copy'",
    "outdated": "class = 'outdated'",
    "orphan": "NOT named AND class <> 'deferred'",
    "deferred": "class = 'deferred'",
}
"""Classes of objects that no list has → their condition. An orphan is also in a class of its own."""

_ROWS: Final = ("to_rewrite", "deferred")
"""Classes of rows that no list has."""

_PROOFS_OF_COPIES = """
SELECT evidence, count(*), sum(size)::BIGINT FROM outcomes WHERE result = 'copied' AND evidence IS NOT NULL
GROUP BY evidence ORDER BY evidence
"""
_PROOFS_OF_PRESENT = """
SELECT coalesce(c.evidence, 'etag') AS evidence, count(*), sum(size)::BIGINT
FROM objects o LEFT JOIN compared c USING (suffix) WHERE o.class = 'present' GROUP BY 1 ORDER BY 1
"""
"""Contents are compared only where equal ETags do not prove that they are the same."""


def class_facts(catalog: Catalog) -> list[ClassFact]:
    """Return the classes of the plan in `catalog`, with what is not under the map as `foreign`."""
    metadata = catalog.metadata()
    objects: list[tuple[str, int, int | None]] = catalog.query(_OBJECT_CLASSES)
    objects.append(("foreign", int(metadata.get("source_foreign", 0)), None))
    rows = [*catalog.query(_ROW_CLASSES), ("foreign", int(metadata.get("rows_foreign", 0)))]
    found = [ClassFact(kind="objects", name=name, count=count, bytes=size) for name, count, size in objects]
    found += [ClassFact(kind="rows", name=name, count=count, bytes=None) for name, count in rows]
    order = {kind: list(classes) for kind, classes in CLASSES.items()}
    return sorted(
        (one for one in found if one["count"]),
        key=lambda one: (one["kind"], order[one["kind"]].index(one["name"])),
    )


def counts_by_reference(catalog: Catalog) -> list[ReferenceCounts]:
    """Return the classes of each column's rows under the map."""
    found: dict[str, dict[str, int]] = {}
    for reference, name, count in catalog.query(_BY_REFERENCE):
        found.setdefault(reference, {})[name] = count
    return [ReferenceCounts(column=column, counts=counts) for column, counts in found.items()]


def proofs_of_copies(catalog: Catalog) -> list[Proof]:
    """Return what proved the copies of this pass."""
    return _proofs(catalog, _PROOFS_OF_COPIES)


def proofs_of_present(catalog: Catalog) -> list[Proof]:
    """Return what proves the objects that the plan in `catalog` calls present."""
    return _proofs(catalog, _PROOFS_OF_PRESENT)


def added_proofs(before: Iterable[Proof], more: Iterable[Proof]) -> list[Proof]:
    """Return the sum of two lists of proofs."""
    sums: dict[str, Proof] = {}
    for proof in (*before, *more):
        known = sums.setdefault(proof["evidence"], Proof(evidence=proof["evidence"], objects=0, bytes=0))
        known["objects"] += proof["objects"]
        known["bytes"] += proof["bytes"]
    return [sums[name] for name in sorted(sums)]


def _proofs(catalog: Catalog, select: str) -> list[Proof]:
    return [Proof(evidence=evidence, objects=count, bytes=size) for evidence, count, size in catalog.query(select)]


def samples_of_plan(catalog: Catalog, settings: Settings) -> list[Samples]:
    """Return samples of the classes that no list has, in the order of keys; none if `rehome_report_samples` is 0."""
    most = settings.report_samples
    if not most:
        return []
    return [*_objects(catalog, settings, most), *_rows(catalog, settings, most), *_foreign(catalog, settings, most)]


def _objects(catalog: Catalog, settings: Settings, most: int) -> Iterator[Samples]:
    source, target = settings.source.prefix, settings.target.prefix
    for name, condition in _OBJECTS.items():
        count = catalog.count(f"FROM objects WHERE {condition}")
        if count:
            some = catalog.query(f"SELECT suffix, size FROM objects WHERE {condition} ORDER BY suffix LIMIT {most}")
            shown = [
                Sample(where="", before=source + suffix, after=target + suffix, note=f"{size:,} bytes")
                for suffix, size in some
            ]
            yield Samples(kind="objects", name=name, count=count, shown=shown)


def _rows(catalog: Catalog, settings: Settings, most: int) -> Iterator[Samples]:
    counts = {(one["column"], name): n for one in counts_by_reference(catalog) for name, n in one["counts"].items()}
    for name in _ROWS:
        columns = {column: count for (column, of), count in counts.items() if of == name}
        if columns:
            share = -(-most // len(columns))
            shown = [
                sample
                for reference in settings.references
                if reference.name in columns
                for sample in _rows_of(catalog, settings, reference.name, name, share)
            ]
            yield Samples(kind="rows", name=name, count=sum(columns.values()), shown=shown[:most])


def _rows_of(catalog: Catalog, settings: Settings, column: str, name: str, most: int) -> Iterator[Sample]:
    (reference,) = (one for one in settings.references if one.name == column)
    values = settings.value_map(reference)
    some = catalog.query(
        "SELECT key, value FROM planned_rows WHERE reference = ? AND class = ? ORDER BY ordinal LIMIT ?",
        [column, name, most],
    )
    for key, value in some:
        after = values.to_target(value) or ""
        yield Sample(where=_row(column, key_from_json(key)), before=shown(value), after=shown(after), note="")


def _foreign(catalog: Catalog, settings: Settings, most: int) -> Iterator[Samples]:
    """Yield what is not under the map. Of rows, the catalog has only what their values begin with."""
    metadata = catalog.metadata()
    for kind, one, name in (("objects", "object", "source_foreign"), ("rows", "row", "rows_foreign")):
        some = catalog.query(
            "SELECT DISTINCT text FROM foreign_samples WHERE kind = ? ORDER BY text LIMIT ?", [one, most]
        )
        if some:
            prefix, note = (settings.source.prefix, "") if kind == "objects" else ("", "how the value begins")
            found = [Sample(where="", before=prefix + shown(text), after="", note=note) for (text,) in some]
            yield Samples(kind=kind, name="foreign", count=int(metadata.get(name, 0)), shown=found)  # type: ignore[typeddict-item]


_BEFORE = ("value", "old_value", "key")
_AFTER = ("new_value", "expected", "target_key", "source_key")


def samples_of_lists(settings: Settings, lists: Mapping[str, ListFile]) -> list[Samples]:
    """Return samples of each list of a run: its first lines."""
    most = settings.report_samples
    if not most:
        return []
    return [
        Samples(
            kind="rows" if name.startswith("rows") else "objects",
            name=name,
            count=file["count"],
            shown=[_listed(entry) for entry in _first(settings.state_dir / LISTS_FOLDER / f"{name}.jsonl", most)],
        )
        for name, file in lists.items()
    ]


def _first(path: Path, most: int) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, islice(lines, most))


def _listed(entry: dict[str, Any]) -> Sample:
    """Return a line of a list as a sample: what it is, what it was or becomes, and the rest as a note."""
    where = ""
    if "reference" in entry:
        where = _row(entry.pop("reference"), entry.pop("key"))
    before = next((str(entry.pop(name)) for name in _BEFORE if entry.get(name) is not None), "")
    after = next((str(entry.pop(name)) for name in _AFTER if entry.get(name) is not None), "")
    note = ", ".join(f"{name.replace('_', ' ')} {shown(str(value), 200)}" for name, value in entry.items() if value)
    return Sample(where=where, before=shown(before), after=shown(after), note=note)


def _row(column: str, key: Iterable[object]) -> str:
    return shown(f"{column} {', '.join(map(str, key))}", 200)


_USER = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?[^#\s]*")


def shown(text: str, longest: int = LONGEST) -> str:
    """Return a value for people: without what may be secret in a URL, and with its middle left out if it is long.

    A query string may hold a signature or a token, and the part before an `@` a password.
    """
    if "://" in text:
        text = _QUERY.sub("?…", _USER.sub("…@", text))
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail]} … {text[-tail:]} ({len(text):,} characters)"
