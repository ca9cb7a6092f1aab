"""report.md: the facts of a run as Markdown, in which no key, value or message can be anything but text."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2

from .compiled import compiled_templates
from .estimate import between
from .facts import Report
from .lines import size
from .summary import UNFINISHED
from .words import CLASSES, EVIDENCE, LEFT, STATUSES, VERB_TITLES

MOST_BYTES: Final = 200_000
LONGEST: Final = 160
MOST_LINES: Final = 100
"""Rows of one table."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that show nothing, break a line, or change the direction of text."""

_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9\u00c0-\u024f,.;:()/'\"%=\u2026\u2013\u2192+-]*")
_LIST_MARK: Final = re.compile(r"(?:\d+[.)]|[-+=]+)")
_PARTS: Final = re.compile(r"([(\"']*)(.*?[^,.;:)\"'])([,.;:)\"']*)", re.DOTALL)
"""What a word in a sentence stands between: brackets, quotes and full stops."""
_STATEMENT: Final = re.compile(
    r"\b(?:(?:ALTER|CREATE|DROP|GRANT|REVOKE) [A-Z]{3,}\b|SELECT \S+ FROM\b).*?(?=; |\. |$)", re.DOTALL
)
"""SQL within a message, up to the end of the sentence: to be pasted, it has to stay whole."""
_CODE_ALREADY: Final = re.compile(r"`[^`]+`")


def code(text: object, longest: int = LONGEST) -> str:
    r"""Return a text as Markdown code, in which it is shown as it is.

    What cannot be seen, or would end the cell of a table, is written as in Python: `\x0a`, `\u202e`. So is the
    backslash itself, so that nothing is ambiguous. Code ends at as many backticks as
    it began with, which are more than the text has.
    """
    whole = str(text)
    if len(whole) > longest:
        tail = longest // 4
        whole = f"{whole[: longest - tail]}…{whole[-tail:]}"
    escaped = "".join(map(visible, whole))
    # code would lose a space at its ends, and a browser shows several as one
    escaped = re.sub(r"^ | $|(?<= ) ", r"\\x20", escaped)
    if "`" not in escaped:
        return f"`{escaped}`" if escaped else "(empty)"
    fence = "`" * (max(map(len, re.findall("`+", escaped))) + 1)
    return f"{fence} {escaped} {fence}"


def visible(character: str) -> str:
    """Return a character as Markdown can show it, or as Python writes it if it is hidden or means something there."""
    if character not in "\\|" and (character == " " or not is_hidden(character)):
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def is_hidden(character: str) -> bool:
    """Return whether a character shows nothing, breaks a line, or changes the direction of text."""
    category = unicodedata.category(character)
    return category in _HIDDEN or (category == "Zs" and character != " ")


def words(text: object, longest: int = 1_000) -> str:
    """Return a sentence as Markdown text. Each word of it that could mean anything to Markdown becomes code.

    A statement of SQL is code as a whole.
    """
    whole = str(text).strip(" \t\r\n")  # after a space, too, a dash would begin a list
    if len(whole) > longest:
        whole = f"{whole[:longest]} …"
    parts, end = [], 0
    for statement in _STATEMENT.finditer(whole):
        parts += [_sentence(whole[end : statement.start()]), code(statement[0], longest)]
        end = statement.end()
    return "".join([*parts, _sentence(whole[end:])])


def _sentence(text: str) -> str:
    return " ".join(_word(word, first=not place) for place, word in enumerate(re.split(r"[ \t\r\n]+", text)))


def _word(word: str, first: bool) -> str:
    marks = first and _LIST_MARK.fullmatch(word)
    if _PLAIN_WORD.fullmatch(word) and "://" not in word and not word.lower().startswith("www.") and not marks:
        return word
    parts = _PARTS.fullmatch(word)
    before, core, after = parts.groups() if parts else ("", word, "")
    if _CODE_ALREADY.fullmatch(core):
        core = core[1:-1]
    if "'" in core or '"' in core:  # quotes belong together
        before, core, after = "", word, ""
    return f"{before}{code(core, 1_000)}{after}"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown: each value goes through `code` or `words`
        undefined=jinja2.StrictUndefined,
        bytecode_cache=compiled_templates(),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(code=code, words=words, when=when, size=size, count="{:,}".format, line=one_line)
    environment.globals.update(between=between, most=MOST_LINES, unfinished=UNFINISHED)
    environment.globals.update(classes=CLASSES, evidence=EVIDENCE, left=LEFT, statuses=STATUSES, titles=VERB_TITLES)
    return environment.get_template("report.md.j2")


def when(moment: str) -> str:
    """Return a time in ISO 8601 and UTC for people, to the second."""
    return f"{moment[:19].replace('T', ' ')} UTC"


def one_line(command: str) -> str:
    """Return a command for a block of code: in one line, and without what cannot be seen."""
    return "".join(character if not is_hidden(character) else visible(character) for character in command)


def render(report: Report) -> str:
    """Return the report as Markdown, in less than `MOST_BYTES`: if there is more to show, with fewer samples."""
    samples = max((len(one["shown"]) for one in (*report.get("samples", []), *report["list_samples"])), default=0)
    while True:
        text = _rendered(report, samples)
        if len(text.encode()) < MOST_BYTES or not samples:
            return text
        samples //= 2


def _rendered(report: Report, samples: int) -> str:
    facts: dict[str, Any] = dict(report)
    text = _template().render(r=facts, samples=samples)
    return re.sub(r"\n{3,}", "\n\n", text)
