"""The caution level of the next chunk, from what the previous ones found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class CautionLevel(IntEnum):
    """The ways to rewrite a chunk, the fastest first. Each detects what it cannot handle, and leaves it to the next.

    OPTIMISTIC: rewrite all rows, and roll back unless each of them was as planned
    LOCKED_FIRST: lock and read the rows, and rewrite those that are as planned
    BY_VALUE: as LOCKED_FIRST, but find each row by its old value as well, and read the new values back
    WATCHED: as BY_VALUE, and compare all other rows of the table before and after
    """

    OPTIMISTIC = 0
    LOCKED_FIRST = 1
    BY_VALUE = 2
    WATCHED = 3


@dataclass
class Caution:
    """The level that the next chunk begins with. Several connections may share one.

    If the application has changed rows of one chunk since the plan, it has likely changed rows of the next.
    """

    level: CautionLevel = CautionLevel.OPTIMISTIC

    def record(self, level: CautionLevel, *, as_planned: bool) -> None:
        """Record that a chunk was rewritten at `level`, and whether all its rows were as planned."""
        if max(level, self.level) >= CautionLevel.BY_VALUE:
            # Lower levels failed because of the table (a trigger, say), so they will fail for the next chunk too.
            self.level = max(level, self.level)
        else:
            self.level = CautionLevel.OPTIMISTIC if as_planned else CautionLevel.LOCKED_FIRST
