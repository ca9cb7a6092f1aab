"""Walk over all tables: small ones as a whole, large ones by samples, and as a whole where a sample finds something."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from ..config.settings import Database, Reference
from ..db.dialect import (
    DatabaseError,
    Dialect,
    Key,
    RetryableError,
    StatementTimeoutError,
    UnknownColumnError,
    UnknownTableError,
    UnusableTableError,
)
from ..db.engines.open import connect
from ..db.engines.open_search import column_search
from ..db.search import ColumnSearch, Contents, Hit, NotSearched, Pages, SearchTable, TextColumn, Texts
from ..db.work.chunk_size import MIN_ROWS, ChunkSize
from ..db.work.reconnect import WorkContext, retry_read
from ..mapping.forms import BucketAddress
from .columns import FoundColumn
from .evidence import Evidence, Exists
from .recognise import BARE, Named, Recogniser
from .spoken import bare_name, texts_for

T = TypeVar("T")

Recognise = Callable[..., Named | None]
"""`Recogniser.__call__`."""

PAGE_S: Final = 0.2
"""How long the server should work on one page."""
SAMPLE_ROWS: Final = 500
SAMPLES: Final = 4
"""Samples of a large table, beside its first rows."""
SMALL_ROWS: Final = 10_000
"""A table with so many rows, or fewer, is read as a whole."""
BARE_ROWS: Final = 50
"""Rows of a table that are looked at for names without the prefix."""
HITS: Final = 1_000
"""Rows that one statement returns at most: what they hold is bounded so."""


@dataclass(frozen=True)
class Asked:
    """What to search for, and how thoroughly.

    schemas: globs of those to search; empty: all that PostgreSQL's user sees, and MariaDB's and MySQL's own database
    references: their columns are not searched
    ours: tables that Rehome itself writes, as (schema, table)
    whole: read all rows of all tables; None: of none but small ones, however much is found
    exists: looks names up in the source's listing; None: there is none
    """

    source: BucketAddress
    prefix: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    ours: tuple[tuple[str, str], ...] = ()
    whole: bool | None = False
    exists: Exists | None = None


@dataclass
class Position:
    """How far the walk through a large table is. It can be kept, and the walk go on there.

    columns: those that are read
    after: the key of the last row that was read
    rows, sampled: read of the table so far, and before, for the columns that are not read any more
    evidence: by column
    """

    table: str
    columns: list[str]
    after: Key | None
    rows: int
    sampled: int
    evidence: dict[str, Evidence]

    def as_dict(self) -> dict[str, Any]:
        """Return it for a file."""
        return {**vars(self), "evidence": {name: one.as_dict() for name, one in self.evidence.items()}}

    @classmethod
    def of_dict(cls, given: Mapping[str, Any]) -> Position:
        """Return what `as_dict` has made a mapping of. Raises KeyError and TypeError for anything else."""
        after = None if given["after"] is None else tuple(given["after"])
        evidence = {name: Evidence.of_dict(one) for name, one in given["evidence"].items()}
        rows, sampled = int(given["rows"]), int(given["sampled"])
        return cls(given["table"], list(given["columns"]), after, rows, sampled, evidence)


@dataclass(frozen=True)
class Watch:
    """What a walk takes from, and tells, its caller.

    wait: called between two pages with the seconds that the server has worked since; may take long
    stopping: whether to end at the next page
    at: told how many tables of how many are done, and how many columns name objects
    done: told each table's columns
    reached: told where in a large table the walk is
    """

    wait: Callable[[float], object] = lambda _busy_s: None
    stopping: Callable[[], bool] = lambda: False
    at: Callable[[int, int, int], object] = lambda _done, _total, _found: None
    done: Callable[[str, Sequence[FoundColumn]], object] = lambda _table, _columns: None
    reached: Callable[[Position], object] = lambda _position: None


class InterruptedSearchError(Exception):
    """The walk was asked to stop. What was done has been told."""


def discover_columns(
    database: Database,
    source: BucketAddress,
    prefix: str,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    exists: Exists | None = None,
) -> list[FoundColumn]:
    """Search small tables as a whole and the others by samples, within seconds, and without a state folder.

    exists: looks names up in a listing, if there is one
    Raises RefusedError if the database cannot be reached, and DatabaseError if it refuses its own catalog.
    """
    asked = Asked(source, prefix, tuple(include), tuple(exclude), whole=None, exists=exists)
    with connect(database) as connection:
        return search(connection, database, asked)


def search(
    database: Dialect,
    settings: Database,
    asked: Asked,
    watch: Watch | None = None,
    before: Mapping[str, Sequence[FoundColumn]] | None = None,
    position: Position | None = None,
) -> list[FoundColumn]:
    """Return every column that may hold texts, and what was not searched. Reads only.

    before: what an interrupted search has found, by table
    position: where in a table it was
    Raises DatabaseError if the database refuses its own catalog, and InterruptedSearchError.
    """
    return _Search(database, settings, asked, watch or Watch(), position).run(before or {})


class _Search:
    def __init__(
        self, database: Dialect, settings: Database, asked: Asked, watch: Watch, position: Position | None
    ) -> None:
        self._database = database
        self._search: ColumnSearch = column_search(database, settings)
        self._asked = asked
        self._watch = watch
        self._position = position
        self._recognise = Recogniser(asked.source, asked.prefix, asked.include, asked.exclude)
        self._texts = texts_for(self._recognise.keymap)
        self._bare = Texts("", name=bare_name(self._recognise.keymap))
        self._referenced = {(one.table, one.column) for one in asked.references}
        self._context = WorkContext(stopping=watch.stopping)
        self._busy_s = 0.0

    def run(self, before: Mapping[str, Sequence[FoundColumn]]) -> list[FoundColumn]:
        contents = self._contents()
        found: list[FoundColumn] = []
        names = 0
        for number, table in enumerate(contents.tables):
            self._watch.at(number, len(contents.tables), names)
            if table.name in before:
                columns = list(before[table.name])
            else:
                self._pause()
                columns = self._table(table)
                self._watch.done(table.name, columns)
            found += columns
            names += sum(column.standing == "names" for column in columns)
        self._watch.at(len(contents.tables), len(contents.tables), names)
        found += [FoundColumn(one.table, one.column, "", "not_searched", one.why) for one in contents.not_searched]
        return sorted(found, key=lambda column: (column.table, column.column))

    def _contents(self) -> Contents:
        contents = self._read(lambda: self._search.contents(self._asked.schemas))
        ours = [table for table in contents.tables if (table.schema, table.table) in self._asked.ours]
        not_searched = [*contents.not_searched, *(NotSearched(table.name, "", "Rehome's own") for table in ours)]
        return Contents([table for table in contents.tables if table not in ours], not_searched)

    def _table(self, table: SearchTable) -> list[FoundColumn]:
        references = [column for column in table.columns if (table.name, column.name) in self._referenced]
        columns = tuple(column for column in table.columns if column not in references)
        found = [FoundColumn(table.name, column.name, column.type, "reference") for column in references]
        if not columns:
            return found
        walk = _Walk(replace(table, columns=columns), self._position)
        try:
            self._look_at(walk)
        except DatabaseError as error:
            if len(columns) > 1 and not isinstance(error, RetryableError):
                # what the server refuses of one column must not hide the others
                return found + [one for column in columns for one in self._table(replace(table, columns=(column,)))]
            walk.why = str(error)
        return [*found, *(self._judged(walk, column) for column in columns)]

    def _look_at(self, walk: _Walk) -> None:
        if walk.resumed:
            self._read_on(walk)
            return
        table = walk.table
        if not table.key:
            self._read_without_key(walk)
            return
        if table.rows is not None and table.rows <= SMALL_ROWS:
            # the statistics may be old
            rows = self._read(lambda: self._search.count(table, Pages(), SMALL_ROWS + 1))
            if rows <= SMALL_ROWS:
                self._take(walk, Pages(), rows)
                self._look_for_bare_names(walk)
                walk.whole = True
                return
        end = self._page_end(table, None, SAMPLE_ROWS)
        self._take(walk, Pages(None, end), self._size(table, Pages(None, end), SAMPLE_ROWS))
        self._look_for_bare_names(walk)
        walk.after, walk.whole = end, end is None
        if self._asked.whole:
            self._read_on(walk)
        if walk.whole:
            return
        for start in self._read(lambda: self._search.starts(table, SAMPLES, SAMPLE_ROWS)):
            end = self._page_end(table, start, SAMPLE_ROWS)
            rows = self._size(table, Pages(start, end), SAMPLE_ROWS)
            self._take(walk, Pages(start, end), rows)
        if self._asked.whole is None:
            return
        hit = [column for column in table.columns if walk.evidence[column.name].found]
        if hit:
            walk.begin_again(hit)
            self._read_on(walk)

    def _look_for_bare_names(self, walk: _Walk) -> None:
        """Look at some rows more closely, which takes as long again."""
        if self._bare.name:
            pages = Pages(None, self._page_end(walk.table, None, BARE_ROWS))
            walk.add(walk.table.columns, self._hits(walk.table, self._bare, pages, BARE_ROWS), self._bare_name)

    def _bare_name(self, value: str, *, cut: bool) -> Named | None:
        """Recognise a bare name alone: the others have been counted."""
        named = self._recognise(value, cut=cut)
        return named if named and named.words == BARE else None

    def _read_on(self, walk: _Walk) -> None:
        """Read all rows after the walk's place, page by page, as many at a time as the server takes in its time."""
        size = ChunkSize(PAGE_S, SAMPLE_ROWS)
        table = walk.reading
        while not walk.whole:
            self._pause()
            rows, began = size.rows, time.monotonic()
            try:
                end = self._page_end(table, walk.after, rows)
                rows = self._size(table, Pages(walk.after, end), rows)
                self._take(walk, Pages(walk.after, end), rows)
            except StatementTimeoutError:
                if size.rows <= MIN_ROWS:
                    raise
                size.record_conflict()
                continue
            if rows:
                size.record(rows, time.monotonic() - began)
            walk.after, walk.whole = end, end is None
            if end is not None:
                self._watch.reached(walk.position())

    def _read_without_key(self, walk: _Walk) -> None:
        hits = self._hits(walk.table, self._texts, Pages(), HITS + 1)
        walk.add(walk.table.columns, hits[:HITS], self._recognise)
        walk.whole = len(hits) <= HITS
        walk.rows = self._count(walk.table, Pages())
        if not walk.whole:
            walk.why = f"the table has no key to read it on by: there are more than {HITS:,} such rows"

    def _take(self, walk: _Walk, pages: Pages, rows: int) -> None:
        """Take in the rows of interest of one page, which has so many rows."""
        table = walk.reading
        while True:
            hits = self._hits(table, self._texts, pages, HITS)
            walk.add(table.columns, hits, self._recognise)
            if len(hits) < HITS:
                walk.rows += rows
                return
            taken = self._count(table, Pages(pages.after, hits[-1].key))
            walk.rows, rows = walk.rows + taken, rows - taken
            # should the rest fail, the walk goes on from here
            walk.after = hits[-1].key
            pages = pages._replace(after=walk.after)

    def _page_end(self, table: SearchTable, after: Key | None, rows: int) -> Key | None:
        return self._read(lambda: self._search.page_end(table, after, rows))

    def _count(self, table: SearchTable, pages: Pages) -> int:
        return self._read(lambda: self._search.count(table, pages))

    def _size(self, table: SearchTable, pages: Pages, rows: int) -> int:
        """Return how many rows these pages have, which were to be so many."""
        if pages.upto is None:
            return self._count(table, pages)
        return self._read(lambda: self._search.size(table, pages, rows))

    def _hits(self, table: SearchTable, texts: Texts, pages: Pages, limit: int) -> list[Hit]:
        return self._read(lambda: self._search.hits(table, texts, pages, limit))

    def _pause(self) -> None:
        busy_s, self._busy_s = self._busy_s, 0.0
        self._watch.wait(busy_s)
        if self._watch.stopping():
            raise InterruptedSearchError

    def _read(self, read: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return retry_read(self._database, read, self._context)
        finally:
            self._busy_s += time.monotonic() - began

    def _judged(self, walk: _Walk, column: TextColumn) -> FoundColumn:
        evidence = walk.evidence[column.name]
        standing, why, compared, existing = evidence.judged(self._asked.exists)
        whole = walk.whole and (walk.reading is walk.table or column in walk.reading.columns)
        if walk.why:
            # what was found until then is found; that nothing was found says nothing
            standing, why = ("not_searched" if standing == "none" else standing), walk.why
        return FoundColumn(
            table=walk.table.name,
            column=column.name,
            type=column.type,
            standing=standing,
            why=why,
            forms=evidence.found_forms(),
            rows_read=walk.rows if whole or walk.reading is walk.table else walk.sampled,
            rows_total=walk.rows if walk.whole else walk.table.rows,
            whole=whole,
            compared=compared,
            existing=existing,
            no_reference=self._no_reference(walk.table, column) if standing in ("names", "may") else "",
        )

    def _no_reference(self, table: SearchTable, column: TextColumn) -> str:
        try:
            self._database.describe(table.name, column.name)
        except (UnknownTableError, UnknownColumnError, UnusableTableError, DatabaseError) as error:
            return str(error)
        return ""


class _Walk:
    """One table while it is read. rows: read of it so far; after: the key to go on from; reading: what of it is read"""

    def __init__(self, table: SearchTable, position: Position | None) -> None:
        self.table = self.reading = table
        self.evidence = {column.name: Evidence() for column in table.columns}
        self.rows = self.sampled = 0
        self.after: Key | None = None
        self.whole = False
        self.why = ""
        known = {column.name for column in table.columns}
        self.resumed = position is not None and position.table == table.name and set(position.evidence) == known
        if self.resumed and position is not None:
            self._read_only([column for column in table.columns if column.name in position.columns])
            self.evidence |= position.evidence
            self.rows, self.sampled, self.after = position.rows, position.sampled, position.after

    def add(self, columns: Sequence[TextColumn], hits: Sequence[Hit], recognise: Recognise) -> None:
        """Take in the values of some rows."""
        for hit in hits:
            for column, value, cut in zip(columns, hit.values, hit.cut, strict=True):
                if value is not None:
                    self.evidence[column.name].add(value, recognise(value, cut=cut), cut=cut)

    def begin_again(self, columns: Sequence[TextColumn]) -> None:
        """Read the whole table anew, for these columns."""
        self.sampled, self.rows, self.after = self.rows, 0, None
        self._read_only(columns)
        for column in columns:
            self.evidence[column.name] = Evidence()

    def position(self) -> Position:
        """Return where the walk is."""
        names = [column.name for column in self.reading.columns]
        return Position(self.table.name, names, self.after, self.rows, self.sampled, self.evidence)

    def _read_only(self, columns: Sequence[TextColumn]) -> None:
        if len(columns) < len(self.table.columns):
            self.reading = replace(self.table, columns=tuple(columns))
