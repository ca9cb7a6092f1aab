"""Whether what the server refuses is about one row, or about the table or the server itself.

An error's code does not tell: a trigger may raise any of them. What fails for one row while another passes is about
that row. What fails for each row that is tried is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ..dialect import Change, DatabaseError, RowRefusedError, TableFacts, TakenError

MAX_TRIALS = 15
"""Rows that are tried, besides the refused one, before a refusal counts as the table's or the server's."""
FEW = 5
"""With fewer rows than this, what is refused is listed row by row."""
MAX_IN_A_ROW = 20
"""Rows that may fail one after the other, with codes that are not known to be about rows, before others are tried."""


def spread(changes: Sequence[Change], count: int) -> Sequence[Change]:
    """Return at most `count` of `changes`, evenly spread, with the first and the last."""
    if len(changes) <= count:
        return changes
    return [changes[place * (len(changes) - 1) // (count - 1)] for place in range(count)]


@dataclass
class Refusals:
    """What the server has accepted and refused so far, column by column. Several connections may share one.

    samples: rows from all over the work ahead, by their column (`TableFacts.reference`)
    """

    samples: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    _written: dict[str, Change] = field(default_factory=dict)
    _in_a_row: dict[str, int] = field(default_factory=dict)

    def record_written(self, facts: TableFacts, change: Change) -> None:
        """Record that a row of the column was rewritten, or could have been."""
        self._written[facts.reference] = change
        self._in_a_row[facts.reference] = 0

    def is_about_row(self, facts: TableFacts, error: DatabaseError) -> bool:
        """Return whether `error` is about the row that it was raised for. If not, others have to be tried."""
        if isinstance(error, TakenError):
            return True
        if facts.reference not in self._written:
            return False
        self._in_a_row[facts.reference] += 1
        return isinstance(error, RowRefusedError) or self._in_a_row[facts.reference] <= MAX_IN_A_ROW

    def to_try(self, facts: TableFacts, refused: Change, chunk: Sequence[Change]) -> Iterable[Change]:
        """Yield other rows of the column: one that could be written, there and back, then at most `MAX_TRIALS`.

        chunk: the rows around the refused one
        """
        if facts.reference in self._written:
            key, old, new = self._written[facts.reference]
            yield from (Change(key, new, old), Change(key, old, new))
        seen = {refused.key}
        for change in chain(spread(chunk, MAX_TRIALS // 2 + 1), self.samples.get(facts.reference, ())):
            if len(seen) > MAX_TRIALS:
                return
            if change.key not in seen:
                seen.add(change.key)
                yield change


def of_all_rows(facts: TableFacts, error: DatabaseError, tried: int) -> DatabaseError:
    """Return the error for a column of which no row can be written. error: what the server said of one of them

    tried: how many rows were tried
    """
    if tried < 2:
        return error
    triggers = f" The table's triggers: {', '.join(facts.triggers)}." if facts.triggers else ""
    return type(error)(
        f"{error}. All {tried} rows of {facts.reference} that were tried fail: the cause is in the table or in the "
        f"server, not in a row.{triggers} Remove the cause and run again; what was committed is journalled",
        error.code,
    )
