"""A bound on the memory that content takes while it is on its way through this machine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class MemoryBudget:
    """Bytes that may be held at once, by everyone together; whoever came first is served first.

    The order matters in two ways: a large request is not starved by small ones, and who waits for the part
    before its own can rely on that part having its memory already.

    limit: bytes. A request for more is granted as well, but only while nobody else holds anything, so that
        at no time more than the larger of the two is held.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._peak = 0
        self._waiters: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    @property
    def peak(self) -> int:
        """The most bytes that were ever held at once."""
        return self._peak

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncGenerator[None, None]:
        """Wait until `size` bytes are to be had, and hold them within the block."""
        await self._take(size)
        try:
            yield
        finally:
            self._give_back(size)

    async def _take(self, size: int) -> None:
        if not self._waiters and self._fits(size):
            self._grant(size)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((waiter, size))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_back(size)
            else:
                # Whoever stood behind a request that is no more may be next.
                waiter.cancel()
                self._admit()
            raise

    def _give_back(self, size: int) -> None:
        self._held -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        return self._held == 0 or self._held + size <= self.limit

    def _grant(self, size: int) -> None:
        self._held += size
        self._peak = max(self._peak, self._held)

    def _admit(self) -> None:
        while self._waiters:
            waiter, size = self._waiters[0]
            if not waiter.done():
                if not self._fits(size):
                    return
                self._grant(size)
                waiter.set_result(None)
            self._waiters.popleft()
