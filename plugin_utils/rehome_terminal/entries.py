"""The lines that stay: what a stage did, errors, warnings, messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.text import Text

HEADING_WIDTH: Final = 15
"""So wide is a heading made, that the texts behind several stand below each other."""

LABEL_WIDTH: Final = 9
"""Of the word that a line of a card begins with (see the engine's report/lines.py), and the space after it."""
_COMMANDS: Final = "next:"
"""The label of what is pasted into a shell."""
_LABELLED: Final = re.compile(rf"(?=.{{{LABEL_WIDTH - 1}}} \S)([a-z]{{3,8}}|{_COMMANDS}) +")

_TIME: Final = re.compile(r"in [\d.,]+ s$")
_BOUND: Final = "\u00a0"
"""A space that ends no line."""


_COLORED: Final = re.compile(r"^(?:\x1b\[[\d;]*m\x1b\[0m)*(?:\x1b\[[\d;]*m)?(.*?)(?:\x1b\[0m)?$")
"""A line of a difference as Ansible colors it, a break of the line before at its begin."""
_DIFF_STYLES: Final = {"+": "green", "-": "red", "@": "cyan"}


def title_entry(at: str, title: str) -> Text:
    """Return what runs, as the first line of a run or of a play."""
    entry = Text(f"{at}  ", style="dim")
    return entry.append(title, style="bold not dim")


def text_entry(text: str) -> Text:
    """Return a text as it is."""
    return Text(text)


def message_entry(message: str, width: int | None) -> Text:
    """Return a message. Where lines of it have labels, what does not fit continues below its begin.

    What is pasted, and lines without a label, stay as they are.

    width: of the terminal; None: no line is broken
    """
    lines: list[str] = []
    label = ""
    for line in message.split("\n"):
        if found := _LABELLED.match(line):
            label = found[1]
        elif line[:LABEL_WIDTH].strip():
            label = ""
        is_text = bool(label) and (label != _COMMANDS or line.endswith(":"))
        if width is None or not is_text or cell_len(line) < width:
            lines.append(line)
        else:
            parts = wrapped(line[LABEL_WIDTH:], max(width - LABEL_WIDTH - 1, 1))
            lines += [line[:LABEL_WIDTH] + parts[0], *(" " * LABEL_WIDTH + part for part in parts[1:])]
    return Text("\n".join(lines))


def diff_entry(text: str) -> Text:
    """Return a difference that Ansible has made, in colors that this terminal can show."""
    lines = [_COLORED.sub(r"\1", line) for line in text.rstrip("\n").split("\n")]
    return Text("\n").join(Text(line, style=_DIFF_STYLES.get(line[:1], "")) for line in lines if line)


def stage_entry(at: str, heading: str, did: str, width: int | None) -> Text:
    """Return what a stage did.

    at: the clock at its begin
    width: of the terminal; what does not fit continues below its begin. None: one line
    """
    entry = Text(f"{at}  ", style="dim")
    entry.append(heading, style="bold not dim")
    if not did:
        return entry
    column = cell_len(at) + 2 + max(HEADING_WIDTH, cell_len(heading)) + 1
    if width is None or column + cell_len(did) < width:
        entry.append(" " * (column - cell_len(entry.plain)))
        entry.append(did, style="not dim")
        return entry
    if width < 2 * column:
        entry.append("\n")
        column = 2
    lines = wrapped(did, max(width - column - 1, 1))
    first = " " * (column if column == 2 else column - cell_len(entry.plain))
    entry.append(first + f"\n{' ' * column}".join(lines), style="not dim")
    return entry


def wrapped(text: str, width: int) -> list[str]:
    """Return the text as lines of at most this many columns, unless a single word is longer."""
    lines = [""]
    for word in _TIME.sub(lambda time: time[0].replace(" ", _BOUND), text).split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [line.replace(_BOUND, " ") for line in lines]


def error_entry(message: str, more: Sequence[str] = ()) -> Text:
    """Return an error in its own words.

    more: lines that belong to it
    """
    begins_itself = message.startswith(("interrupted", "error"))
    entry = Text() if begins_itself else Text("error: ", style="bold red")
    entry.append("\n".join([message.rstrip("\n"), *more]), style="not bold default" if not begins_itself else "")
    return entry


def warning_entry(message: str) -> Text:
    """Return a warning."""
    entry = Text("warning: ", style="bold magenta")
    entry.append(message.rstrip("\n"), style="not bold default")
    return entry


def task_entry(word: str, name: str, about: str = "") -> Text:
    """Return a task that is no stage: `changed  Flush the cache`.

    about: the item of a loop, or the host
    """
    entry = Text(f"{word}  ", style="bold" if word == "changed" else "dim")
    entry.append(f"{name}{f' ({about})' if about else ''}", style="not bold not dim")
    return entry


def recap_entry(host: str, counts: Mapping[str, int]) -> Text:
    """Return how many tasks of a host did what; `changed=0` is what a finished run says when it is repeated."""
    shown = [f"{name}={count}" for name, count in counts.items() if count or name in ("changed", "failed")]
    return Text(f"recap  {host} : {' '.join(shown)}", style="dim")


def output_of(result: Mapping[str, Any], streams: Iterable[str]) -> list[str]:
    """Return what a failed program printed, as lines to put below the error."""
    lines: list[str] = []
    for name in streams:
        text = result.get(name)
        if isinstance(text, str) and text.strip():
            lines += [f"{name}:", *(f"  {line}" for line in text.strip("\n").splitlines())]
    return lines


def summary_of(lines: Iterable[object]) -> list[str]:
    """Return the summary of a run that failed after it had written something, as lines to put below the error."""
    return ["so far:", *(f"  {line}" for line in lines)]
