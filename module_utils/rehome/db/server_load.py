"""What a server can be asked about its load. One file per dialect answers it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from ..errors import RehomeError


class Load(Protocol):
    """A connection that asks one server. Raises UnreadableError, or DatabaseError where the server refuses."""

    def running(self) -> int:
        """The statements of others that are under way."""

    def replicas(self) -> Mapping[str, float]:
        """Each replica that this server feeds, and by how many seconds it is behind, as far as this server knows."""

    def seconds_behind(self) -> float:
        """How far this server is behind the one that it follows, by its own figure."""

    def newest_entry(self, schema: str) -> int:
        """The id of the journal's newest entry, 0 where there is none."""

    def number(self, query: str) -> float:
        """The one number that the operator's query answers with."""

    def redo_filled(self) -> float | None:
        """How full the redo log is, as a part of what makes every session wait; None where no log does."""

    def heap(self, table: str) -> Heap | None:
        """How many dead tuples a table has; None where the engine leaves none behind."""

    def may_vacuum(self, table: str) -> bool:
        """Whether this user may VACUUM the table."""


def the_number(rows: list[tuple[Any, ...]]) -> float:
    """The one number in `rows`. Raises UnreadableError where there is none."""
    if len(rows) != 1 or len(rows[0]) != 1:
        raise UnreadableError(f"it answers with {len(rows)} rows, and one row of one number is wanted")
    (value,) = rows[0]
    if isinstance(value, int | float | Decimal):
        return float(value)
    raise UnreadableError(f"it answers with {'NULL' if value is None else type(value).__name__}, which is no number")


class UnreadableError(RehomeError):
    """A signal cannot be read, so that work rests; the text says which and why."""


class Heap(NamedTuple):
    """What PostgreSQL's statistics say about a table.

    autovacuum_at: from how many dead tuples on autovacuum comes; None where it is off
    vacuumed: a VACUUM works on it now
    asked_at: by the clock of the signal
    """

    live: int
    dead: int
    autovacuum_at: int | None
    vacuumed: bool
    asked_at: float


class Vacuum(Protocol):
    """VACUUM of one table, in the background. Times are by the clock of the signal."""

    @property
    def running(self) -> bool:
        """Whether it is under way."""

    @property
    def ended_at(self) -> float:
        """When the last one ended; minus infinity before the first."""

    @property
    def failure(self) -> str | None:
        """What the last one failed by."""

    def start(self) -> None:
        """Begin one."""


class Trail:
    """Where a stream was when, so that a follower's position becomes seconds.

    It needs no clock but ours, and no more rights than to read the position.
    """

    LONGEST = 10_000

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=self.LONGEST)

    def note(self, position: int, at: float) -> None:
        """The stream is at `position` now."""
        if not self._samples or position > self._samples[-1][0]:
            self._samples.append((position, at))

    def seconds_behind(self, position: int, at: float) -> float:
        """Since when the stream has been beyond `position`, as far as it was watched."""
        return next((max(at - passed, 0.0) for beyond, passed in self._samples if beyond > position), 0.0)
