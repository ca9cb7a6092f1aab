"""Ask which of the objects under the source's prefix move."""

from __future__ import annotations

from rehome.codes import Code
from rehome.errors import Finding

from . import globs
from .answers import Answers, Choice
from .bucket_listing import Measured

_OTHER = "\0other"


def ask_globs(answers: Answers, measured: Measured, before: list[str]) -> list[str]:
    """Return the globs to include.

    measured: what is under the prefix, as far as it was listed
    before: those of the file as it is, for a proposal
    """
    given = answers.take("include")
    if given is not None:
        chosen = list(given)
    elif not answers.asks:
        chosen = before or ["*"]
    else:
        chosen = _asked(answers, measured, before)
    while not globs.count(measured.suffixes, chosen) and not measured.more:
        answers.explain([_nothing(measured, chosen)])
        chosen = _typed(answers, measured, globs.join(chosen))
    return chosen


def _asked(answers: Answers, measured: Measured, before: list[str]) -> list[str]:
    of = f"{measured.objects:,}{'+' if measured.more else ''}"
    proposals = globs.propose(measured.suffixes)
    choices = [
        Choice(one.glob, f"{one.glob}  ({one.selected:,} of {of}{', all' if one.glob == '*' else ''})")
        for one in proposals
    ]
    choices.append(Choice(_OTHER, "others, which I type"))
    chosen = answers.choose("globs", "Which of them move", choices, before[0] if len(before) == 1 else None)
    return _typed(answers, measured, globs.join(before)) if chosen == _OTHER else [chosen]


def _typed(answers: Answers, measured: Measured, default: str) -> list[str]:
    while True:
        text = answers.text(
            "globs",
            "Globs on the key after the prefix, with spaces between",
            default or "*",
            live=lambda typed: matching(measured, typed),
        )
        try:
            return globs.split(text)
        except ValueError:
            answers.explain(
                [Finding("rehome_include", text, "has a quote that does not end", "End it", Code.UNUSABLE_VALUE)]
            )


def matching(measured: Measured, text: str) -> str:
    """Return in words how many of the keys that were listed the globs of a line select."""
    try:
        patterns = globs.split(text)
    except ValueError:
        return "a quote does not end yet"
    example = next((suffix for suffix in measured.suffixes if globs.count([suffix], patterns)), None)
    seen = f"{measured.objects:,}{' listed (there are more)' if measured.more else ''}"
    shown = f", such as {example}" if example else ""
    return f"{globs.count(measured.suffixes, patterns):,} of {seen} match{shown}"


def _nothing(measured: Measured, chosen: list[str]) -> Finding:
    examples = ", ".join(measured.suffixes[:3])
    return Finding(
        "rehome_include",
        globs.join(chosen),
        f"selects none of the {measured.objects:,} objects under {measured.prefix or 'the bucket'}",
        f"Write globs on the key after the prefix, which is such as {examples}",
        Code.NOTHING_SELECTED,
    )
