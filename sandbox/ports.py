"""Find TCP ports on 127.0.0.1 on which nothing listens."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from .errors import SandboxError

# Below the kernel's range for outgoing connections (32768 and up), so that no client's socket takes a port
# while its server is down.
LOWEST, HIGHEST = 10_000, 21_999
PAIR_OFFSET = 10_000
"""The distance between the two ports of a pair: SeaweedFS expects its gRPC ports there."""
ATTEMPTS = 1_000


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port now."""
    with ExitStack() as stack:
        return _held(port, stack)


def find_free(count: int) -> list[int]:
    """Return free ports for servers that start right away; each `port + PAIR_OFFSET` is free too."""
    found: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(range(LOWEST, HIGHEST + 1), ATTEMPTS):
            if len(found) == count:
                return found
            if _held(port, stack) and _held(port + PAIR_OFFSET, stack):
                found.append(port)
    raise SandboxError(f"no free ports on 127.0.0.1 among {ATTEMPTS} tried between {LOWEST} and {HIGHEST}")


def _held(port: int, stack: ExitStack) -> bool:
    """Bind the port until the stack closes. Return False if another process has it."""
    holder = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    # As servers do, so that connections in TIME_WAIT of an earlier instance do not count.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
