"""Ask one server the same questions every second, beside the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, Self, TypeVar

from ...errors import RefusedError
from ..server_load import Load, UnreadableError

ASK_EVERY_S = 1.0
STALE_S = 10.0
"""An answer this old is none any more."""

T = TypeVar("T")


class Answer(Generic[T]):
    """The newest answer to one question."""

    def __init__(self, what: str, question: Callable[[Load], T], clock: Callable[[], float]) -> None:
        self._what = what
        self._question = question
        self._clock = clock
        self._value: T | None = None
        self._failure: str | None = "it has not been asked yet"
        self._asked_at = clock()

    def __call__(self) -> T:
        """Raises UnreadableError where the question failed, or the server has been silent for too long."""
        silent_s = self._clock() - self._asked_at
        failure = f"no answer for {silent_s:.0f} s" if silent_s > STALE_S else self._failure
        if failure is not None:
            raise UnreadableError(f"{self._what} cannot be read: {failure}")
        return self._value  # type: ignore[return-value]  # there is one where there is no failure

    def ask(self, load: Load) -> None:
        """Ask now. Raises whatever the question raises."""
        asked_at = self._clock()
        self._value = self._question(load)
        self._failure, self._asked_at = None, asked_at

    def fail(self, failure: str) -> None:
        """The server could not be asked."""
        self._failure, self._asked_at = failure, self._clock()


class Watch:
    """A thread with a connection of its own, so that a server that hangs keeps nobody from hearing a request to stop.

    open_load: a new connection for the length of the block
    """

    def __init__(
        self,
        open_load: Callable[[], AbstractContextManager[Load]],
        clock: Callable[[], float] = time.monotonic,
        every_s: float = ASK_EVERY_S,
    ) -> None:
        self._open = open_load
        self._clock = clock
        self._every_s = every_s
        self._answers: list[Answer[object]] = []
        self._woken = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def ask(self, what: str, question: Callable[[Load], T]) -> Answer[T]:
        """Have a question asked from the beginning on; `what` names it to people."""
        answer = Answer(what, question, self._clock)
        self._answers.append(answer)  # type: ignore[arg-type]  # it is only asked here
        return answer

    def wake(self) -> None:
        """Ask at once: the answers have changed."""
        self._woken.set()

    def __enter__(self) -> Self:
        if self._answers:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._woken.set()
        if self._thread.is_alive():
            # a server that hangs must not hold up the end; the thread goes with the process then
            self._thread.join(self._every_s)

    def _work(self) -> None:
        while not self._over:
            try:
                with self._open() as load:
                    while not self._over and self._round(load):
                        self._pause()
            except Exception as error:  # whatever it is, the signals cannot be read, and that must be told
                for answer in self._answers:
                    answer.fail(_told(error))
            self._pause()

    def _round(self, load: Load) -> bool:
        """Ask every question once; answers whether the connection is good for another round."""
        good = True
        for answer in self._answers:
            try:
                answer.ask(load)
            except Exception as error:  # as above
                answer.fail(_told(error))
                good = good and isinstance(error, UnreadableError)
        return good

    def _pause(self) -> None:
        if not self._over:
            self._woken.wait(self._every_s)
            self._woken.clear()


def _told(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return "; ".join(finding.problem for finding in error.findings)
    return str(error) or type(error).__name__
