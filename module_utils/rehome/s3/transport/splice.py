"""Move most of a body from one connection to another inside the kernel: it does not enter this process (splice(2))."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Callable

from .connection import Connection

_PIPE_BYTES = 1024 * 1024
"""What an unprivileged process may have in one pipe (fs.pipe-max-size)."""

_LEAST = 512 * 1024
"""For less, a pipe and two more descriptors are not worth their system calls."""

_TAIL = 64 * 1024
"""Of the body, what goes the ordinary way at its end, where the reply is checked before the target has everything."""


def splice(
    inlet: Connection,
    outlet: Connection,
    expected: int,
    received: Callable[[int], None],
    ended: Callable[[bytes], None],
) -> Splice | None:
    """Prepare to move what comes next of `inlet`'s reply to `outlet`'s request, all but the end of it.

    It must be called by the reply's sink, and all of the body that the sink has received be sent. Once nothing of it
    waits in `outlet`, call `Splice.begin`.

    expected: bytes that are to come
    received: called with the number of bytes that were received
    ended: called once both connections go the ordinary way again, with what was received and is still to be sent:
        nothing, unless either end broke off, or the system refuses. Not called if a connection is closed meanwhile

    Returns None if the body must enter this process: over TLS, in chunked transfer coding, if it is short, and where
    the system has no splice or grants no pipe.
    """
    count = min(expected, inlet.body_left) - _TAIL
    # What a subclass receives and sends is not what its socket does.
    if count < _LEAST or type(inlet) is not Connection or type(outlet) is not Connection:
        return None
    if sys.platform != "linux" or not hasattr(os, "splice"):
        return None
    try:
        return Splice(inlet, outlet, count, received, ended)
    except OSError:
        return None


class Splice:
    """The middle of a body between two connections; the `Borrower` of both. `splice` makes them."""

    def __init__(
        self,
        inlet: Connection,
        outlet: Connection,
        count: int,
        received: Callable[[int], None],
        ended: Callable[[bytes], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._inlet, self._outlet = inlet, outlet
        self._left = count
        self._piped = 0
        self._received, self._ended = received, ended
        self._watched: int | None = None
        self._descriptors: list[int] = []
        try:
            self._open()
        except OSError:
            self.stop()
            raise
        inlet.lend_input(self)
        outlet.lend_output(self)

    def _open(self) -> None:
        # Descriptors of our own: the transport closes its one at any time, and another connection gets its number.
        for connection in (self._inlet, self._outlet):
            self._descriptors.append(connection.duplicate())
        self._descriptors += os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._from, self._to, self._out, self._in = self._descriptors
        fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def begin(self) -> None:
        """Move."""
        self._move()

    def stop(self) -> None:
        """Let go of both sockets, and of what is between them."""
        self._watch(None)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def _move(self) -> None:
        """Move what can be moved now: no more than a pipe holds, as others wait for their turn."""
        if not self._descriptors:
            # Stopped; their numbers may be somebody else's by now.
            return
        try:
            self._send()
            whole = self._receive()
            self._send()
        except OSError:
            # The transport meets it, too, and reports it; or it is of splice itself, and the transport can go on.
            whole = False
        if not whole or not (self._left or self._piped):
            self._end()
        elif self._piped:
            # What the source sends meanwhile waits in its socket: it is not the source that is silent.
            self._inlet.pause_reading()
            self._watch(self._to)
        else:
            self._inlet.resume_reading()
            self._watch(self._from)

    def _receive(self) -> bool:
        """Fill the pipe. Return False if the source sends nothing more."""
        room = min(self._left, _PIPE_BYTES - self._piped)
        if not room:
            return True
        try:
            moved = os.splice(self._from, self._in, room, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return True
        self._left -= moved
        self._piped += moved
        self._inlet.count_received(moved)
        self._received(moved)
        return moved > 0

    def _send(self) -> None:
        """Empty the pipe."""
        if not self._piped:
            return
        try:
            moved = os.splice(self._out, self._to, self._piped, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return
        self._piped -= moved
        self._outlet.count_sent(moved)

    def _watch(self, descriptor: int | None) -> None:
        """Move again when `descriptor` is ready: the source's has bytes, or the target's takes some."""
        before, self._watched = self._watched, descriptor
        if descriptor == before:
            return
        if before is not None:
            remove = self._loop.remove_reader if before == self._from else self._loop.remove_writer
            remove(before)
        if descriptor is not None:
            add = self._loop.add_reader if descriptor == self._from else self._loop.add_writer
            add(descriptor, self._move)

    def _end(self) -> None:
        rest = b""
        while len(rest) < self._piped:
            rest += os.read(self._out, self._piped - len(rest))
        self.stop()
        self._inlet.take_input()
        self._outlet.take_output()
        self._ended(rest)
