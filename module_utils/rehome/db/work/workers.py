"""Run chunks that have no row in common on several connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from ...errors import RehomeError
from ..dialect import Dialect
from .chunk import ChunkOutcome

POLL_EVERY_S = 0.5
MAX_CONFLICTS = 3
WITHIN_CHUNKS = 10
"""After MAX_CONFLICTS deadlocks and lock timeouts within this many chunks, the connections block each other: one of
them is given up."""

Chunk = TypeVar("Chunk")


class _Processed(NamedTuple):
    """What became of a chunk that was started, and the error that ended it."""

    outcome: ChunkOutcome
    failure: RehomeError | None


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
        self._turn = threading.Condition()
        self._busy = 0
        self._failed = False

    def run(self, chunks: Iterable[Chunk], on_outcome: Callable[[Chunk, ChunkOutcome], None]) -> None:
        """Process every chunk, and call `on_outcome` for each in the caller's thread.

        One chunk more is ready than is in flight: a connection that has finished one goes on at once, and need not wait
        for the caller. After a failure no chunk is started; those in flight are finished, and their outcomes passed on.
        Raises the first RehomeError.
        """
        failures: list[RehomeError] = []
        running: dict[Future[_Processed | None], Chunk] = {}

        def settle(at_most: Callable[[], int]) -> None:
            while len(running) > at_most():
                finished, _ = wait(running, timeout=POLL_EVERY_S, return_when=FIRST_COMPLETED)
                self._poll()
                for future in finished:
                    chunk, processed = running.pop(future), future.result()
                    if processed is not None:
                        on_outcome(chunk, processed.outcome)
                        self._adapt(processed.outcome.conflicts)
                        failures.extend([processed.failure] if processed.failure else [])

        self._failed = False
        with ThreadPoolExecutor(self._max) as pool:
            try:
                for chunk in chunks:
                    settle(self._limit)
                    if failures:
                        break
                    running[pool.submit(self._process, chunk)] = chunk
            except BaseException:
                self._failed = True
                raise
            finally:
                settle(lambda: 0)
        if failures:
            raise failures[0]

    def _limit(self) -> int:
        return min(self.active, self._allowed())

    def _process(self, chunk: Chunk) -> _Processed | None:
        """Process the chunk once a connection may be used. Return None if another chunk has failed before."""
        if not self._begin():
            return None
        outcome = ChunkOutcome()
        connection = self._free.get()
        try:
            self._work(connection, chunk, outcome)
        except BaseException as error:
            self._failed = True
            if isinstance(error, RehomeError):
                return _Processed(outcome, error)
            raise
        finally:
            self._free.put(connection)
            with self._turn:
                self._busy -= 1
                self._turn.notify()
        return _Processed(outcome, None)

    def _begin(self) -> bool:
        with self._turn:
            while self._busy >= self._limit() and not self._failed:
                # what is allowed may change without a notice
                self._turn.wait(POLL_EVERY_S)
            self._busy += not self._failed
            return not self._failed

    def _adapt(self, conflicts: int) -> None:
        self._conflicts.append(conflicts)
        if self.active > 1 and sum(self._conflicts) >= MAX_CONFLICTS:
            self.active -= 1
            self._conflicts.clear()
