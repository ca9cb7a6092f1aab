"""Tell in which form a value names an object of the source: one that settings can name, or inside a text."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from ..errors import RefusedError
from ..mapping.forms import BucketAddress, read_form
from ..mapping.key_shapes import MAX_KEY_BYTES
from ..mapping.keymap import KeyMap
from ..mapping.spellings import suffix_starts, suffixes_from
from ..mapping.value_map import Form, ValueMap

BARE = "without the prefix"
"""The value is the last part of a key that the globs select."""

MAX_VALUE = 2 * MAX_KEY_BYTES
"""Bytes of the longest value that can be one name of an object: a key in which each character is encoded is longer."""

MAX_ENDS = 8
"""Ends of one name in a text that are considered."""
MAX_SUFFIXES = 64
"""Names in one text that are considered."""

_IN_WORD = re.compile(r"[\w-]")
"""A prefix after one of these is the end of another name: `image/` in `my-image/`."""

MEDIA_TYPE = "the name of a media type"
"""The value, or what is in it, may be an object's name, and is most likely not: image/png."""

_SEVERAL = re.compile(r"[\x00-\x1f\"<>]")
"""What texts have, and hardly a name: quotes, tags, several lines."""

_NO_LITERAL = re.compile(r"[\x00-\x1f\"'<>{}|\\^`,;\s]")
"""What nothing has that is not under one of the forms with a name."""

_HEAD = re.compile(r"(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?[^\s\"'<>{}|\\^`,;()\[\]]*[/:=]\Z|\Z")
"""What may stand before a key: nothing, or a text without spaces that ends with a separator."""

_URL_HEAD = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")

_USER = re.compile(r"//[^/@]*@")

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("in serialised PHP", re.compile(r"\A(?:[aO]:\d+:|s:\d+:\")")),
    ("in HTML", re.compile(r"<[A-Za-z!/][^<]*(?:>|\Z)")),
    ("in Markdown", re.compile(r"\]\([^)]*|^\[[^\]]+\]:\s", re.MULTILINE)),
)


class Named(NamedTuple):
    """How a value names an object.

    form: as the settings of a reference write it; None if it is none
    words: the same for people
    suffixes: what may be the key's suffix; empty if the value is `BARE`
    """

    form: str | None
    words: str
    suffixes: tuple[str, ...]


class Recogniser:
    """Knows the source and its forms. It is pure."""

    def __init__(self, source: BucketAddress, prefix: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self.keymap = KeyMap(prefix, prefix, include, exclude)
        self._prefix = prefix
        self._narrow = "*" not in include
        self._forms: list[tuple[str, ValueMap]] = []
        for name in ("key", "/key", "s3://bucket/key", "virtual-host", "path-style"):
            try:
                form = read_form("", name, source, source)
            except RefusedError:
                continue
            self._forms.append((name, ValueMap(self.keymap, form)))

    def __call__(self, value: str, *, cut: bool = False) -> Named | None:
        """Return how a value names an object, or None.

        cut: the value is but a part, so that its form cannot be told
        """
        if not cut and len(value.encode(errors="replace")) <= MAX_VALUE:
            for found in self._whole(value):
                return found
        return self._inside(value) or self._bare(value, cut)

    def _whole(self, value: str) -> Iterator[Named]:
        if _SEVERAL.search(value) or len(list(self._starts(value))) > 1:
            return
        for name, values in self._forms:
            suffix = values.suffix_if_old(value)
            if suffix:
                yield self._named(name, suffix)
        if _NO_LITERAL.search(value):
            return
        for encoded in (False, True) if "%" in value else (False,):
            text = unquote(value) if encoded else value
            for start in suffix_starts(text, self._prefix):
                head = text[: start - len(self._prefix)]
                if (self._prefix or head) and _HEAD.match(head) and (found := self._literal(value, head, encoded)):
                    yield found

    def _literal(self, value: str, head: str, encoded: bool) -> Named | None:
        """Return the form {prefix: head} if it has this value."""
        if not value.startswith(head):
            return None
        is_url = bool(_URL_HEAD.match(head))
        form = Form(head, head, encoded=encoded or is_url, query=is_url)
        suffix = ValueMap(self.keymap, form).suffix_if_old(value)
        if not suffix:
            return None
        if _USER.search(head):
            return Named(None, "in URLs with a user's name or password", (suffix,))
        options = [f"prefix: {json.dumps(head, ensure_ascii=False)}"]
        options += [f"{option}: true" for option in ("encoded", "query") if getattr(form, option)]
        return self._named(f"{{{', '.join(options)}}}", suffix)

    def _named(self, form: str, suffix: str) -> Named:
        if looks_like_media_type(self._prefix, suffix):
            return Named(None, MEDIA_TYPE, (suffix,))
        # the form may be mistaken for a text that begins like it
        return Named(form, form, tuple(dict.fromkeys((suffix, *islice(self._suffixes(suffix, 0), MAX_ENDS)))))

    def _inside(self, value: str) -> Named | None:
        if not self._prefix:
            return None
        media: tuple[str, ...] = ()
        for words, text in _spellings(value):
            found: list[str] = []
            for start in self._starts(text):
                ends = list(islice(self._suffixes(text, start), MAX_ENDS))
                if ends and looks_like_media_type(self._prefix, ends[0]):
                    media += (ends[0],)
                else:
                    found += ends
            if found:
                return Named(None, words or _kind(value), tuple(dict.fromkeys(found))[:MAX_SUFFIXES])
        return Named(None, MEDIA_TYPE, tuple(dict.fromkeys(media))[:MAX_SUFFIXES]) if media else None

    def _starts(self, text: str) -> Iterator[int]:
        """Yield where the suffixes of keys may begin."""
        for start in suffix_starts(text, self._prefix) if self._prefix else ():
            before = start - len(self._prefix)
            if not (before and _IN_WORD.match(text[before - 1])):
                yield start

    def _suffixes(self, text: str, start: int) -> Iterator[str]:
        """Yield what may be the suffix that begins at `start`."""
        return (suffix for suffix in suffixes_from(text, start) if suffix and self.keymap.covers(suffix))

    def _bare(self, value: str, cut: bool) -> Named | None:
        if self._narrow and not cut and "/" not in value and len(value) <= MAX_KEY_BYTES and self.keymap.covers(value):
            return Named(None, BARE, ())
        return None


def looks_like_media_type(prefix: str, suffix: str) -> bool:
    """Return whether the key is also the name of a media type, such as image/png, which no object need be named by."""
    name = f"{prefix}{suffix}".lower()
    return name in _MEDIA_TYPES or name.startswith(_VENDOR_TYPES)


_MEDIA_TYPES = frozenset((*mimetypes.types_map.values(), *mimetypes.common_types.values(), "image/jpg", "image/pjpeg"))
_VENDOR_TYPES = tuple(
    f"{kind}/{tree}" for kind in ("application", "audio", "image", "text", "video") for tree in ("vnd.", "x-", "*")
)


def _spellings(value: str) -> Iterator[tuple[str, str]]:
    """Yield a text with what to call it if keys are found in it; an empty name leaves that to the text itself."""
    yield "", value
    if "\\/" in value:
        yield "in JSON, with its slashes escaped", value.replace("\\/", "/")
    if "\\" in value:
        yield "with backslashes for slashes", value.replace("\\\\", "/").replace("\\", "/")
    if "%" in value:
        once = unquote(value)
        yield "percent-encoded in a text", once
        if "%" in once:
            yield "percent-encoded twice", unquote(once)


def _kind(value: str) -> str:
    begin = value.lstrip()[:1]
    if begin in ("{", "["):
        try:
            json.loads(value)
        except ValueError:
            pass
        else:
            return "in JSON"
    return next((words for words, pattern in _KINDS if pattern.search(value)), "inside a text")
