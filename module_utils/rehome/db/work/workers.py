"""Run chunks that have no row in common on several connections."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Generic, TypeVar

from ...errors import RehomeError
from ..dialect import Dialect
from .chunk import ChunkOutcome

POLL_EVERY_S = 0.5
MAX_CONFLICTS = 3
WITHIN_CHUNKS = 10
"""After MAX_CONFLICTS deadlocks and lock timeouts within this many chunks, the connections block each other: one of
them is given up."""

Chunk = TypeVar("Chunk")


class Workers(Generic[Chunk]):
    """Threads that process chunks, one at a time per connection, on fewer connections if they meet conflicts.

    work: processes a chunk on a connection, in a worker's thread, and adds to the outcome what is committed
    poll: called every POLL_EVERY_S by the thread in `run` while it waits
    allowed: returns how many connections may be in use now
    """

    def __init__(
        self,
        connections: Sequence[Dialect],
        work: Callable[[Dialect, Chunk, ChunkOutcome], None],
        poll: Callable[[], None],
        allowed: Callable[[], int] | None = None,
    ) -> None:
        self._work = work
        self._poll = poll
        self._free: SimpleQueue[Dialect] = SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._max = len(connections)
        self._allowed = allowed or (lambda: self._max)
        self.active = self._max
        """The number of connections that are in use."""
        self._conflicts: deque[int] = deque(maxlen=WITHIN_CHUNKS)

    def run(self, chunks: Iterable[Chunk], on_outcome: Callable[[Chunk, ChunkOutcome], None]) -> None:
        """Process every chunk, and call `on_outcome` for each in the caller's thread.

        The next chunk is prepared while others are in flight. After a failure no chunk is started; those in flight are
        finished, and their outcomes passed on. Raises the first RehomeError.
        """
        failures: list[RehomeError] = []
        running: dict[Future[tuple[ChunkOutcome, RehomeError | None]], Chunk] = {}

        def settle(at_most: int) -> None:
            while len(running) > at_most:
                finished, _ = wait(running, timeout=POLL_EVERY_S, return_when=FIRST_COMPLETED)
                self._poll()
                for future in finished:
                    outcome, failure = future.result()
                    on_outcome(running.pop(future), outcome)
                    self._adapt(outcome.conflicts)
                    failures.extend([failure] if failure else [])

        with ThreadPoolExecutor(self._max) as pool:
            try:
                for chunk in chunks:
                    settle(min(self.active, self._allowed()) - 1)
                    if failures:
                        break
                    running[pool.submit(self._process, chunk)] = chunk
            finally:
                settle(0)
        if failures:
            raise failures[0]

    def _process(self, chunk: Chunk) -> tuple[ChunkOutcome, RehomeError | None]:
        outcome = ChunkOutcome()
        connection = self._free.get()
        try:
            self._work(connection, chunk, outcome)
        except RehomeError as error:
            return outcome, error
        finally:
            self._free.put(connection)
        return outcome, None

    def _adapt(self, conflicts: int) -> None:
        self._conflicts.append(conflicts)
        if self.active > 1 and sum(self._conflicts) >= MAX_CONFLICTS:
            self.active -= 1
            self._conflicts.clear()
