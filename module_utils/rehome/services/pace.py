"""Hold the requests of a stage to what operators ask of it: a pause, fewer in flight, fewer objects per second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from ..control.orders import OFF
from ..run import Run
from ..s3.client.pacing import RateLimiter

LOOK_EVERY_S = 0.1
"""How often it looks what is asked: nothing is asked of each request, which would cost the hot path."""


class Ceiling(Protocol):
    """Holds requests back."""

    def set_ceiling(self, requests: int) -> None:
        """Let no more than this many requests in flight; 0 holds all back."""


class Limited(Protocol):
    """What has requests in flight: a client, or the workers of a cluster."""

    @property
    def limiter(self) -> Ceiling:
        """What holds them back."""


class Rate(Protocol):
    """What limits the objects per second."""

    def retune(self, per_second: float | None) -> None:
        """Change the rate; None: no limit."""


class Pace:
    """What the requests of a stage are held to.

    rate: of its objects per second
    """

    def __init__(
        self, run: Run, clients: Sequence[Limited], rate: Rate, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self._run = run
        self._clients = clients
        self._clock = clock
        self._began: float | None = None
        self._seen_at = clock()

    def follow(self) -> None:
        """Look what is asked now, and hold the requests to it. A run that is to stop waits for nothing."""
        run, policy = self._run, self._run.settings.copy
        stopping = run.stopping()
        pause = None if stopping else run.controls.pause
        requests = policy.max_requests if stopping else int(run.controls.limit("requests", policy.max_requests))
        for client in self._clients:
            client.limiter.set_ceiling(0 if pause else requests)
        per_second = run.controls.limit("objects_per_second", policy.objects_per_second)
        self.rate.retune(None if per_second in (None, OFF) else float(per_second or 0))
        self._count(pause.why if pause else None)

    def _count(self, why: str | None) -> None:
        now = self._clock()
        if self._began is not None:
            self._run.controls.add_paused(now - self._seen_at)
        self._seen_at = now
        if why is not None:
            self._began = now if self._began is None else self._began
            self._run.progress.pause(why, now - self._began)
        elif self._began is not None:
            self._run.progress.resume(now - self._began)
            self._began = None


@asynccontextmanager
async def paced(run: Run, *clients: Limited, rate: Rate | None = None) -> AsyncIterator[None]:
    """Hold the requests of `clients`, and `rate`, to what operators ask, for the length of the block."""
    pace = Pace(run, clients, rate or RateLimiter(None))
    pace.follow()
    following = asyncio.create_task(_follow(pace))
    try:
        yield
    finally:
        following.cancel()
        pace.follow()


async def _follow(pace: Pace) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        pace.follow()
