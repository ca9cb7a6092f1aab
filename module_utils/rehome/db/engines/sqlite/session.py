"""The PRAGMAs of SQLite that change what a statement of ours reads or does.

Source: "PRAGMA Statements" in SQLite's manual. The defaults of a connection depend on how the library was compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..session import Variable

VARIABLES: Final[Mapping[str, Variable]] = {
    "foreign_keys": Variable("1", "rows are written that break a foreign key"),
    "defer_foreign_keys": Variable("0", "a chunk fails at its end, and not the row"),
    "ignore_check_constraints": Variable("0", "rows are written that break a CHECK"),
    "recursive_triggers": Variable("0", "triggers fire that do not fire otherwise"),
    "reverse_unordered_selects": Variable("0", "rows are returned in another order"),
    "read_uncommitted": Variable("0", "rows are read that are rolled back later"),
    "query_only": Variable("0", "nothing can be written"),
    "writable_schema": Variable("0", "the schema can be damaged"),
}
JOURNAL_MODES: Final = ("delete", "truncate", "persist", "wal")


def variables(found: Mapping[str, str]) -> Mapping[str, Variable]:
    """Return the PRAGMAs that are wanted where `synchronous` and `journal_mode` are as in `found`.

    What is safer than needed (EXTRA, which is 3) is left; a journal of writes is kept on the disk.
    """
    wanted = dict(VARIABLES)
    lost = "a crash or a power failure damages the file, or undoes what was reported as done"
    if found.get("synchronous") in ("0", "1"):
        wanted["synchronous"] = Variable("2", lost)
    if found.get("journal_mode") not in JOURNAL_MODES:
        wanted["journal_mode"] = Variable("delete", lost)
    return wanted
