"""When an endpoint is dead: nothing succeeds any more, for anybody, so nobody should use up their attempts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ...backoff import longest_pause

DEAD = "EndpointDead"
"""The code of the error that ends the run then."""

_WITNESSES = 5
"""Requests in a row whose failure makes the endpoint suspect, not the object."""

_SUSPECT_AFTER = 0.5
"""Seconds without a success before refusals (unlike refused connections) make it suspect."""

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
"""Seconds between two probes."""


class DeadEndpointError(Exception):
    """Nothing succeeded for so long that the run must stop; the text says what was seen."""


class Breaker:
    """Knows whether anything at all succeeds at one endpoint.

    While nothing does (`broken`), `turn` lets one request after the other through, and no others.

    silent_for: seconds without a success, or a throttled reply, until the endpoint counts as dead
    throttled_for: the same where it says itself that it has too much to do
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
        self._mended = asyncio.Event()
        self._seen: Counter[str] = Counter()
        self._last = ""
        self._witnesses = 0
        self._failing_since = self._silent_since = 0.0
        self._probes = 0
        self._dead: DeadEndpointError | None = None
        self.failing = False
        """Whether the latest request that ended had failed."""
        self.broken = False

    def succeeded(self) -> None:
        """Note an answer, whatever it says, after `failing`."""
        self.failing = self.broken = False
        self._seen.clear()
        self._witnesses = self._probes = 0
        self._mended.set()

    def failed(self, code: str, text: str, *, connected: bool, throttled: bool, another: bool) -> None:
        """Note an attempt that ended without a usable answer.

        connected: something answered at the address
        throttled: the server asked for fewer requests
        another: the request had not failed before
        """
        now = self._clock()
        if not self.failing:
            self.failing = True
            self._dead = None
            self._mended.clear()
            self._failing_since = self._silent_since = now
        if throttled:
            self._silent_since = now
        self._seen[code] += 1
        self._last = text
        self._witnesses += another or not connected
        if self._witnesses >= _WITNESSES and (not connected or now - self._failing_since >= _SUSPECT_AFTER):
            self.broken = True
        silent, failing = now - self._silent_since, now - self._failing_since
        if self.broken and (silent >= self._silent_for or failing >= self._throttled_for):
            self._dead = DeadEndpointError(self._story(failing))

    def check(self) -> None:
        """Raises DeadEndpointError where it is."""
        if self._dead is not None:
            raise self._dead

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for this request's turn to probe, or for the end of the trouble. Raises DeadEndpointError."""
        dead_before = self._dead
        await self._turn.acquire()
        held = True
        try:
            if self._dead is not dead_before:
                self.check()
            if self.broken:
                await self._pause()
            if not self.broken:
                self._turn.release()
                held = False
            yield
        finally:
            if held:
                self._turn.release()

    async def _pause(self) -> None:
        self._probes += 1
        pause = asyncio.ensure_future(self._sleep(longest_pause(self._probes, _FIRST_PAUSE, _LONGEST_PAUSE)))
        mended = asyncio.ensure_future(self._mended.wait())
        try:
            await asyncio.wait((pause, mended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            mended.cancel()

    def _story(self, seconds: float) -> str:
        seen = ", ".join(f"{count} times {code}" for code, count in self._seen.most_common())
        return f"nothing has succeeded for {seconds:.0f} s ({seen}); at last: {self._last}"
