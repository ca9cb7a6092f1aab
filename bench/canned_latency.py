"""`python -m bench.canned_latency --delay S`: a service that needs its time for each request, and takes any number.

It remembers what was copied: a copy of a key that is there is refused as S3 refuses it, and a HEAD tells its ETag.
A GET of `/count` tells how many copies were asked for. One of `/asked` tells when each was, in seconds of the monotonic
clock, and forgets everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from array import array

from .canned import reply, serve
from .null_replies import COPIED, ETAG, SIZE

GRANTED = reply(b"200 OK", COPIED)
REFUSED = reply(
    b"412 Precondition Failed",
    b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions did not hold</Message></Error>",
)
THERE = b'HTTP/1.1 200 OK\r\netag: "%s"\r\ncontent-length: %d\r\n\r\n' % (ETAG.encode(), SIZE)
MISSING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
SOURCE = b"/legacy/"
"""Where everything is from the start on."""
ASKED, COUNT = b"/asked", b"/count"


class Service:
    """What was copied, and when it was asked for. delay_s: how long each request takes."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._there = set[bytes]()
        self._asked = array("d")

    def ask(self, line: bytes, transport: asyncio.Transport) -> None:
        """Answer a request after its time."""
        loop = asyncio.get_running_loop()
        verb, target, _ = line.split(b" ")
        if target == ASKED:
            transport.write(reply(b"200 OK", json.dumps(self._asked.tolist()).encode()))
            self._there.clear()
            self._asked = array("d")
            return
        if target == COUNT:
            transport.write(reply(b"200 OK", b"%d" % len(self._asked)))
            return
        if verb == b"HEAD":
            said = THERE if target in self._there or target.startswith(SOURCE) else MISSING
        else:
            self._asked.append(loop.time())
            said = REFUSED if target in self._there else GRANTED
            self._there.add(target)
        loop.call_later(self._delay_s, self._finish, transport, said)

    def _finish(self, transport: asyncio.Transport, said: bytes) -> None:
        if not transport.is_closing():
            transport.write(said)


def main() -> int:
    """Serve. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.canned_latency")
    parser.add_argument("--delay", type=float, required=True, help="seconds")
    serve(Service(parser.parse_args().delay).ask)
    return 0


if __name__ == "__main__":
    sys.exit(main())
