"""How careful the next chunk has to be, from what the last ones met."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Care(IntEnum):
    """The ways to rewrite a chunk, the fastest first. Each finds out what it cannot do, and leaves it to the next.

    AT_ONCE: all rows, which are as planned or else the transaction is rolled back
    SORTED_OUT: the rows are locked and read first, and those that are as planned are rewritten at once
    BY_VALUE: as before, and each is rewritten by its old value, and read back
    """

    AT_ONCE = 0
    SORTED_OUT = 1
    BY_VALUE = 2


@dataclass
class Outlook:
    """Where the application has changed rows since the plan, in one chunk, it likely has in the next.

    Several connections may share one.
    """

    care: Care = Care.AT_ONCE

    def note(self, care: Care, *, as_planned: bool) -> None:
        """A chunk was rewritten with so much care; all of its rows were as planned, or not."""
        if care is Care.BY_VALUE:
            # nothing less has done, and it is not the rows that it is about
            self.care = Care.BY_VALUE
        else:
            self.care = Care.AT_ONCE if as_planned else Care.SORTED_OUT
