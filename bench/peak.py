"""The largest resident size of a program that is not ours to ask."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

_EVERY_S = 0.05


class Peak:
    """Looks at a process's VmHWM, until the end of the block or of the process. Used as a context manager.

    bytes: the largest resident size until the last look; 0 where the system does not tell
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._ended = Event()
        self._thread: Thread | None = None

    def watch(self, pid: int) -> None:
        """Begin to look at a process."""
        self._thread = Thread(target=self._look, args=(Path(f"/proc/{pid}/status"),), daemon=True)
        self._thread.start()

    def __enter__(self) -> Peak:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, status: Path) -> None:
        # the first look after the program has begun: until then it is a copy of its parent
        while not self._ended.wait(_EVERY_S):
            with suppress(OSError, StopIteration):
                line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
                self.bytes = int(line.split()[1]) * 1024
