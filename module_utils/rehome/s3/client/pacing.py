"""Limit requests: how many are in flight at once, when a failed one is sent again, and how many objects per second."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from ...backoff import jittered_pause

_LATE_TIMER = 0.02
"""Seconds by which a timer may be late; a delay up to this is made up for."""

_LOOK_EVERY_S = 0.2
"""How often a wait for the rate looks whether the work is to stop."""

_TOLERATED = 0.02
"""Share of throttled replies up to which the limit stays."""

_CUT = 0.8
"""The factor of a cut."""

_SEVERE = 0.5
"""Share of throttled replies from which a cut stays without a comparison."""

_ROUNDS = 3
_LEAST_REPLIES = 30
"""The length of a measurement: at least so many round trips, and so many replies."""

_GROWTH = 16
"""After the first throttled reply, the limit grows by this fraction of it (or by one) with every round trip."""

_NEAR = 0.75
"""Fraction of the limit at the last cut from which on the limit grows more slowly."""

_LONGEST_HOLDOFF = 64
"""Maximum number of measurements until a cut that did not help is tried again."""


class ConcurrencyLimiter:
    """Limits the requests in flight to as many as the server takes, which it measures.

    Until the first throttled reply, the limit doubles with every round trip; from then on it grows slowly. When
    replies are throttled, their share is measured, the limit is cut, and the share is measured again. If about as many
    replies succeed as before, the server has a limit and we were above it: the cut stays. If fewer succeed in
    proportion, the server throttles at random, and fewer requests do not help: the cut is reverted, and not tried
    again for a while unless the share grows.

    maximum: upper bound of the limit
    start: initial limit; a new prefix in S3 is served by a single partition
    clock: seconds, monotonic
    """

    def __init__(self, maximum: int, start: int = 16, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum = maximum
        self._limit = float(min(start, maximum))
        self._ceiling = maximum
        self._clock = clock
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._doubling = True
        self._measurement: _Measurement | None = None
        self._before: tuple[float, _Measured] | None = None
        self._accepted_share = 0.0
        self._holdoff = self._next_holdoff = 0
        self._round_trip = 0.0
        self._limit_at_cut = inf

    @property
    def limit(self) -> int:
        """The current limit."""
        return min(int(self._limit), self._ceiling)

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return self._in_flight

    def set_ceiling(self, requests: int) -> None:
        """Let no more than this many requests in flight from now on, whatever the server takes; 0 holds all back.

        Those in flight are not affected.
        """
        if requests != self._ceiling:
            self._ceiling = requests
            self._admit()

    def acquire_now(self) -> float | None:
        """Return as `acquire` if a slot is free, else None."""
        # without a call: this is asked of every request
        if self._in_flight + 1 <= self._limit and self._in_flight < self._ceiling and not self._waiters:
            self._in_flight += 1
            return self._clock()
        return None

    async def acquire(self) -> float:
        """Wait for a free slot. Returns the time, for `succeeded` and `throttled`. Each return needs one `release`."""
        if (now := self.acquire_now()) is not None:
            return now
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise
        return self._clock()

    def release(self) -> None:
        """Free a slot."""
        self._in_flight -= 1
        if self._waiters:
            self._admit()

    def succeeded(self, started_at: float) -> None:
        """Record a reply that is not throttled. The limit grows only while at least half of it is in use."""
        if self._measurement is not None:
            now = self._clock()
            self._round_trip += (now - started_at - self._round_trip) / 8 if self._round_trip else now - started_at
            self._measured(self._measurement, now, started_at, good=True)
        elif self._limit < self._maximum and 2 * self._in_flight >= self._limit:
            self._limit = min(self._maximum, self._limit + (1 if self._doubling else self._growth()))
            self._admit()

    def throttled(self, started_at: float) -> None:
        """Record that the request which got its slot at `started_at` was throttled or timed out."""
        self._doubling = False
        now = self._clock()
        if self._measurement is None:
            # Requests in flight count as well: the limit has not changed.
            self._measurement = _Measurement(-inf, now, self.limit)
        self._measured(self._measurement, now, started_at, good=False)

    def _growth(self) -> float:
        """Return the growth per reply: one per round trip, or per four near the limit at the last cut."""
        if self._limit >= _NEAR * self._limit_at_cut:
            return 0.25 / self._limit
        return max(1.0 / self._limit, 1.0 / _GROWTH)

    def _measured(self, measure: _Measurement, now: float, started_at: float, *, good: bool) -> None:
        if measure.add(now, started_at, self._in_flight, self._round_trip, good=good):
            self._decide(measure.result(now), now)
            self._admit()

    def _decide(self, outcome: _Measured, now: float) -> None:
        """Act on a finished measurement."""
        if self._before is not None:
            self._judge_cut(outcome)
        elif outcome.share <= _TOLERATED:
            self._measurement = None
            return
        elif self._holdoff > 0 and outcome.share <= 1.5 * self._accepted_share + 0.05:
            self._holdoff -= 1
            self._limit = min(self._maximum, self._limit + max(1.0, self._limit / 4))
        elif self.limit > 1:
            self._cut(outcome)
        self._measurement = _Measurement(now, now, self.limit)

    def _cut(self, outcome: _Measured) -> None:
        used = min(self._limit, outcome.in_flight)
        if outcome.share < _SEVERE:
            self._before = self._limit, outcome
        self._limit_at_cut = self._limit
        self._limit = max(1.0, min(self._limit - 1, used * _CUT))

    def _judge_cut(self, after: _Measured) -> None:
        """Keep the cut if it saved more throttled replies than it cost good ones; else revert it."""
        assert self._before is not None  # noqa: S101
        limit, before = self._before
        self._before = None
        if after.net_rate >= before.net_rate:
            self._next_holdoff = 0
            return
        self._limit = limit
        self._limit_at_cut = inf
        self._accepted_share = before.share
        self._next_holdoff = self._holdoff = min(_LONGEST_HOLDOFF, max(4, 2 * self._next_holdoff))

    def _admit(self) -> None:
        while self._waiters and self._in_flight + 1 <= self._limit and self._in_flight < self._ceiling:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)


class _Measured(NamedTuple):
    """The result of a measurement.

    share: of the replies that were throttled
    net_rate: good replies per second minus throttled ones
    in_flight: most requests in flight
    """

    share: float
    net_rate: float
    in_flight: int


class _Measurement:
    """Counts the replies to requests that were sent since `since`, from the end of their first round trip on.

    begun_at: the current time
    limit: the limit that is measured
    """

    def __init__(self, since: float, begun_at: float, limit: int) -> None:
        self._since = since
        self._begun_at = begun_at
        self._wanted = max(_LEAST_REPLIES, _ROUNDS * limit)
        self._counting_from: float | None = None
        self._good = self._bad = self._in_flight = 0

    def add(self, now: float, started_at: float, in_flight: int, round_trip: float, *, good: bool) -> bool:
        """Record a reply. Returns whether the measurement is complete."""
        if started_at < self._since or now < self._begun_at + (round_trip if self._since > -inf else 0):
            return False
        if self._counting_from is None:
            self._counting_from = now
            return False
        if good:
            self._good += 1
        else:
            self._bad += 1
        self._in_flight = max(self._in_flight, in_flight)
        enough = self._good + self._bad >= self._wanted
        return enough and now - self._counting_from >= _ROUNDS * round_trip

    def result(self, now: float) -> _Measured:
        """Return what was measured until `now`."""
        replies = self._good + self._bad
        seconds = max(1e-6, now - (self._counting_from or now))
        return _Measured(self._bad / replies, (self._good - self._bad) / seconds, self._in_flight)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to send a request again: exponential backoff with full jitter (`backoff`).

    attempts: maximum number of attempts; throttled ones do not count
    patience: seconds that a request waits in total after throttled replies
    transient_base, throttle_base: upper bound of the first wait after a temporary error or a throttled reply, in
        seconds. `ConcurrencyLimiter` already slows down all requests; the wait only keeps one from hammering.
    cap: upper bound of every wait, in seconds
    """

    attempts: int = 8
    transient_base: float = 0.1
    throttle_base: float = 0.05
    cap: float = 20.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    patience: float = 300.0

    async def wait(self, attempt: int, *, throttled: bool) -> float:
        """Wait after failed attempt number `attempt` (1 is the first). Returns the seconds waited."""
        base = self.throttle_base if throttled else self.transient_base
        seconds = jittered_pause(attempt, base, self.cap, self.random)
        await self.sleep(seconds)
        return seconds


class RateLimiter:
    """Lets a number of objects per second through, evenly spaced. What is not used is not saved up for bursts.

    per_second: above 0; None: as many as come
    clock: seconds, monotonic
    """

    def __init__(
        self,
        per_second: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        # Who waits has a number, and not a moment, which another rate would change.
        self._next = self._base = 0
        self._base_at = -inf

    @property
    def limits(self) -> bool:
        """Whether there is a limit."""
        return self._per_second is not None

    def retune(self, per_second: float | None) -> None:
        """Change the rate, for those that are waiting as well."""
        if per_second == self._per_second:
            return
        now, before = self._clock(), self._interval
        # the first that still waits
        first = self._next
        if before and self._base_at > -inf:
            passed = math.floor((now - self._base_at) / before) + 1
            first = min(self._next, self._base + max(0, passed))
        due = self._moment(first)
        self._per_second, self._interval = per_second, 1 / per_second if per_second else 0.0
        self._base, self._base_at = first, min(due, now + self._interval)

    async def wait(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Wait until this object may start. Returns whether it may: False as soon as `stopping` returns True."""
        now = self._clock()
        # Timers fire some milliseconds late, which must not add up.
        if self._moment(self._next) < now - _LATE_TIMER:
            self._base, self._base_at = self._next, now - _LATE_TIMER
        number = self._next
        self._next += 1
        while (moment := self._moment(number)) > now and not stopping():
            await self._sleep(min(moment - now, _LOOK_EVERY_S))
            now = self._clock()
        return not stopping()

    def _moment(self, number: int) -> float:
        return self._base_at + (number - self._base) * self._interval if self._interval else -inf
