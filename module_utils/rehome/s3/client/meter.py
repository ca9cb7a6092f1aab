"""What a client's requests are doing: how many were sent, are in flight, were repeated, and how long replies take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ...latency import Latencies, RecentLatencies, in_ms
from .pacing import ConcurrencyLimiter

_SAMPLE = 2_048
"""At most so many durations are kept between two readings, the last ones. To take each into a histogram at once would
cost several percent of a copy's CPU; to append it to a deque costs next to nothing."""


class Meter:
    """Counts the requests of one client. Every attempt counts as a request that was sent."""

    __slots__ = ("_recent", "failed", "retries", "sent", "throttled", "took")

    def __init__(self) -> None:
        self.sent = 0
        self.retries = 0
        """Of the sent, the ones that repeat one without a usable reply."""
        self.throttled = 0
        """Replies that ask for fewer requests."""
        self.failed = 0
        """Requests that ended in an error, after all attempts."""
        self.took: deque[float] = deque(maxlen=_SAMPLE)
        """Seconds that usable replies took since the last reading."""
        self._recent = RecentLatencies()

    def counts(self) -> tuple[int, int, int, int]:
        """Return sent, retries, throttled and failed."""
        return self.sent, self.retries, self.throttled, self.failed

    def latencies(self, now: float) -> Latencies:
        """Return how long the replies of the last seconds took.

        now: seconds, monotonic
        """
        for seconds in self.took:
            self._recent.present.add(seconds)
        self.took.clear()
        return self._recent.all(now)


class Metered(Protocol):
    """A client, as far as this file knows it."""

    meter: Meter
    limiter: ConcurrencyLimiter


class RequestGauge:
    """Reads the requests of several clients together, for progress.json. Made for `Progress.measured_by`."""

    def __init__(self, clients: Sequence[Metered], clock: Callable[[], float] = time.monotonic) -> None:
        self._clients = clients
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Count from now on: a stage begins."""
        self._before = [client.meter.counts() for client in self._clients]

    def read(self) -> dict[str, object]:
        """Return `requests` as progress.json has it; nothing before the first request."""
        since = [
            [now - before for now, before in zip(client.meter.counts(), counts, strict=True)]
            for client, counts in zip(self._clients, self._before, strict=True)
        ]
        used = [client for client, counts in zip(self._clients, since, strict=True) if counts[0]]
        if not used:
            return {}
        sent, retries, throttled, failed = (sum(same) for same in zip(*since, strict=True))
        now = self._clock()
        first, *others = [client.meter.latencies(now) for client in used]
        requests = {
            "in_flight": sum(client.limiter.in_flight for client in used),
            "limit": sum(client.limiter.limit for client in used),
            "sent": sent,
            "retries": retries,
            "throttled": throttled,
            "failed": failed,
            **in_ms(first.merged(others)),
        }
        return {"requests": requests}
