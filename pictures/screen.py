"""Run a command at a pseudo-terminal, and keep what its screen shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pyte
from pyte.screens import Char

COLUMNS, ROWS = 100, 40
READ_S = 0.02

Line = list[Char]
"""The characters of a line, with their colours."""


class Run:
    """A command that runs at a terminal of `COLUMNS` times `ROWS`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=2_000)
        self._stream = pyte.ByteStream(self._screen)
        self._process = pexpect.spawn(
            command[0], list(command[1:]), env=dict(environment), cwd=str(folder), dimensions=(ROWS, COLUMNS)
        )

    def until(self, shown: Callable[[str], bool], seconds: float) -> bool:
        """Follow the run until its screen shows something, or it ends. Return whether it did."""
        left = seconds
        while left > 0:
            if shown("\n".join(self._screen.display)):
                return True
            if not self._read():
                return False
            left -= READ_S
        return False

    def end(self) -> int:
        """Follow the run to its end. Return its exit status."""
        while self._read():
            pass
        self._process.close()
        return int(self._process.exitstatus or 0)

    @property
    def lines(self) -> list[Line]:
        """All lines so far, those that are scrolled away first, without the empty ones at the end."""
        rows = [*self._screen.history.top, *(self._screen.buffer[row] for row in range(ROWS))]
        lines = [[row[column] for column in range(COLUMNS)] for row in rows]
        while lines and not "".join(character.data for character in lines[-1]).strip():
            lines.pop()
        return lines

    def _read(self) -> bool:
        """Take in what was written. Return whether the run goes on."""
        try:
            self._stream.feed(self._process.read_nonblocking(65_536, timeout=READ_S))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        return True
