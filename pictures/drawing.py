"""Draw the lines of a terminal as SVG, without a font or anything else from elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import groupby

from pyte.screens import Char
from rich.color import ColorParseError
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

from .screen import COLUMNS, Line

_FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def as_svg(lines: Sequence[Line], title: str, name: str) -> str:
    """Return the picture of a terminal.

    title: in the window's bar
    name: makes the ids of the picture its own, the same each time
    """
    console = Console(file=io.StringIO(), record=True, width=COLUMNS, color_system="truecolor", force_terminal=True)
    for line in lines:
        console.print(as_text(line), no_wrap=True, overflow="crop", soft_wrap=True)
    drawn = console.export_svg(title=title, theme=MONOKAI, unique_id=name)
    return _FONT_FACES.sub("", drawn).replace("Fira Code, monospace", _FONTS).replace("Fira Code", "monospace")


def as_text(line: Line) -> Text:
    """Return a line as rich draws it."""
    text = Text()
    for style, characters in groupby(line, key=style_of):
        text.append("".join(character.data for character in characters), style)
    text.rstrip()
    return text


def style_of(character: Char) -> Style:
    """Return the style of a character."""
    return Style(
        color=_colour(character.fg),
        bgcolor=_colour(character.bg),
        bold=character.bold,
        italic=character.italics,
        underline=character.underscore,
        reverse=character.reverse,
    )


def _colour(name: str) -> str | None:
    """Return pyte's name of a colour as rich has it; None for the terminal's own."""
    if name == "default":
        return None
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    # pyte calls yellow brown, as terminals once did
    found = name.replace("bright", "bright_").replace("bfight", "bright_").replace("brown", "yellow")
    try:
        Style(color=found)
    except ColorParseError:
        return None
    return found
