"""The key map: which source keys move, and what their target keys are."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .key_shapes import MAX_KEY_BYTES, KeyShape, shapes_of

_UTF8_BYTES = 4
"""The most that a character takes."""


def _compile(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


@dataclass(frozen=True)
class KeyMap:
    """A swap of prefixes, for the keys that the globs select.

    include, exclude: globs that are matched against a key's suffix, the text after the prefix. They are
        case-sensitive, with `*`, `?` and `[…]`; `*` also matches `/`.
    only: if given, no other suffixes are under the map
    """

    source_prefix: str
    target_prefix: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    _included: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _excluded: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # None: all are included, none is excluded. A pattern that says so would be matched against every key.
        object.__setattr__(self, "_included", None if "*" in self.include else _compile(self.include))
        object.__setattr__(self, "_excluded", _compile(self.exclude) if self.exclude else None)

    def covers(self, suffix: str) -> bool:
        """Return whether a key with this suffix is under the map."""
        if self.only is not None and suffix not in self.only:
            return False
        if self._included is not None and self._included.match(suffix) is None:
            return False
        return self._excluded is None or self._excluded.match(suffix) is None

    def covers_each(self, suffixes: Sequence[str]) -> list[bool]:
        """Return `covers` of each suffix, faster where only one of its rules applies."""
        if self.only is None and self._included is None and self._excluded is None:
            return [True] * len(suffixes)
        if self.only is None and self._included is not None and self._excluded is None:
            return [found is not None for found in map(self._included.match, suffixes)]
        return list(map(self.covers, suffixes))

    def includes(self, suffix: str) -> bool:
        """Return whether one of the globs to include matches, whatever the others say."""
        return self._included is None or self._included.match(suffix) is not None

    def to_target(self, key: str) -> str | None:
        """Return the target key of a source key, or None if the key is not under the map."""
        suffix = key[len(self.source_prefix) :]
        return self.target_prefix + suffix if key.startswith(self.source_prefix) and self.covers(suffix) else None

    def unroutable(self, key: str, refused_keys: frozenset[KeyShape] = frozenset()) -> str | None:
        """Return why the target cannot store the target key of `key`, or None if it can.

        key: a source key under the map
        refused_keys: the shapes of keys that this target was found not to store unchanged
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

    def unroutable_each(
        self, keys: Sequence[str], refused_keys: frozenset[KeyShape] = frozenset()
    ) -> Sequence[str | None]:
        """Return `unroutable` of each key, at once if all are short and the target refuses no shape."""
        lengths = set(map(len, keys)) or {0}
        growth = len(self.target_prefix) - len(self.source_prefix)
        if refused_keys or min(lengths) + growth <= 0 or _UTF8_BYTES * (max(lengths) + growth) > MAX_KEY_BYTES:
            return [self.unroutable(key, refused_keys) for key in keys]
        return [None] * len(keys)
