"""The key map: which source keys are meant, and what each becomes. Pure text, no I/O."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field, replace

from .key_shapes import MAX_KEY_BYTES, KeyShape, shapes_of


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
    _included: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _excluded: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # None: all are included, none is excluded; a pattern that says so would be asked for every key
        object.__setattr__(self, "_included", None if "*" in self.include else _compile(self.include))
        object.__setattr__(self, "_excluded", _compile(self.exclude) if self.exclude else None)

    def covers(self, rest: str) -> bool:
        """Whether a key is meant whose text after the prefix is `rest`."""
        if self.only is not None and rest not in self.only:
            return False
        if self._included is not None and self._included.match(rest) is None:
            return False
        return self._excluded is None or self._excluded.match(rest) is None

    def to_target(self, key: str) -> str | None:
        """Return the target key of a source key, or None if the key is not under the map."""
        suffix = key[len(self.source_prefix) :]
        return self.target_prefix + suffix if key.startswith(self.source_prefix) and self.covers(suffix) else None

    @property
    def inverse(self) -> KeyMap:
        """The map from the target keys back to the source keys."""
        return replace(self, source_prefix=self.target_prefix, target_prefix=self.source_prefix)

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
