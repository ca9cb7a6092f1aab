"""The addresses of a host. Connections are spread over them; one that refused a connection comes last for a while."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf

HostResolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a host, given its name and port. Raises OSError."""

_FRESH_FOR = 60.0
"""Seconds for which resolved addresses are used; S3 changes its DNS records every few seconds to spread clients."""

_FAILED_PAUSE = 30.0
"""Seconds for which an address that refused a connection comes last."""


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the operating system knows, IPv4 and IPv6, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Addresses:
    """The addresses of one host.

    resolver: resolves its name
    clock: seconds, monotonic
    """

    def __init__(
        self, host: str, port: int, resolver: HostResolver = resolve_host, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._port = port
        self._resolver = resolver
        self._clock = clock
        self._known: Sequence[str] = ()
        self._stale_at = -inf
        self._resolving = asyncio.Lock()
        self._next = 0
        self._failed_until: dict[str, float] = {}

    async def ordered(self) -> list[str]:
        """Return all addresses in the order to try: round-robin, with those that failed recently at the end.

        Raises OSError if the name cannot be resolved and never could.
        """
        if self._clock() >= self._stale_at and not (self._known and self._resolving.locked()):
            await self._refresh()
        known, now = self._known, self._clock()
        start = self._next % len(known)
        self._next += 1
        self._failed_until = {address: until for address, until in self._failed_until.items() if until > now}
        return sorted([*known[start:], *known[:start]], key=lambda address: address in self._failed_until)

    def failed(self, address: str) -> None:
        """Record that `address` refused a connection."""
        self._failed_until[address] = self._clock() + _FAILED_PAUSE

    async def _refresh(self) -> None:
        async with self._resolving:
            if self._clock() < self._stale_at:
                return
            try:
                found = await self._resolver(self._host, self._port)
            except OSError:
                if not self._known:
                    raise
                found = self._known
            if not found:
                raise OSError(f"{self._host} has no address")
            self._known = found
            self._stale_at = self._clock() + _FRESH_FOR
