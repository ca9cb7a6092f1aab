"""What the throttle reads about a server's load. Each engine implements it in its `load.py`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from ..codes import Code
from ..errors import RehomeError


class Load(Protocol):
    """A connection that reads the load of one server.

    All methods raise UnreadableError if the server does not know, and DatabaseError if it refuses.
    """

    def running(self) -> int:
        """Return how many statements other sessions are running."""

    def replicas(self) -> Mapping[str, float]:
        """Return the lag in seconds of each replica of this server, by its name, as far as this server knows it."""

    def seconds_behind(self) -> float:
        """Return how many seconds this replica is behind its primary, by its own figure."""

    def newest_entry(self, schema: str) -> int:
        """Return the id of the journal's newest entry; 0 if there is none."""

    def number(self, query: str) -> float:
        """Return the one number that the operator's query returns."""

    def redo_filled(self) -> float | None:
        """Return how full the redo log is, as a fraction of the size at which every session waits; None: never."""

    def heap(self, table: str) -> Heap | None:
        """Return the statistics of a table; None if the engine leaves no dead tuples."""

    def may_vacuum(self, table: str) -> bool:
        """Return whether this user may VACUUM the table."""


def single_number(rows: list[tuple[Any, ...]]) -> float:
    """Return the one number in `rows`. Raises UnreadableError if they are anything else."""
    if len(rows) != 1 or len(rows[0]) != 1:
        raise UnreadableError(f"it returns {len(rows)} rows, not one row with one number")
    (value,) = rows[0]
    if isinstance(value, int | float | Decimal):
        return float(value)
    raise UnreadableError(f"it returns {'NULL' if value is None else type(value).__name__}, which is not a number")


class UnreadableError(RehomeError):
    """A signal cannot be read, so the work pauses; the text says which one and why."""

    trouble = Code.SIGNAL_UNREADABLE


class Heap(NamedTuple):
    """PostgreSQL's statistics of a table.

    live, dead: tuples
    autovacuum_at: dead tuples at which autovacuum starts; None if it is off
    vacuumed: whether a VACUUM is running on it
    read_at: by the signal's clock, in seconds
    """

    live: int
    dead: int
    autovacuum_at: int | None
    vacuumed: bool
    read_at: float


class Vacuum(Protocol):
    """VACUUM of one table, in the background. Times are in seconds by the signal's clock."""

    @property
    def running(self) -> bool:
        """Whether it is running."""

    @property
    def ended_at(self) -> float:
        """When the last one ended; minus infinity before the first."""

    @property
    def failure(self) -> str | None:
        """Why the last one failed; None if it did not."""

    def start(self) -> None:
        """Start one."""


class PositionHistory:
    """When a stream (WAL, journal) reached which position, to convert a replica's position into seconds of lag.

    It uses our clock alone, and needs no rights beyond reading the position.
    """

    MAX_SAMPLES = 10_000

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=self.MAX_SAMPLES)

    def record(self, position: int, at: float) -> None:
        """Record that the stream is at `position` at time `at`."""
        if not self._samples or position > self._samples[-1][0]:
            self._samples.append((position, at))

    def seconds_behind(self, position: int, at: float) -> float:
        """Return for how many seconds before `at` the stream has been beyond `position`, as far as it was recorded."""
        return next((max(at - passed, 0.0) for beyond, passed in self._samples if beyond > position), 0.0)
