"""How fast to go: as many requests at once as the server takes without complaint, and when to try again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from ...backoff import jittered_pause

_LATE_TIMER = 0.02
"""Seconds by which a timer may be late; requests so late are made up for."""


_TOLERATED = 0.02
"""Share of throttled replies that is not worth going slower for."""

_CUT = 0.8
"""What is left of the limit after a cut."""

_HOPELESS = 0.5
"""Share of throttled replies from which a cut needs no proof that it costs nothing."""

_ROUNDS = 3
_LEAST_REPLIES = 30
"""How long a measurement takes: so many rounds of replies, and so many replies."""

_GROWTH = 16
"""After the first cut, the limit grows by this part of it (or by one) with every round."""

_NEAR = 0.75
"""Part of the limit that was too much the last time from which on the limit grows more slowly."""

_LONGEST_TRUCE = 64
"""Measurements until a cut that did not help is tried again."""


class Pace:
    """Limits the requests under way to as many as the server takes, which it finds out by itself.

    Until the first throttled reply the limit doubles with every round of replies; from then on it grows slowly.
    When replies are throttled, their share is measured. What follows is an experiment: the limit is cut, and
    measured again. If the replies that succeed hardly become fewer, the server has a limit and we were above it: the
    cut stays. If they become fewer in proportion, the server throttles at random, and going slower is no
    cure: the cut is taken back, and not tried again for a while unless the share grows.

    maximum: requests at once, at most
    start: the first limit; a fresh prefix of S3 sits on a single cold partition
    clock: seconds, monotonic
    """

    def __init__(self, maximum: int, start: int = 16, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum = maximum
        self._limit = float(min(start, maximum))
        self._clock = clock
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._doubling = True
        self._measure: _Measure | None = None
        self._before: tuple[float, _Yield] | None = None
        self._accepted_share = 0.0
        self._truce = self._next_truce = 0
        self._round_trip = 0.0
        self._too_much = inf

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Requests that are under way now."""
        return self._in_flight

    async def enter(self) -> float:
        """Wait for a place; every return needs one `leave`. Returns the time, for `succeeded` and `throttled`."""
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

    def succeeded(self, entered_at: float) -> None:
        """Note a reply that did not complain. A limit grows only while at least half of it is in use."""
        if self._measure is not None:
            now = self._clock()
            self._round_trip += (now - entered_at - self._round_trip) / 8 if self._round_trip else now - entered_at
            self._measured(self._measure, now, entered_at, good=True)
        elif self._limit < self._maximum and 2 * self._in_flight >= self._limit:
            self._limit = min(self._maximum, self._limit + (1 if self._doubling else self._growth()))
            self._admit()

    def throttled(self, entered_at: float) -> None:
        """Note that the request that entered at `entered_at` was throttled or timed out."""
        self._doubling = False
        now = self._clock()
        if self._measure is None:
            # What is under way tells as much as what comes next: the limit does not change now.
            self._measure = _Measure(-inf, now, self.limit)
        self._measured(self._measure, now, entered_at, good=False)

    def _growth(self) -> float:
        """For each reply: one in a round, or in four rounds near the limit where it was too much the last time."""
        if self._limit >= _NEAR * self._too_much:
            return 0.25 / self._limit
        return max(1.0 / self._limit, 1.0 / _GROWTH)

    def _measured(self, measure: _Measure, now: float, entered_at: float, *, good: bool) -> None:
        if measure.add(now, entered_at, self._in_flight, self._round_trip, good=good):
            self._decide(measure.result(now), now)
            self._admit()

    def _decide(self, now_yield: _Yield, now: float) -> None:
        """What follows from a measurement."""
        if self._before is not None:
            self._judge_cut(now_yield)
        elif now_yield.share <= _TOLERATED:
            self._measure = None
            return
        elif self._truce > 0 and now_yield.share <= 1.5 * self._accepted_share + 0.05:
            self._truce -= 1
            self._limit = min(self._maximum, self._limit + max(1.0, self._limit / 4))
        elif self.limit > 1:
            self._cut(now_yield)
        self._measure = _Measure(now, now, self.limit)

    def _cut(self, now_yield: _Yield) -> None:
        used = min(self._limit, now_yield.in_flight)
        if now_yield.share < _HOPELESS:
            self._before = self._limit, now_yield
        self._too_much = self._limit
        self._limit = max(1.0, min(self._limit - 1, used * _CUT))

    def _judge_cut(self, after: _Yield) -> None:
        """Keep the cut where it saved more throttled replies than it cost good ones."""
        assert self._before is not None  # noqa: S101
        limit, before = self._before
        self._before = None
        if after.worth >= before.worth:
            self._next_truce = 0
            return
        self._limit = limit
        self._too_much = inf
        self._accepted_share = before.share
        self._next_truce = self._truce = min(_LONGEST_TRUCE, max(4, 2 * self._next_truce))

    def _admit(self) -> None:
        while self._waiters and self._in_flight < int(self._limit):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)


class _Yield(NamedTuple):
    """What a measurement found.

    share: of the replies that were throttled
    worth: good replies per second, less the throttled ones
    in_flight: requests under way, at most
    """

    share: float
    worth: float
    in_flight: int


class _Measure:
    """Counts replies to requests that were sent since `since`, from when the first round of them is back.

    begun_at: now
    limit: what is measured
    """

    def __init__(self, since: float, begun_at: float, limit: int) -> None:
        self._since = since
        self._begun_at = begun_at
        self._wanted = max(_LEAST_REPLIES, _ROUNDS * limit)
        self._counting_from: float | None = None
        self._good = self._bad = self._in_flight = 0

    def add(self, now: float, entered_at: float, in_flight: int, round_trip: float, *, good: bool) -> bool:
        """Note a reply; returns whether the measurement is complete."""
        if entered_at < self._since or now < self._begun_at + (round_trip if self._since > -inf else 0):
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

    def result(self, now: float) -> _Yield:
        replies = self._good + self._bad
        seconds = max(1e-6, now - (self._counting_from or now))
        return _Yield(self._bad / replies, (self._good - self._bad) / seconds, self._in_flight)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to send a request again: exponential backoff with full jitter (`backoff`).

    attempts: requests in all; those that were throttled do not count
    patience: seconds that a request waits in all after throttled replies
    transient_base, throttle_base: seconds that the first wait stays below, after a broken or a throttled reply.
        The pace already answers throttling by sending less; the wait only keeps one request from hammering.
    cap: seconds that every wait stays below
    """

    attempts: int = 8
    transient_base: float = 0.1
    throttle_base: float = 0.05
    cap: float = 20.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    patience: float = 300.0

    async def wait(self, attempt: int, *, throttled: bool) -> float:
        """Wait after attempt number `attempt` (1 is the first). Returns the seconds waited."""
        base = self.throttle_base if throttled else self.transient_base
        seconds = jittered_pause(attempt, base, self.cap, self.random)
        await self.sleep(seconds)
        return seconds


class Rate:
    """Lets through so many objects per second, evenly: what was not used is not saved up.

    per_second: above 0
    clock: seconds, monotonic
    """

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = -inf

    async def wait(self) -> None:
        """Wait for this object's moment."""
        now = self._clock()
        # Timers come late by a few milliseconds, which must not add up.
        moment = max(self._next, now - _LATE_TIMER)
        self._next = moment + self._interval
        if moment > now:
            await self._sleep(moment - now)
