"""`python -m interview` at a terminal: what is on its screen, and the keys that an operator presses."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).parents[2]
DOWN, SPACE, CTRL_C, ERASE_LINE = "\x1b[B", " ", "\x03", "\x05\x15"
"""ERASE_LINE goes to the end of the line and removes all before it, a proposal too."""

CHOICE, SOME = "(arrows, Enter)", "(space ticks, Enter ends)"
TIMEOUT_S = 25


def clean_environment(**exported: str) -> dict[str, str]:
    """Return an environment without AWS's and without a vault's password."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_", "DB_", "S3_"))
    }
    return {
        **kept,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        **exported,
    }


class Terminal:
    """A running interview. `log` is all that it wrote."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, columns: int = 80, cwd: Path = ROOT
    ) -> None:
        self.log = ""
        self._screen = pyte.HistoryScreen(columns, 50, history=5000)
        self._stream = pyte.Stream(self._screen)
        # cwd is the checkout: the package is found there
        self._process = pexpect.spawn(
            sys.executable,
            ["-m", "interview", *arguments],
            env=dict(environment),
            cwd=str(cwd),
            encoding="utf-8",
            dimensions=(50, columns),
            timeout=TIMEOUT_S,
        )
        self._process.delaybeforesend = 0.02
        self._process.logfile_read = self

    def write(self, text: str) -> None:
        """Take what the program wrote; pexpect calls it."""
        self.log += text
        self._stream.feed(text)
        if "\x1b[6n" in text:
            # a terminal tells where its cursor is
            self._process.send(f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R")

    def flush(self) -> None:
        """Do nothing: pexpect wants it."""

    def see(self, *texts: str) -> None:
        """Wait until the program has written these, one after the other."""
        for text in texts:
            self._process.expect_exact(text)

    def show(self, text: str) -> None:
        """Wait until the screen shows this; what is redrawn is not written as a whole."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            self._process.expect(pexpect.TIMEOUT, timeout=0.1)

    def answer(self, question: str, text: str = "", *, instead: bool = False) -> None:
        """Wait for a question, type a text and Enter. instead: of the proposal"""
        self.see(question)
        self._process.send((ERASE_LINE if instead else "") + text + "\r")

    def choose(self, question: str, down: int = 0) -> None:
        """Wait for a choice, go down so many lines, and take that one."""
        self.see(question, CHOICE)
        self._process.send(DOWN * down + "\r")

    def tick(self, question: str, keys: str = "") -> None:
        """Wait for a list to tick, press these keys, and end it."""
        self.see(question, SOME)
        self._process.send(keys + "\r")

    def press(self, keys: str) -> None:
        """Press keys."""
        self._process.send(keys)

    def end(self) -> int:
        """Wait for the end. Return the exit status."""
        self._process.expect(pexpect.EOF)
        self._process.close()
        return int(self._process.exitstatus if self._process.exitstatus is not None else -1)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.close(force=True)

    @property
    def lines(self) -> list[str]:
        """All lines that were shown, those that are scrolled away too, as a person sees them."""
        history = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return [line.rstrip() for line in [*history, *self._screen.display]]

    @property
    def text(self) -> str:
        """What was shown, as one line of words: lines are broken where the terminal ends."""
        return " ".join(" ".join(self.lines).split())
