"""Propose the globs that select the objects under a prefix, from the keys that were seen there. Pure."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rehome.mapping.keymap import KeyMap

MOST_PROPOSALS = 6
_LEAST_SHARE = 0.02
"""Globs that select a smaller share of the keys are no proposal."""

_VARYING = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4,}){1,4}|[0-9a-fA-F]{8,}|\d+")
"""What differs from one object to the next: UUIDs, digests, numbers."""

_SPECIAL = re.compile(r"[*?\[]")


class Proposal(NamedTuple):
    """A glob, and how many of the keys that were seen it selects."""

    glob: str
    selected: int


def propose(suffixes: Sequence[str]) -> list[Proposal]:
    """Return globs that select many of `suffixes`, those that select most first, and `*` last.

    Of two that select about as many, the one that says more comes first.

    suffixes: keys without the prefix
    """
    shapes = Counter(shape for suffix in suffixes if (shape := _shape(suffix)) is not None)
    endings = Counter(f"*{ending}" for suffix in suffixes if (ending := _ending(suffix)))
    proposals: dict[str, int] = {}
    for glob, _ in [*shapes.most_common(MOST_PROPOSALS), *endings.most_common(MOST_PROPOSALS)]:
        if glob != "*" and glob not in proposals:
            proposals[glob] = count(suffixes, [glob])
    least = len(suffixes) * _LEAST_SHARE
    # of two that select about as many, the one that says more
    ranked = sorted(proposals.items(), key=lambda one: (-round(10 * one[1] / len(suffixes)), -len(one[0])))
    kept = [Proposal(*one) for one in ranked if one[1] >= least][: MOST_PROPOSALS - 1]
    return [*kept, Proposal("*", len(suffixes))]


def count(suffixes: Iterable[str], globs: Sequence[str]) -> int:
    """Return how many of `suffixes` one of `globs` selects."""
    keymap = KeyMap("", "", tuple(globs))
    return sum(map(keymap.covers, suffixes))


def split(text: str) -> list[str]:
    """Return the globs of a line: words, in quotes if they have spaces. Raises ValueError for an open quote."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.commenters = ""
    words.escape = ""
    return list(words)


def join(globs: Sequence[str]) -> str:
    """Return globs as `split` reads them."""
    return " ".join(f'"{glob}"' if not glob or re.search(r"[\s']", glob) else glob for glob in globs)


def _shape(suffix: str) -> str | None:
    """Return the suffix with `*` for what differs from one object to the next; None if no glob would say it."""
    if _SPECIAL.search(suffix):
        return None
    return re.sub(r"\*+", "*", _VARYING.sub("*", suffix))


def _ending(suffix: str) -> str | None:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", suffix)
    return found[0] if found else None
