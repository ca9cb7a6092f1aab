"""Ask at a terminal: by questionary, or by plain lines where the cursor cannot be moved or letters are few."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import questionary
from prompt_toolkit.application import get_app

from .answers import Choice, Prompter

WIDEST = 100


def prompter(environ: Mapping[str, str], *, plain: bool = False) -> Prompter:
    """Return what asks at this terminal. plain: whatever it can do"""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    moves = environ.get("TERM", "") not in ("", "dumb", "unknown") and sys.stdout.isatty() and encoding == "utf8"
    return PlainPrompter() if plain or not moves else QuestionaryPrompter()


def wrapped(text: str) -> str:
    """Return a text in lines that the terminal shows whole, further lines under the first one's words."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        broken = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines += broken or [""]
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """Return a text in at most `width` characters, without its middle if it is longer."""
    if len(text) <= width:
        return text
    head = max(1, (width - 1) * 2 // 3)
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def printable(text: str) -> str:
    """Return a text without characters that would move the cursor or change colours."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _room(question: str = "") -> int:
    """Return how long a choice may be, that is repeated after its question once it is taken."""
    return max(20, min(shutil.get_terminal_size().columns, WIDEST) - 6 - len(question))


class QuestionaryPrompter:
    """Asks by questionary: arrows, search, and answers that are checked while they are typed."""

    def __init__(self) -> None:
        # colours of the terminal's own, so that light and dark ones show them; NO_COLOR is prompt_toolkit's to honour
        self._style = questionary.Style([("qmark", "bold"), ("question", "bold"), ("answer", ""), ("pointer", "bold")])

    def say(self, text: str) -> None:
        """Show a text."""
        sys.stdout.write(f"{wrapped(text)}\n")
        sys.stdout.flush()

    def show(self, text: str) -> None:
        """Show a text in its own lines."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def text(self, question: str, default: str, live: Callable[[str], str] | None) -> str:
        """Ask for a line, with what `live` says about it below."""
        more: dict[str, Any] = {}
        if live is not None:
            more["bottom_toolbar"] = lambda: live(get_app().current_buffer.text)
        return str(questionary.text(question, default=default, style=self._style, **more).unsafe_ask())

    def secret(self, question: str) -> str:
        """Ask for a line that is shown as stars."""
        return str(questionary.password(question, style=self._style).unsafe_ask())

    def choose(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """Ask for one of the choices."""
        shown = self._shown(question, choices)
        chosen = next((one for one in shown if one.value == default), shown[0])
        asked = questionary.select(
            question, shown, default=chosen, style=self._style, instruction="(arrows, Enter)", use_jk_keys=False
        )
        return str(asked.unsafe_ask())

    def choose_some(self, question: str, choices: Sequence[Choice], chosen: Sequence[str]) -> list[str]:
        """Ask for any of the choices."""
        shown = self._shown(question, choices, chosen)
        asked = questionary.checkbox(
            question, shown, style=self._style, instruction="(space ticks, Enter ends)", use_jk_keys=False
        )
        return [str(value) for value in asked.unsafe_ask()]

    def confirm(self, question: str, default: bool) -> bool:
        """Ask whether."""
        return bool(questionary.confirm(question, default=default, style=self._style).unsafe_ask())

    def _shown(self, question: str, choices: Sequence[Choice], chosen: Sequence[str] = ()) -> list[questionary.Choice]:
        return [
            questionary.Choice(
                shortened(printable(choice.title), _room(question)), choice.value, checked=choice.value in chosen
            )
            for choice in choices
        ]


class PlainPrompter:
    """Asks by lines, for terminals whose cursor stays where it is, for screen readers, and for a log that is kept."""

    def say(self, text: str) -> None:
        """Show a text, in letters that the terminal has."""
        self.show(wrapped(text))

    def show(self, text: str) -> None:
        """Show a text in its own lines."""
        sys.stdout.write(f"{_shown(text)}\n")
        sys.stdout.flush()

    def text(self, question: str, default: str, live: Callable[[str], str] | None) -> str:
        """Ask for a line; an empty one is the default, and a dash is nothing."""
        while True:
            offered = f" [{default}; - for none]" if default else ""
            answer = self._line(f"{question}{offered}: ")
            answer = default if not answer else "" if default and answer == "-" else answer
            if live is None:
                return answer
            self.say(f"  {live(answer)}")
            if self.confirm("Is that right?", True):
                return answer
            default = answer

    def secret(self, question: str) -> str:
        """Ask for a line without showing it."""
        return getpass.getpass(f"{question}: ")

    def choose(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """Ask for the number of a choice."""
        values = [choice.value for choice in choices]
        number = values.index(default) + 1 if default in values else 1
        self._list(question, choices)
        while True:
            answer = self._line(f"Number [{number}]: ") or str(number)
            if answer.isdigit() and 1 <= int(answer) <= len(values):
                return values[int(answer) - 1]
            self.say(f"✗ Write a number from 1 to {len(values)}.")

    def choose_some(self, question: str, choices: Sequence[Choice], chosen: Sequence[str]) -> list[str]:
        """Ask for the numbers of some choices."""
        values = [choice.value for choice in choices]
        default = " ".join(str(number) for number, value in enumerate(values, 1) if value in chosen)
        self._list(question, choices)
        while True:
            answer = self._line(f"Numbers, with spaces between [{default or 'none'}]: ") or default
            words = answer.replace(",", " ").split()
            if all(word.isdigit() and 1 <= int(word) <= len(values) for word in words):
                return [values[int(word) - 1] for word in dict.fromkeys(words)]
            self.say(f"✗ Write numbers from 1 to {len(values)}.")

    def confirm(self, question: str, default: bool) -> bool:
        """Ask for yes or no."""
        while True:
            answer = self._line(f"{question} [{'Y/n' if default else 'y/N'}]: ").lower()
            if answer in ("", "y", "yes", "n", "no"):
                return default if not answer else answer.startswith("y")
            self.say("✗ Write y or n.")

    def _list(self, question: str, choices: Sequence[Choice]) -> None:
        self.say(question)
        for number, choice in enumerate(choices, 1):
            self.say(f"  {number}. {shortened(printable(choice.title), _room())}")

    def _line(self, question: str) -> str:
        return input(_shown(question)).strip()


def _shown(text: str) -> str:
    """Return a text in letters that the terminal has."""
    encoding = sys.stdout.encoding or "ascii"
    if encoding.lower().startswith("utf"):
        return text
    for letter, plain in (("→", "->"), ("✗", "!"), ("✓", "ok:"), ("…", "..."), ("·", "-")):
        text = text.replace(letter, plain)
    return text.encode(encoding, "replace").decode(encoding)


def has_terminal() -> bool:
    """Return whether somebody can be asked."""
    try:
        return os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
