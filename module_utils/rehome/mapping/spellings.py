"""Values that name a key of the map in a spelling that no form has: nobody may take them for rows of something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from unicodedata import normalize
from urllib.parse import unquote

from .key_shapes import MAX_KEY_BYTES
from .keymap import KeyMap

WITHIN_TEXT = "within a longer text or URL"
WITHOUT_PREFIX = "without the prefix"

_ENDS = re.compile(r"[?#\s\"'<>\\,;)\]}|&]")
"""What may end a key inside a longer text: a URL's query, a quote in JSON or HTML, a list's separator."""

_IN_WORD = re.compile(r"[\w-]")
"""A prefix that follows one of these is the end of another name: `image/` in `my-image/`."""

_EMPTY_SEGMENTS = re.compile(r"/(?:\.?/)+")

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def suffix_starts(text: str, prefix: str) -> Iterator[int]:
    """Yield where a key's suffix may begin: after each occurrence of the prefix, or of a slash if there is none."""
    if not prefix:
        yield 0
    step = prefix or "/"
    at = text.find(step)
    while at >= 0:
        yield at + len(step)
        at = text.find(step, at + 1)


def suffixes_from(text: str, start: int) -> Iterator[str]:
    """Yield what may be the suffix that begins at `start`: up to each character that may end a key, and all of it."""
    suffix = text[start : start + MAX_KEY_BYTES]
    for end in (*(match.start() for match in _ENDS.finditer(suffix)), len(suffix)):
        yield suffix[:end]


def spelling_detector(keymap: KeyMap) -> Callable[[str], str | None]:
    """Return a function that tells how a value spells a key of the map, in words, or None if it names none.

    It is for values that are under the map in no form that settings can name (`forms.form_detector`).
    """
    if not keymap.source_prefix:
        # without a prefix, any text with a slash may be a key
        return lambda _: None
    nfc, folded = _respelt(keymap, lambda text: normalize("NFC", text)), _respelt(keymap, str.casefold)
    spellings: tuple[tuple[str, Callable[[str], str], KeyMap], ...] = (
        (WITHIN_TEXT, str, keymap),
        ("percent-encoded", unquote, keymap),
        ("percent-encoded twice", unquote, keymap),
        ("with backslashes", lambda text: text.replace("\\/", "/").replace("\\", "/"), keymap),
        ("with empty segments", lambda text: _EMPTY_SEGMENTS.sub("/", text), keymap),
        ("in another Unicode form", lambda text: normalize("NFC", text), nfc),
        ("in upper or lower case", str.casefold, folded),
    )
    hint = plain_part(normalize("NFC", folded.source_prefix))
    narrow = "*" not in keymap.include or keymap.only is not None

    def detect(value: str) -> str | None:
        text = value.casefold()
        if hint not in (unquote(unquote(text)) if "%" in text else text):
            return WITHOUT_PREFIX if narrow and "/" not in value and keymap.covers(value) else None
        text = value
        plain = _PLAIN.fullmatch(value) and not _EMPTY_SEGMENTS.search(value)
        # most values have nothing to respell but their case
        for words, respell, spelt in (spellings[0], spellings[-1]) if plain else spellings:
            text = respell(text)
            if _names_key(text, spelt):
                return words
        return None

    return detect


def plain_part(prefix: str) -> str:
    """Return a part of `prefix` that needs no encoding: values without it need no closer look."""
    plain = re.findall(r"[A-Za-z0-9_.~-]+", prefix)
    return max(plain, key=len, default="")


def _respelt(keymap: KeyMap, respell: Callable[[str], str]) -> KeyMap:
    return replace(
        keymap,
        source_prefix=respell(keymap.source_prefix),
        target_prefix=respell(keymap.target_prefix),
        include=tuple(map(respell, keymap.include)),
        exclude=tuple(map(respell, keymap.exclude)),
        only=None if keymap.only is None else frozenset(map(respell, keymap.only)),
    )


def _names_key(text: str, keymap: KeyMap) -> bool:
    old, new = keymap.source_prefix, keymap.target_prefix
    for start in suffix_starts(text, old):
        before = start - len(old)
        if before and _IN_WORD.match(text[before - 1]):
            continue
        # the new prefix may end with the old one: then this is a key that has moved
        if new.endswith(old) and text.endswith(new, 0, start):
            continue
        if any(suffix and keymap.covers(suffix) for suffix in suffixes_from(text, start)):
            return True
    return False
