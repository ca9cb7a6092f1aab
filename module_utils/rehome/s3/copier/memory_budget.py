"""A limit on the memory for content that is copied through this machine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_KEPT_BLOCK = 16 * 1024**2


def keep_blocks() -> None:
    """Let the allocator reuse the memory of chunks and buffers, where the C library is glibc.

    It maps a block of more than 128 KiB anew each time, and gives back what is free at the end of its heap, at a page
    fault for every 4 KiB, which took a third of the CPU of a stream, until it has seen a larger one freed ("Memory
    Allocation Tunables", glibc manual). This one is never touched, and freed whole: one that is made smaller first is
    not seen.
    """
    bytes(_KEPT_BLOCK)


class MemoryBudget:
    """Bytes that may be reserved at once, by all callers together; first come, first served.

    The order matters in two ways: small requests do not starve a large one, and a caller that waits for the part before
    its own can rely on that part having its memory already.

    limit: bytes. A request for more is granted as well, but only while nothing else is reserved, so that at no time
        more than the larger of the two is.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reserved = 0
        self._peak = 0
        self._waiters: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def reserved(self) -> int:
        """Bytes that are reserved now."""
        return self._reserved

    @property
    def peak(self) -> int:
        """The most bytes that were ever reserved at once."""
        return self._peak

    @asynccontextmanager
    async def reserve(self, size: int) -> AsyncGenerator[None, None]:
        """Wait until `size` bytes are free, and reserve them within the block."""
        await self._take(size)
        try:
            yield
        finally:
            self._release(size)

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
                self._release(size)
            else:
                # The request behind a cancelled one may fit now.
                waiter.cancel()
                self._admit()
            raise

    def _release(self, size: int) -> None:
        self._reserved -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        return self._reserved == 0 or self._reserved + size <= self.limit

    def _grant(self, size: int) -> None:
        self._reserved += size
        self._peak = max(self._peak, self._reserved)

    def _admit(self) -> None:
        while self._waiters:
            waiter, size = self._waiters[0]
            if not waiter.done():
                if not self._fits(size):
                    return
                self._grant(size)
                waiter.set_result(None)
            self._waiters.popleft()
