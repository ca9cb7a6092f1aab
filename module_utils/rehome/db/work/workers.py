"""Several connections at work on chunks that have no row in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Generic, TypeVar

from ...errors import RehomeError
from ..dialect import Dialect
from .chunk import ChunkOutcome

LOOK_EVERY_S = 0.5
CONFLICTS = 3
WITHIN_CHUNKS = 10
"""So many deadlocks and time-outs in so many chunks mean that the connections are in each other's way."""

Chunk = TypeVar("Chunk")


class Crew(Generic[Chunk]):
    """Works through chunks, one at a time on each connection, and on fewer of them where they meet conflicts.

    work: does a chunk on a connection, in a thread of its own
    look: called every now and then by the thread that runs the crew
    """

    def __init__(
        self,
        connections: Sequence[Dialect],
        work: Callable[[Dialect, Chunk, ChunkOutcome], None],
        look: Callable[[], None],
    ) -> None:
        self._work = work
        self._look = look
        self._free: SimpleQueue[Dialect] = SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self.hands = len(connections)
        self._most = len(connections)
        self._conflicts: deque[int] = deque(maxlen=WITHIN_CHUNKS)

    def run(self, chunks: Iterable[Chunk], note: Callable[[Chunk, ChunkOutcome], None]) -> None:
        """Do every chunk, and `note` each in the caller's thread. The next one is made while others are at work.

        After a failure no more is begun; what is under way is finished and noted. Raises the first RehomeError.
        """
        failures: list[RehomeError] = []
        running: dict[Future[tuple[ChunkOutcome, RehomeError | None]], Chunk] = {}

        def settle(at_most: int) -> None:
            while len(running) > at_most:
                finished, _ = wait(running, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                self._look()
                for future in finished:
                    outcome, failure = future.result()
                    note(running.pop(future), outcome)
                    self._learn(outcome.conflicts)
                    failures.extend([failure] if failure else [])

        with ThreadPoolExecutor(self._most) as pool:
            try:
                for chunk in chunks:
                    settle(self.hands - 1)
                    if failures:
                        break
                    running[pool.submit(self._one, chunk)] = chunk
            finally:
                settle(0)
        if failures:
            raise failures[0]

    def _one(self, chunk: Chunk) -> tuple[ChunkOutcome, RehomeError | None]:
        outcome = ChunkOutcome()
        connection = self._free.get()
        try:
            self._work(connection, chunk, outcome)
        except RehomeError as error:
            return outcome, error
        finally:
            self._free.put(connection)
        return outcome, None

    def _learn(self, conflicts: int) -> None:
        self._conflicts.append(conflicts)
        if self.hands > 1 and sum(self._conflicts) >= CONFLICTS:
            self.hands -= 1
            self._conflicts.clear()
