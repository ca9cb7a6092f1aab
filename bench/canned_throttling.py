"""`python -m bench.canned_throttling`: a server that limits and refuses copies.

A request beyond the limit waits. Each request takes the delay, also if it is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import deque

from .canned import reply, serve
from .null_replies import COPIED

REFUSED = reply(
    b"503 Slow Down",
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
)
GRANTED = reply(b"200 OK", COPIED)


class Desk:
    """The server's slots.

    limit: requests at once
    delay_s: how long each takes
    refused: the share of requests that get a 503
    """

    def __init__(self, limit: int, delay_s: float, refused: float) -> None:
        self._free = limit
        self._delay_s = delay_s
        self._refused = refused
        self._chance = random.Random(600)  # noqa: S311 - the same refusals each time
        self._waiting: deque[asyncio.Transport] = deque()

    def ask(self, _line: bytes, transport: asyncio.Transport) -> None:
        """Answer a request when a slot is free."""
        if self._free:
            self._free -= 1
            self._take(transport)
        else:
            self._waiting.append(transport)

    def _take(self, transport: asyncio.Transport) -> None:
        asyncio.get_running_loop().call_later(self._delay_s, self._finish, transport)

    def _finish(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.write(REFUSED if self._chance.random() < self._refused else GRANTED)
        if self._waiting:
            self._take(self._waiting.popleft())
        else:
            self._free += 1


def main() -> int:
    """Serve. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.canned_throttling")
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--delay", type=float, required=True, help="seconds")
    parser.add_argument("--refused", type=float, required=True, help="a share of 1")
    options = parser.parse_args()
    serve(Desk(options.limit, options.delay, options.refused).ask)
    return 0


if __name__ == "__main__":
    sys.exit(main())
