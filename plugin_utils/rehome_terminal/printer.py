"""Print what stays through Ansible's Display, which also writes its log, and decide what this terminal can show."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.text import Text

from .signs import readable
from .watch import Screen


class Display(Protocol):
    """As much of Ansible's Display as is used here."""

    def display(self, msg: str, *, stderr: bool = False, screen_only: bool = False, log_only: bool = False) -> None:
        """Print a text and its newline."""


class Printer:
    """Prints entries, in colors where there are any.

    display: Ansible's
    color: whether Ansible prints colors
    """

    def __init__(self, display: Display, *, color: bool) -> None:
        self._display, self._color = display, color
        self._ascii_only = is_ascii_only(os.environ, sys.stdout.encoding)
        animated = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
        self.screen = Screen(ascii_only=self._ascii_only, color=color) if animated else None
        self._painter = Console(
            force_terminal=True, color_system="standard", width=1_000_000, highlight=False, markup=False, emoji=False
        )

    @property
    def width(self) -> int | None:
        """The present width of the terminal; None: there is none, and lines are not broken."""
        return self.screen.size.width if self.screen else None

    def entry(self, text: Text, *, stderr: bool = False) -> None:
        """Print an entry."""
        plain = readable(text.plain, ascii_only=self._ascii_only)
        if not self._color or plain != text.plain:  # styles are by position
            self._display.display(plain, stderr=stderr)
            return
        with self._painter.capture() as painted:
            self._painter.print(text, soft_wrap=True, end="")
        self._display.display(painted.get(), stderr=stderr, screen_only=True)
        self._display.display(plain, log_only=True)

    def say(self, line: str) -> None:
        """Print a line without style."""
        self._display.display(readable(line, ascii_only=self._ascii_only))


def is_ascii_only(environment: Mapping[str, str], encoding: str | None) -> bool:
    """Return whether a terminal shows ASCII only.

    Python and Ansible insist on UTF-8 where the locale is C; the terminal is what the operator has set.
    """
    if "utf" not in (encoding or "").lower():
        return True
    # Python itself sets LC_CTYPE to C.UTF-8 where LANG is C
    names = ("LC_ALL", "LANG") if environment.get("LC_CTYPE") == "C.UTF-8" else ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "UTF-8")
    return "utf" not in locale.lower()
