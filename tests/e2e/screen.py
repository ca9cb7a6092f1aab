"""A terminal as people see it: a program runs in it, and its screen can be read at any moment."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pyte

PATIENCE_S = 120
COLORS = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-9]|4[0-9]|9[0-7])(?:;\d+)*m")


class Screen:
    """A program in a terminal.

    raw: all that it has written
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], columns: int, rows: int = 50
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._child = pexpect.spawn(
            command[0],
            list(command[1:]),
            cwd=str(folder),
            env=dict(environment),  # type: ignore[arg-type] # it is passed on as os.environ is
            dimensions=(rows, columns),
            timeout=None,
        )

    @property
    def lines(self) -> list[str]:
        """The lines that were shown and stayed, and those of the present screen, without trailing spaces."""
        columns = range(self._screen.columns)
        above = ["".join(line[column].data for column in columns) for line in self._screen.history.top]
        lines = [line.rstrip() for line in [*above, *self._screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        """The lines as a text."""
        return "\n".join(self.lines)

    @property
    def cursor_is_hidden(self) -> bool:
        """Whether the program has left the terminal without a cursor."""
        return bool(self._screen.cursor.hidden)

    def type(self, keys: str) -> None:
        """Press keys."""
        self._child.send(keys)

    def resize(self, columns: int) -> None:
        """Change the window's width."""
        self._screen.resize(columns=columns)
        self._child.setwinsize(self._screen.lines, columns)

    def wait_for(self, seen: Callable[[str], object]) -> str:
        """Wait until the screen is as wanted, and return its text."""
        until = time.monotonic() + PATIENCE_S
        while not seen(text := self.text):
            assert self._read(), f"the program ended:\n{self.text}"
            assert time.monotonic() < until, text
        return text

    def wait(self) -> int:
        """Wait until the program has ended, and return its exit code."""
        until = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < until, self.text
        self._child.close()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -self._child.signalstatus)

    def close(self) -> None:
        """End the program, if it has not ended."""
        self._child.close(force=True)

    def _read(self) -> bool:
        """Take in what the program has written. Return whether it may write more."""
        try:
            data = self._child.read_nonblocking(65536, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        return True


def environment_of_a_person(**more: str) -> dict[str, str]:
    """Return the environment with a terminal that shows colors and UTF-8."""
    hidden = ("NO_COLOR", "COLUMNS", "LINES", "LC_ALL", "LC_CTYPE", "PYTHONUNBUFFERED")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith(("ANSIBLE_", "PYTEST"))
    }
    return {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", **more}
