"""How fast to go: as many requests at once as the server takes without complaint, and when to try again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf


class Pace:
    """Limits the requests under way: additive increase, multiplicative decrease.

    Until the first throttled reply the limit doubles with every round of replies; then each round adds one.
    A throttled reply halves it, but only if its request was sent after the last cut: the replies to what was
    under way at that time say nothing new.

    maximum: requests at once, at most
    start: the first limit; a fresh prefix of S3 sits on a single cold partition
    clock: seconds, monotonic
    """

    def __init__(self, maximum: int, start: int = 16, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum = maximum
        self._limit = float(min(start, maximum))
        self._clock = clock
        self._in_flight = 0
        self._doubling = True
        self._cut_at = -inf
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Requests that are under way now."""
        return self._in_flight

    async def enter(self) -> float:
        """Wait for a place; every return needs one `leave`. Returns the time, for `throttled`."""
        if self._in_flight < int(self._limit) and not self._waiters:
            self._in_flight += 1
            return self._clock()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()
            raise
        return self._clock()

    def leave(self) -> None:
        """Give the place back."""
        self._in_flight -= 1
        self._admit()

    def succeeded(self) -> None:
        """Note a reply that did not complain. A limit grows only while at least half of it is in use."""
        if self._limit < self._maximum and 2 * self._in_flight >= self._limit:
            self._limit = min(self._maximum, self._limit + (1 if self._doubling else 1 / self._limit))
            self._admit()

    def throttled(self, entered_at: float) -> None:
        """Note that the request that entered at `entered_at` was throttled or timed out."""
        if entered_at <= self._cut_at:
            return
        self._cut_at = self._clock()
        self._doubling = False
        self._limit = max(1.0, self._limit / 2)

    def _admit(self) -> None:
        while self._waiters and self._in_flight < int(self._limit):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to send a request again: exponential backoff with full jitter.

    ("Exponential Backoff And Jitter", AWS Architecture Blog.)

    attempts: requests in all
    transient_base, throttle_base: seconds that the first wait stays below, after a broken or a
        throttled reply
    cap: seconds that every wait stays below
    """

    attempts: int = 8
    transient_base: float = 0.1
    throttle_base: float = 0.5
    cap: float = 20.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    async def wait(self, attempt: int, *, throttled: bool) -> None:
        """Wait after attempt number `attempt` (1 is the first)."""
        base = self.throttle_base if throttled else self.transient_base
        await self.sleep(self.random() * min(self.cap, base * 2 ** (attempt - 1)))
