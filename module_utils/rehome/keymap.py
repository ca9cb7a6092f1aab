"""The key map: which source keys are meant, and what each becomes. Pure text, no I/O."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field

from .s3.capabilities import MAX_KEY_BYTES, KeyShape, shapes_of


def _compile(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


@dataclass(frozen=True)
class KeyMap:
    """A prefix swap with its include and exclude globs.

    The globs (`*`, `?`, `[…]`; case matters; `*` also crosses `/`) are held against the key after the prefix.
    only: where given, no other keys (after the prefix) are meant than these
    """

    source_prefix: str
    target_prefix: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    _included: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _excluded: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", _compile(self.include))
        object.__setattr__(self, "_excluded", _compile(self.exclude))

    def covers(self, rest: str) -> bool:
        """Whether a key is meant whose text after the prefix is `rest`."""
        if self.only is not None and rest not in self.only:
            return False
        return self._included.match(rest) is not None and self._excluded.match(rest) is None

    def to_target(self, key: str) -> str | None:
        """The target key of a source key, or None where the key is not under the map."""
        return _swap(key, self.source_prefix, self.target_prefix, self)

    def to_source(self, key: str) -> str | None:
        """The inverse: the source key of a target key, or None where no source key maps to it."""
        return _swap(key, self.target_prefix, self.source_prefix, self)

    def unroutable(self, key: str, refused_keys: frozenset[KeyShape] = frozenset()) -> str | None:
        """Why the target cannot take the target key of a source key under the map, or None where it can.

        refused_keys: what the probe found that this target does not take as it is
        """
        target = self.target_prefix + key[len(self.source_prefix) :]
        size = len(target.encode())
        if size > MAX_KEY_BYTES:
            return f"the target key has {size} bytes, S3 takes {MAX_KEY_BYTES}"
        if not target:
            return "the target key is empty"
        if refused_keys and (refused := shapes_of(target) & refused_keys):
            shapes = " and ".join(shape.words for shape in KeyShape if shape in refused)
            return f"the target key has {shapes}, which this service does not take as it is"
        return None


@dataclass(frozen=True)
class ValueMap:
    """How a column's value changes: the key map behind the texts that its form puts before the key."""

    keymap: KeyMap
    source_text: str = ""
    target_text: str = ""

    @property
    def source_head(self) -> str:
        """What every old value begins with."""
        return self.source_text + self.keymap.source_prefix

    @property
    def target_head(self) -> str:
        """What every new value begins with."""
        return self.target_text + self.keymap.target_prefix

    def to_target(self, value: str) -> str | None:
        """The new value of an old one, or None where the value is not under the map."""
        return _swap(value, self.source_head, self.target_head, self.keymap)

    def rest_if_old(self, value: str) -> str | None:
        """The part of an old value that stays as it is, or None where the value is not an old one."""
        return _rest(value, self.source_head, self.keymap)

    def rest_if_new(self, value: str) -> str | None:
        """The same part of a new value, or None where the value is not a new one."""
        return _rest(value, self.target_head, self.keymap)

    @property
    def feeds_itself(self) -> bool:
        """Whether a new value can be under the map again. Errs on the side of yes."""
        if self.source_head == self.target_head:
            return False
        if self.source_head.startswith(self.target_head):
            inner = self.source_head[len(self.target_head) :]
            return any(_may_begin_with(glob, inner) for glob in self.keymap.include)
        if self.target_head.startswith(self.source_head):
            inner = self.target_head[len(self.source_head) :]
            return any(_may_begin_with(glob, inner) for glob in self.keymap.include)
        return False


def _rest(text: str, head: str, keymap: KeyMap) -> str | None:
    rest = text[len(head) :]
    return rest if text.startswith(head) and keymap.covers(rest) else None


def _swap(text: str, old_head: str, new_head: str, keymap: KeyMap) -> str | None:
    rest = _rest(text, old_head, keymap)
    return None if rest is None else new_head + rest


def _may_begin_with(glob: str, text: str) -> bool:
    """Whether some text that `glob` matches begins with `text`. A `[…]` counts as any one character."""
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
