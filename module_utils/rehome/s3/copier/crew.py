"""How many objects are streamed at once: as many as make it faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf

_GAIN = 1.2
"""Twice as many at once stay if the rate becomes so many times as high."""

_SETTLING = 3
_MEASURED = 4
"""Objects for each worker, before a measurement and in it: the first ones open the connections."""

_MEASURED_S = 0.3
"""The least length of a measurement."""

_HELD_S = 20.0
"""How long it stays at what was found best: the link or the services may be others by then."""


class Crew:
    """Decides how many workers work at once: it doubles their number while that gives more objects a second.

    On a link with latency, many objects have to be on their way at once. Where a service or this machine is the limit,
    more of them only wait for each other, and each connection costs both ends memory and, with TLS, a handshake.

    Workers have numbers from 0 on, and those below `limit` work.

    maximum, start: how many workers there are, and how many work at first
    clock: seconds, monotonic
    """

    def __init__(self, maximum: int, start: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = min(start, maximum)
        self._maximum = maximum
        self._clock = clock
        self._changed = asyncio.Event()
        self._ended = False
        self._before: tuple[int, float] | None = None
        self._held_until = -inf if self.limit < maximum else inf
        self._count = 0
        self._began: float | None = None

    async def joins(self, number: int) -> bool:
        """Wait until this worker is to work. Returns False if the work has ended by then."""
        while number >= self.limit and not self._ended:
            await self._changed.wait()
        return not self._ended

    def end(self) -> None:
        """Let nobody wait any more: the work has ended."""
        self._ended = True
        self._changed.set()

    def completed(self) -> None:
        """Count an object, and change the limit at the end of a measurement."""
        now = self._clock()
        if now < self._held_until:
            return
        self._count += 1
        if self._began is None:
            if self._count >= _SETTLING * self.limit:
                self._count, self._began = 0, now
        elif self._count >= _MEASURED * self.limit and now - self._began >= _MEASURED_S:
            self._judge(self._count / (now - self._began), now)
            self._count, self._began = 0, None

    def _judge(self, rate: float, now: float) -> None:
        before, self._before = self._before, None
        if before is not None and rate < _GAIN * before[1]:
            self.limit, self._held_until = before[0], now + _HELD_S
        elif self.limit == self._maximum:
            self._held_until = inf
        else:
            self._before = self.limit, rate
            self.limit = min(self._maximum, 2 * self.limit)
            self._changed.set()
            self._changed.clear()
