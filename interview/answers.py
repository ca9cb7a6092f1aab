"""An answer is an option of the command line, or asked for, or the proposal where nobody can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

from rehome.codes import Code
from rehome.errors import Finding, RefusedError


class Choice(NamedTuple):
    """One of several answers. title: how it is shown"""

    value: str
    title: str


class Prompter(Protocol):
    """Asks at a terminal. Ctrl-C raises KeyboardInterrupt, the end of the input EOFError."""

    def say(self, text: str) -> None:
        """Show a text."""

    def show(self, text: str) -> None:
        """Show a text in its own lines, such as a file."""

    def text(self, question: str, default: str, live: Callable[[str], str] | None) -> str:
        """Ask for a line. live: says something about the text while it is typed"""

    def secret(self, question: str) -> str:
        """Ask for a line that is not shown."""

    def choose(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """Ask for one of the choices, and return its value."""

    def choose_some(self, question: str, choices: Sequence[Choice], chosen: Sequence[str]) -> list[str]:
        """Ask for any of the choices, and return their values. chosen: those that are proposed"""

    def confirm(self, question: str, default: bool) -> bool:
        """Ask whether."""


class Answers:
    """Where the answers come from.

    given: the options of the command line by their names; each is used once, so that a wrong one is asked for again
    prompter: None if nobody can be asked
    """

    def __init__(self, given: Mapping[str, Any], prompter: Prompter | None, say: Callable[[str], None]) -> None:
        self._given = {name: value for name, value in given.items() if value is not None}
        self._prompter = prompter
        self._say = say

    @property
    def asks(self) -> bool:
        """Whether somebody can be asked."""
        return self._prompter is not None

    def say(self, text: str) -> None:
        """Show a text."""
        (self._prompter.say if self._prompter else self._say)(text)

    def show(self, text: str) -> None:
        """Show a text in its own lines, such as a file."""
        (self._prompter.show if self._prompter else self._say)(text)

    def head(self, text: str) -> None:
        """Show what the next questions are about."""
        if self._prompter is not None:
            self._prompter.say(f"\n{text}")

    def explain(self, findings: Sequence[Finding]) -> None:
        """Say what is wrong with an answer, before it is asked again; raise RefusedError if nobody can be asked."""
        if self._prompter is None:
            raise RefusedError(findings)
        for finding in findings:
            self._prompter.say(f"✗ {finding}")

    def has(self, name: str) -> bool:
        """Return whether an option is given, and was not used yet."""
        return name in self._given

    def take(self, name: str) -> Any:
        """Return the value of an option; None if it is not given, or was used."""
        return self._given.pop(name, None)

    def text(
        self,
        name: str,
        question: str,
        default: str | None = None,
        *,
        required: bool = True,
        live: Callable[[str], str] | None = None,
    ) -> str:
        """Return a line. default: the proposal; None if there is none"""
        given = self.take(name)
        if given is not None:
            return str(given)
        if self._prompter is None:
            return self._proposal(name, default if required else (default or ""))
        while True:
            answer = self._prompter.text(question, default or "", live).strip()
            if answer or not required:
                return answer
            self._prompter.say("✗ An answer is needed here (Ctrl-C ends without writing anything).")

    def secret(self, question: str) -> str:
        """Return a secret that is typed; empty if nobody can be asked: a secret is no option."""
        return self._prompter.secret(question) if self._prompter else ""

    def choose(self, name: str, question: str, choices: Sequence[Choice], default: str | None) -> str:
        """Return the value of a choice."""
        given = self.take(name)
        if given is not None:
            return str(given)
        if self._prompter is None:
            return self._proposal(name, default)
        return self._prompter.choose(question, choices, default or choices[0].value)

    def choose_some(self, question: str, choices: Sequence[Choice], chosen: Sequence[str]) -> list[str]:
        """Return the values of some choices; the proposed ones if nobody can be asked."""
        return self._prompter.choose_some(question, choices, chosen) if self._prompter else list(chosen)

    def confirm(self, question: str, default: bool) -> bool:
        """Return whether; `default` if nobody can be asked."""
        return self._prompter.confirm(question, default) if self._prompter else default

    def _proposal(self, name: str, default: str | None) -> str:
        return self._missing(name) if default is None else default

    def _missing(self, name: str) -> NoReturn:
        raise missing([name])


def missing(names: Sequence[str]) -> RefusedError:
    """Return the refusal of a call that lacks options, and can ask nobody."""
    options = ", ".join(option(name) for name in names)
    return RefusedError.of(
        "make init",
        None,
        f"nobody can be asked here, and these answers are missing: {options}",
        'Give them as options (ARGS="… --yes"), or run it at a terminal; `python -m interview --help` describes each',
        Code.UNANSWERED,
    )


def option(name: str) -> str:
    """Return an answer's option of the command line."""
    return f"--{name.replace('_', '-')}"
