"""Hear that a run is to stop, at every moment of a module's work, and end it within seconds."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 10
"""How long work that was asked to stop may take to finish what is in flight. A run may be killed at any moment, and the
next one settles what it left."""


class StopRequestedError(KeyboardInterrupt):
    """A signal ends work that may end anywhere. As a KeyboardInterrupt, no handler of errors on its way keeps it."""


class Stopping:
    """Whether this module was asked to stop: by a signal, or by the end of a process that it works for.

    Work ends at once, by StopRequestedError. Within `finishing` it goes on to a good end of its own.

    works_for: ansible-playbook and its worker. If one of them is killed, nobody else would end this module
    end_now: called in another thread, with the module's last seconds over; does not return
    """

    def __init__(self, works_for: set[int], end_now: Callable[[], object]) -> None:
        self.requested = False
        self._end_now = end_now
        self._finishing = 0
        for number in SIGNALS:
            signal.signal(number, self._hear)
        threading.Thread(target=_outlive, args=(works_for,), daemon=True).start()

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Raise nothing within the block, which asks `requested` itself, or is short and must be done as a whole.

        Raises StopRequestedError at its end, unless the block raises an error of its own.
        """
        self._finishing += 1
        try:
            yield
        finally:
            self._finishing -= 1
        if self.requested and not self._finishing:
            raise StopRequestedError

    def ignore(self) -> None:
        """Hear no signal any more: the module is about to return its result."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        last = threading.Timer(PATIENCE_S, self._end_now)
        last.daemon = True
        last.start()
        if not self._finishing:
            raise StopRequestedError


def _outlive(processes: set[int]) -> None:
    """Wait until one of these processes has ended, and ask this one to stop."""
    poll = select.poll()
    with suppress(OSError, AttributeError):  # a kernel, or a Python, without it
        for pid in processes:
            poll.register(os.pidfd_open(pid), select.POLLIN)
        poll.poll()
        os.kill(os.getpid(), signal.SIGTERM)
