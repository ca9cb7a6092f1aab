"""The addresses behind a name: connections are spread over them, and one that does not answer gets a rest."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the IP addresses of a host (name, port). Raises OSError."""

_FRESH_FOR = 60.0
"""Seconds that an answer of the DNS is used; S3 changes its answers every few seconds to spread its clients."""

_REST = 30.0
"""Seconds that an address is left alone after it refused a connection."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """What the operating system knows, IPv4 and IPv6 in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Addresses:
    """The addresses of one host.

    find: looks them up
    clock: seconds, monotonic
    """

    def __init__(
        self, host: str, port: int, find: LookUp = look_up, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._port = port
        self._find = find
        self._clock = clock
        self._known: Sequence[str] = ()
        self._stale_at = -inf
        self._looking_up = asyncio.Lock()
        self._next = 0
        self._resting: dict[str, float] = {}

    async def in_turn(self) -> list[str]:
        """All of them, in the order to try: each call begins with the next one, and those at rest come last.

        Raises OSError where the name cannot be resolved and never could.
        """
        if self._clock() >= self._stale_at and not (self._known and self._looking_up.locked()):
            await self._refresh()
        known, now = self._known, self._clock()
        start = self._next % len(known)
        self._next += 1
        self._resting = {address: until for address, until in self._resting.items() if until > now}
        return sorted([*known[start:], *known[:start]], key=lambda address: address in self._resting)

    def failed(self, address: str) -> None:
        """Note that `address` took no connection."""
        self._resting[address] = self._clock() + _REST

    async def _refresh(self) -> None:
        async with self._looking_up:
            if self._clock() < self._stale_at:
                return
            try:
                found = await self._find(self._host, self._port)
            except OSError:
                if not self._known:
                    raise
                found = self._known
            if not found:
                raise OSError(f"{self._host} has no address")
            self._known = found
            self._stale_at = self._clock() + _FRESH_FOR
