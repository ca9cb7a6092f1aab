"""The circuit breaker of an endpoint: while nothing succeeds, single requests probe it, and the others wait."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ...backoff import longest_pause

"""The code of the error that ends the run when the endpoint is dead."""

_FAILED_REQUESTS = 5
"""Failed requests in a row from which the endpoint is suspect, not the objects."""

_SUSPECT_AFTER = 0.5
"""Seconds without a success before errors other than refused connections make the endpoint suspect."""

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
"""Seconds between two probes."""


class DeadEndpointError(Exception):
    """Nothing succeeded for so long that the run must stop. The text has the errors."""


class CircuitBreaker:
    """Tracks whether anything succeeds at one endpoint.

    While nothing does (`broken`), `turn` lets one request at a time through.

    silent_for: seconds without a success or a throttled reply until the endpoint counts as dead
    throttled_for: seconds without a success until an endpoint that throttles counts as dead
    clock: seconds, monotonic
    """

    def __init__(
        self,
        silent_for: float = 45.0,
        throttled_for: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._silent_for = silent_for
        self._throttled_for = throttled_for
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._recovered = asyncio.Event()
        self._errors: Counter[str] = Counter()
        self._last_error = ""
        self._failed_requests = 0
        self._failing_since = self._silent_since = 0.0
        self._probes = 0
        self._dead: DeadEndpointError | None = None
        self.failing = False
        """Whether the latest finished request failed."""
        self.broken = False
        """Whether requests must wait for their turn."""

    def succeeded(self) -> None:
        """Record a reply, whatever it says. To be called if `failing`."""
        self.failing = self.broken = False
        self._errors.clear()
        self._failed_requests = self._probes = 0
        self._recovered.set()

    def failed(self, code: str, text: str, *, connected: bool, throttled: bool, first_failure: bool) -> None:
        """Record an attempt without a usable reply.

        code, text: of its error
        connected: something replied at the address
        throttled: the server asked for fewer requests
        first_failure: it is the first failed attempt of its request
        """
        now = self._clock()
        if not self.failing:
            self.failing = True
            self._dead = None
            self._recovered.clear()
            self._failing_since = self._silent_since = now
        if throttled:
            self._silent_since = now
        self._errors[code] += 1
        self._last_error = text
        self._failed_requests += first_failure or not connected
        if self._failed_requests >= _FAILED_REQUESTS and (not connected or now - self._failing_since >= _SUSPECT_AFTER):
            self.broken = True
        silent, failing = now - self._silent_since, now - self._failing_since
        if self.broken and (silent >= self._silent_for or failing >= self._throttled_for):
            self._dead = DeadEndpointError(self._summary(failing))

    def check(self) -> None:
        """Raise DeadEndpointError if the endpoint is dead."""
        if self._dead is not None:
            raise self._dead

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until this request may probe the endpoint, or until the endpoint works again.

        Raises DeadEndpointError.
        """
        dead_before = self._dead
        await self._turn.acquire()
        locked = True
        try:
            if self._dead is not dead_before:
                self.check()
            if self.broken:
                await self._pause()
            if not self.broken:
                self._turn.release()
                locked = False
            yield
        finally:
            if locked:
                self._turn.release()

    async def _pause(self) -> None:
        self._probes += 1
        pause = asyncio.ensure_future(self._sleep(longest_pause(self._probes, _FIRST_PAUSE, _LONGEST_PAUSE)))
        recovered = asyncio.ensure_future(self._recovered.wait())
        try:
            await asyncio.wait((pause, recovered), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            recovered.cancel()

    def _summary(self, seconds: float) -> str:
        seen = ", ".join(f"{count} times {code}" for code, count in self._errors.most_common())
        return f"nothing has succeeded for {seconds:.0f} s ({seen}); the last error: {self._last_error}"
