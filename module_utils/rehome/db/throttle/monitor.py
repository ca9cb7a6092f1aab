"""Read the load of one server in the background, every second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, Self, TypeVar

from ...errors import RefusedError
from ..server_load import Load, UnreadableError

READ_EVERY_S = 1.0
STALE_S = 10.0
"""A value older than this no longer counts."""

T = TypeVar("T")


class Reading(Generic[T]):
    """The newest value of one figure. Call it to get the value."""

    def __init__(self, what: str, read: Callable[[Load], T], clock: Callable[[], float]) -> None:
        self._what = what
        self._read = read
        self._clock = clock
        self._value: T | None = None
        self._failure: str | None = "it has not been read yet"
        self._read_at = clock()

    def __call__(self) -> T:
        """Return the newest value. Raises UnreadableError if reading it failed, or if it is older than STALE_S."""
        age_s = self._clock() - self._read_at
        failure = f"no response for {age_s:.0f} s" if age_s > STALE_S else self._failure
        if failure is not None:
            raise UnreadableError(f"{self._what} cannot be read: {failure}")
        return self._value  # type: ignore[return-value]  # it is set if there is no failure

    def refresh(self, load: Load) -> None:
        """Read the value now. Raises whatever reading raises."""
        read_at = self._clock()
        self._value = self._read(load)
        self._failure, self._read_at = None, read_at

    def fail(self, failure: str) -> None:
        """Record why the value cannot be read."""
        self._failure, self._read_at = failure, self._clock()


class Monitor:
    """A thread with a connection of its own, so that a server that hangs does not delay a request to stop.

    Use it as a context manager, after all calls of `watch`.

    open_load: opens a new connection for the length of the block
    """

    def __init__(
        self,
        open_load: Callable[[], AbstractContextManager[Load]],
        clock: Callable[[], float] = time.monotonic,
        every_s: float = READ_EVERY_S,
    ) -> None:
        self._open = open_load
        self._clock = clock
        self._every_s = every_s
        self._readings: list[Reading[object]] = []
        self._woken = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def watch(self, what: str, read: Callable[[Load], T], load: Load | None = None) -> Reading[T]:
        """Return a reading that the monitor keeps up to date; `what` names it in messages.

        load: an open connection for the first value, so that nobody waits for the monitor to begin
        """
        reading = Reading(what, read, self._clock)
        self._readings.append(reading)  # type: ignore[arg-type]  # it is only refreshed here
        if load is not None:
            _refresh(reading, load)
        return reading

    def wake(self) -> None:
        """Read everything at once: the values have changed."""
        self._woken.set()

    def __enter__(self) -> Self:
        if self._readings:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._woken.set()
        if self._thread.is_alive():
            # a server that hangs must not delay the end; the thread is a daemon and ends with the process
            self._thread.join(self._every_s)

    def _work(self) -> None:
        while not self._ended:
            try:
                with self._open() as load:
                    while not self._ended and self._refresh_all(load):
                        self._pause()
            except Exception as error:  # whatever it is, the values cannot be read, and that must be reported
                for reading in self._readings:
                    reading.fail(failure_of(error))
            self._pause()

    def _refresh_all(self, load: Load) -> bool:
        """Refresh every reading once. Returns whether the connection can be used again."""
        usable = [_refresh(reading, load) for reading in self._readings]
        return all(usable)

    def _pause(self) -> None:
        if not self._ended:
            self._woken.wait(self._every_s)
            self._woken.clear()


def _refresh(reading: Reading[T], load: Load) -> bool:
    """Refresh a reading, or record why it cannot be read. Returns whether the connection can be used again."""
    try:
        reading.refresh(load)
    except Exception as error:  # whatever it is, the value cannot be read, and that must be reported
        reading.fail(failure_of(error))
        return isinstance(error, UnreadableError)
    return True


def failure_of(error: Exception) -> str:
    """Return why a figure cannot be read, in words that fit behind the figure's name."""
    if isinstance(error, RefusedError):
        return "; ".join(finding.problem for finding in error.findings)
    return str(error) or type(error).__name__
