"""What the dialects of all engines share: explaining, checks of a column, and the statements of the journal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, NoReturn

from ...errors import RefusedError
from .. import control, journal
from ..dialect import (
    EXPLAINABLE,
    Change,
    DatabaseError,
    Dialect,
    Explained,
    JournalEntry,
    Key,
    LockHolder,
    RecordedEntry,
    TableFacts,
    UnknownColumnError,
    UnusableTableError,
)


class BaseDialect(Dialect):
    """Base class of the engines' dialects; `dialect.Dialect` documents the methods."""

    placeholder: ClassVar[str] = "%s"
    """The driver's mark for a parameter."""
    locking: ClassVar[str] = ""
    """The clause of a SELECT that locks its rows."""
    control_types: ClassVar[Mapping[str, str]] = {"name": "TEXT", "short": "TEXT", "long": "TEXT"}
    """The types of the columns of the control row's table; see `control.columns`."""
    control_options: ClassVar[str] = ""
    """What follows the columns of that table."""

    def __init__(self) -> None:
        self._plan_rows: list[Mapping[str, Any]] | None = None
        self._rolls_back = False

    @contextmanager
    def rolling_back(self) -> Iterator[None]:
        """Let `_end_of_transaction` be ROLLBACK."""
        before, self._rolls_back = self._rolls_back, True
        try:
            yield
        finally:
            # a block may lie in another
            self._rolls_back = before

    @property
    def _end_of_transaction(self) -> str:
        return "ROLLBACK" if self._rolls_back else "COMMIT"

    def keep_alive(self) -> None:
        """Run SELECT 1, and reconnect if it fails."""
        try:
            self.run("SELECT 1")
        except DatabaseError:
            with suppress(RefusedError, DatabaseError):
                self.reconnect()

    def session_id(self) -> int:
        """Always 0; an engine with a server overrides it."""
        return 0

    def connection_limits(self) -> Mapping[str, int]:
        """Always empty; an engine with a server overrides it."""
        return {}

    def hourly_limits(self) -> Mapping[str, int]:
        """Always empty; an engine with such limits overrides it."""
        return {}

    @contextmanager
    def explaining(self) -> Iterator[list[Mapping[str, Any]]]:
        """Keep the plan of the first statement that begins with a word of `EXPLAINABLE`."""
        self._plan_rows = rows = list[Mapping[str, Any]]()
        try:
            with suppress(Explained):
                yield rows
        finally:
            self._plan_rows = None

    def lock(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        """Select the rows with the engine's `locking` clause."""
        return self._values(facts, changes, self.locking)

    def read(self, facts: TableFacts, changes: Sequence[Change]) -> Mapping[Key, str | None]:
        """Select the rows as `lock` does, without its clause."""
        return self._values(facts, changes, "")

    @abstractmethod
    def _values(self, facts: TableFacts, changes: Sequence[Change], locking: str) -> Mapping[Key, str | None]:
        """Return the current values of the rows of `changes` that exist. locking: the clause that locks them"""

    def _is_explained(self, statement: str) -> bool:
        """Return whether to explain `statement` instead of running it."""
        return self._plan_rows is not None and statement.startswith(EXPLAINABLE)

    def _keep_plan(self, cursor: Any) -> NoReturn:
        """Keep the plan that `cursor` returns, and end the `explaining` block."""
        names = [part[0] for part in cursor.description or ()]
        if self._plan_rows is not None:
            self._plan_rows += [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        raise Explained

    def has_journal(self, schema: str) -> bool:
        """Compare the names of the table's columns with those of `journal`."""
        columns = self._journal_columns(schema)
        return journal.check_columns(self._journal_name(schema), (name for (name,) in columns))

    def _journal_name(self, schema: str) -> str:
        return f"{schema}.{journal.TABLE}"

    @abstractmethod
    def _journal_columns(self, schema: str) -> list[tuple[Any, ...]]:
        """Return rows of the names of the columns of the journal's table; none if it does not exist."""

    def count_journal(self, schema: str) -> int:
        """Count the rows of the journal's table."""
        return int(self.run(f"SELECT count(*) FROM {self.journal_table(schema)}")[0][0])

    def drop_journal(self, schema: str) -> None:
        """Drop the tables only; an engine with schemas also drops an empty schema."""
        self.run(f"DROP TABLE {self.journal_table(schema)}")
        self.run(f"DROP TABLE IF EXISTS {self.control_table(schema)}")

    def append_journal(self, schema: str, entry: JournalEntry) -> None:
        """Insert one row; the database assigns its id and time. Raises DatabaseError if there is none after it."""
        table = self.journal_table(schema)
        # a trigger or a rule may skip it without an error
        if self._changed(journal.insert(table, self.placeholder), entry) != 1:
            raise DatabaseError(f"the journal {self._journal_name(schema)} does not take entries: a trigger or a rule?")

    @abstractmethod
    def _changed(self, statement: str, values: Sequence[Any]) -> int:
        """Run one statement, and return how many rows it has inserted or changed."""

    def has_control(self, schema: str) -> bool:
        """Read a row that no migration has."""
        try:
            self.read_control(schema, "")
        except DatabaseError:
            return False
        return True

    def create_control(self, schema: str) -> None:
        """Create the table with the types of the engine."""
        columns = control.columns(self.control_types)
        self.run(f"CREATE TABLE IF NOT EXISTS {self.control_table(schema)} ({columns}){self.control_options}")

    def read_control(self, schema: str, migration: str) -> control.ControlRow | None:
        """Select the row; an engine that proxies may stand before does so on the primary."""
        return control.row(self.run(control.select(self.control_table(schema), self.placeholder), (migration,)))

    def add_control(self, schema: str, migration: str) -> None:
        """Insert the row."""
        self._changed(control.insert(self.control_table(schema), self.placeholder), (migration,))

    def say_control(self, schema: str, migration: str, said: str) -> None:
        """Update `run_says`."""
        self._changed(control.update_says(self.control_table(schema), self.placeholder), (said, migration))

    def order_control(
        self, schema: str, migration: str, *, paused: bool, settings: str | None, asked_by: str | None
    ) -> None:
        """Update what is asked."""
        statement = control.update_order(self.control_table(schema), self.placeholder)
        self._changed(statement, (paused, settings, asked_by, migration))

    def lock_holder(self, name: str) -> LockHolder | None:
        """Always None; an engine that knows who holds its locks overrides it."""
        return None

    def newest_of_others(self, schema: str, migration: str, fingerprint: str) -> RecordedEntry | None:
        """Return the entry that `journal.select_newest_of_others` finds."""
        statement = journal.select_newest_of_others(self.journal_table(schema), self.placeholder)
        return next((journal.recorded(row) for row in self.run(statement, (migration, fingerprint))), None)

    def journal_row_count(self, schema: str, chunk: str) -> int | None:
        """Return the row count, found by the unique id of the chunk."""
        found = self.run(journal.select_row_count(self.journal_table(schema), self.placeholder), (chunk,))
        return int(found[0][0]) if found else None

    def read_journal(self, schema: str, migration: str, before: int | None, limit: int) -> list[RecordedEntry]:
        """Return the entries by descending id, unpacked with `journal.recorded`."""
        statement = journal.select_entries(self.journal_table(schema), self.placeholder, from_newest=before is None)
        values = [migration, limit] if before is None else [migration, before, limit]
        return [journal.recorded(row) for row in self.run(statement, values)]


def check_column(table: str, column: str, columns: Collection[str]) -> None:
    """Raise UnknownColumnError if `column` is not among the table's `columns`."""
    if column not in columns:
        raise UnknownColumnError(f"table {table} has no column {column}; it has {', '.join(columns)}")


def check_text(table: str, column: str, kind: str, text_types: Collection[str], generated: bool) -> None:
    """Raise UnusableTableError if the column's type `kind` is not among `text_types`, or the server computes it."""
    if kind not in text_types:
        raise UnusableTableError(f"column {table}.{column} is of type {kind}, which holds no text")
    if generated:
        raise UnusableTableError(f"column {table}.{column} is generated from others; name those instead")


def no_usable_key(table: str, column: str, families: str = "", seen: str = "") -> UnusableTableError:
    """Return the error for a table without a usable key.

    families: what its columns may hold, in words
    seen: what restricts the statement where the server hides keys, in words
    """
    return UnusableTableError(
        f"table {table} has no usable unique key{seen}: a primary key or a unique index without {column} itself, over "
        f"columns that are NOT NULL{families}"
    )
