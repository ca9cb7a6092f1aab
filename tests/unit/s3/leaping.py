"""An event loop whose clock leaps to the next timer: minutes of waiting take milliseconds, reproducibly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Leaping(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """Only for tasks that wait for timers and for each other, not for sockets."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def now() -> float:
    """Return the running loop's time: the clock of what is tested on it."""
    return asyncio.get_running_loop().time()


def run_leaping(main: Coroutine[Any, Any, _T]) -> _T:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(main)
