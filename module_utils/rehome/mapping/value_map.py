"""The value map: how the value of a column changes when the object that it names moves."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat

from .keymap import KeyMap
from .percent import decode, encode, encoded_slash, spellings


@dataclass(frozen=True, slots=True)
class Form:
    """How a column's value wraps a key.

    before_source_key, before_target_key: the text before the key, in old values and in new ones
    encoded: the key is percent-encoded
    query: the key ends before the first `?` or `#`; the query string and the fragment are kept as they are
    """

    before_source_key: str = ""
    before_target_key: str = ""
    encoded: bool = False
    query: bool = False

    @property
    def reserved(self) -> str:
        """The characters that end a key."""
        return "?#" if self.query else ""

    @property
    def inverse(self) -> Form:
        """The form that values have in a rollback."""
        return replace(self, before_source_key=self.before_target_key, before_target_key=self.before_source_key)

    def key_end(self, value: str, begin: int) -> int:
        """Return where the key that begins at `begin` ends."""
        return min((end for mark in self.reserved if (end := value.find(mark, begin)) >= 0), default=len(value))


class _Head:
    """What values begin with: the text before the key, and the key's prefix in any spelling that the form allows.

    usual: the head in its usual spelling
    """

    def __init__(self, text: str, prefix: str, form: Form) -> None:
        self.usual = text + (encode(prefix) if form.encoded else prefix)
        self._length = len(self.usual)
        self._form = form
        self._spelt = re.compile(re.escape(text) + spellings(prefix, form.reserved)) if form.encoded else None

    def end(self, value: str) -> int | None:
        """Return where the head of a value ends, or None if the value has another head."""
        if value.startswith(self.usual):
            return self._length
        found = self._spelt.match(value) if self._spelt else None
        return found.end() if found else None

    def suffix(self, value: str) -> str | None:
        """Return the suffix of a value's key, or None if the value has another head or does not decode."""
        end = self.end(value)
        if end is None:
            return None
        suffix = value[end : self._form.key_end(value, end)] if self._form.query else value[end:]
        return decode(suffix) if self._form.encoded else suffix


@dataclass(frozen=True)
class ValueMap:
    """How a column's value changes: the key map, applied to the key within the value.

    A value consists of its head (the text before the key and the key's prefix), the key's suffix and, if the form has
    one, a query string. The new value is the other head and, byte for byte, what follows the head of the old one.
    """

    keymap: KeyMap
    form: Form = Form()
    _old: _Head = field(init=False, repr=False, compare=False)
    _new: _Head = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        form = self.form
        object.__setattr__(self, "_old", _Head(form.before_source_key, self.keymap.source_prefix, form))
        object.__setattr__(self, "_new", _Head(form.before_target_key, self.keymap.target_prefix, form))

    @property
    def source_head(self) -> str:
        """The head of old values, in its usual spelling."""
        return self._old.usual

    @property
    def target_head(self) -> str:
        """The head of new values, in its usual spelling."""
        return self._new.usual

    @property
    def moves(self) -> bool:
        """Whether values change. If they do not, every old value is a new one, too."""
        return self.source_head != self.target_head

    @property
    def growth(self) -> int:
        """By how many characters a new value is longer than its old one, at most. May be negative."""
        longest = self.target_head.replace("/", "%2F") if self.form.encoded else self.target_head
        return len(longest) - len(self.form.before_source_key + self.keymap.source_prefix)

    def to_target(self, value: str) -> str | None:
        """Return the new value of an old one, or None if the value is not under the map."""
        return None if self.suffix_if_old(value) is None else self.new_values([value])[0]

    def new_values(self, olds: Sequence[str]) -> list[str]:
        """Return the new values of values that are known to be old ones.

        The slashes of the new prefix are encoded if the old value encodes all slashes of its key.
        """
        if self.form.encoded:
            return [self._new_head(old) + old[self._old.end(old) :] for old in olds]
        head, skip = self.target_head, len(self.source_head)
        return [head + old[skip:] for old in olds]

    def _new_head(self, old: str) -> str:
        begin, text = len(self.form.before_source_key), len(self.form.before_target_key)
        slash = encoded_slash(old[begin : self.form.key_end(old, begin)])
        return self.target_head[:text] + self.target_head[text:].replace("/", slash or "/")

    def suffix_if_old(self, value: str) -> str | None:
        """Return the suffix of an old value's key, or None if the value is not an old one."""
        suffix = self._old.suffix(value)
        return suffix if suffix is not None and self.keymap.covers(suffix) else None

    def after_target_head(self, value: str) -> str:
        """Return what follows the head of new values, or the whole value if it has another head."""
        return value[self._new.end(value) or 0 :]

    def suffix_if_new(self, value: str) -> str | None:
        """Return the suffix of a new value's key, or None if the value is not a new one."""
        suffix = self._new.suffix(value)
        return suffix if suffix is not None and self.keymap.covers(suffix) else None

    def suffixes_if_old(self, values: Sequence[str | None]) -> Sequence[str | None]:
        """Return `suffix_if_old` of each value, at once if all have the head in its usual spelling; None of None."""
        return self._suffixes(self._old, self.suffix_if_old, values)

    def suffixes_if_new(self, values: Sequence[str | None]) -> Sequence[str | None]:
        """Return `suffix_if_new` of each value, as `suffixes_if_old`."""
        return self._suffixes(self._new, self.suffix_if_new, values)

    def _suffixes(
        self, head: _Head, suffix_if: Callable[[str], str | None], values: Sequence[str | None]
    ) -> Sequence[str | None]:
        texts = [value for value in values if value is not None]
        decodes = self.form.encoded or self.form.query
        if decodes or len(texts) < len(values) or not all(map(str.startswith, texts, repeat(head.usual))):
            return [None if value is None else suffix_if(value) for value in values]
        skip = len(head.usual)
        suffixes = [text[skip:] for text in texts]
        is_covered = self.keymap.covers_each(suffixes)
        if all(is_covered):
            return suffixes
        return [suffix if covers else None for suffix, covers in zip(suffixes, is_covered, strict=True)]

    @property
    def feeds_itself(self) -> bool:
        """Whether a new value may be under the map again. If in doubt, True."""
        if not self.moves:
            return False
        heads = self._comparable_heads()
        if heads is None:
            return True
        old, new = heads
        if not old.startswith(new) and not new.startswith(old):
            return False
        inner = old[len(new) :] or new[len(old) :]
        if not self.form.encoded and any(mark in inner for mark in self.form.reserved):
            return True
        return any(_may_begin_with(glob, inner) for glob in self.keymap.include)

    def _comparable_heads(self) -> tuple[str, str] | None:
        """Return the old and the new head, decoded from where they differ, or None if they cannot be compared."""
        if not self.form.encoded:
            return self.source_head, self.target_head
        old, new = self.form.before_source_key, self.form.before_target_key
        if not old.startswith(new) and not new.startswith(old):
            return old, new
        more = old[len(new) :] or new[len(old) :]
        decoded = None if any(mark in more for mark in self.form.reserved) else decode(more)
        if decoded is None:
            return None
        keymap = self.keymap
        if len(old) > len(new):
            return decoded + keymap.source_prefix, keymap.target_prefix
        return keymap.source_prefix, decoded + keymap.target_prefix


def _may_begin_with(glob: str, text: str) -> bool:
    """Return whether `glob` matches any text that begins with `text`. A `[…]` counts as any one character."""
    tokens = re.findall(r"\[!?\]?[^\]]*\]|.", glob, flags=re.DOTALL)
    states = {0}
    for character in text:
        states = _after_stars(tokens, states)
        states = {
            position if tokens[position] == "*" else position + 1
            for position in states
            if position < len(tokens) and (len(tokens[position]) > 1 or tokens[position] in ("*", "?", character))
        }
    return bool(states)


def _after_stars(tokens: list[str], states: set[int]) -> set[int]:
    reached = set(states)
    for position in sorted(states):
        ahead = position
        while ahead < len(tokens) and tokens[ahead] == "*":
            ahead += 1
            reached.add(ahead)
    return reached
