"""Compare current row values with the journal. Read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from ..catalog.catalog import Catalog
from ..catalog.schema import DIFFERING_RANGES
from ..codes import Code, marked
from ..config.settings import Settings
from ..db.dialect import Change, Dialect, Key
from ..db.engines.open import connect
from ..mapping.row_key import key_from_json
from ..run import Run
from ..scan.journal import read_history

RANGES = 1_024
READ_ROWS = 1_000

_DIGESTS = f"""
SELECT reference, hash(key) % {RANGES} AS range, count(*) AS rows,
    bit_xor(md5_number(key || chr(31) || {{value}})) AS digest
FROM {{table}} WHERE {{condition}} GROUP BY ALL
"""

_EXPECTED = _DIGESTS.format(value="new_value", table="standing_rows", condition="suffix IS NOT NULL")
_CURRENT = _DIGESTS.format(value="value", table="reference_rows", condition="NOT is_old")

_DIFFERING = f"SELECT reference, range FROM (({_EXPECTED}) EXCEPT ({_CURRENT}))"
"""Ranges of the keys' hashes. One in which the application has made rows of its own differs as well: its rows are
then read one by one, and found to be right."""

_NO_OBJECT = "names an object that is not in the target"
_SUSPECTS = f"""
SELECT j.reference, j.key, j.old_value, j.new_value, r.value,
    CASE
        WHEN r.value = j.old_value THEN 'holds the old value again'
        WHEN r.value IS NOT NULL AND CASE WHEN r.is_old THEN s.suffix ELSE t.suffix END IS NULL
            THEN 'holds another value, whose object is nowhere'
    END AS reason
FROM standing_rows j
JOIN differing_ranges d ON d.reference = j.reference AND d.range = hash(j.key) % {RANGES}
LEFT JOIN reference_rows r ON r.reference = j.reference AND r.key = j.key
LEFT JOIN source_objects s ON s.suffix = r.suffix
LEFT JOIN target_objects t ON t.suffix = r.suffix
WHERE j.suffix IS NOT NULL AND r.value IS DISTINCT FROM j.new_value
UNION ALL
SELECT j.reference, j.key, j.old_value, j.new_value, r.value, '{_NO_OBJECT}'
FROM (FROM reference_rows WHERE NOT is_old) r
ANTI JOIN target_objects t ON t.suffix = r.suffix
JOIN standing_rows j ON j.reference = r.reference AND j.key = r.key AND j.new_value = r.value
WHERE NOT ($rewrite_dangling AND NOT EXISTS (SELECT 1 FROM source_objects s WHERE s.suffix = r.suffix))
ORDER BY 1
"""
"""Rows that are not as expected. Without a reason: the row was not among those under the map."""


@dataclass(slots=True)
class RowsCheck:
    """What the rewritten rows hold now.

    checked: rows that the journal says were rewritten, and not rolled back since; each was compared
    ranges, differing: ranges of keys whose checksums were compared, and those that had to be compared row by row
    changed_since: rows with another value of the application's own, which names an existing object, or none of ours
    gone: rows that were deleted, or whose key was changed
    wrong: rows that hold the old value again, or one whose object is nowhere
    without_object: rows that hold what was written to them, but the target has no such object
    """

    checked: int = 0
    ranges: int = 0
    differing: int = 0
    changed_since: int = 0
    gone: int = 0
    wrong: int = 0
    without_object: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts by the names of the summary."""
        return {
            "rows_checked": self.checked,
            "ranges_checked": self.ranges,
            "ranges_differing": self.differing,
            "rows_changed_since": self.changed_since,
            "rows_gone": self.gone,
            "rows_wrong": self.wrong,
            "rows_without_object": self.without_object,
        }

    def problems(self) -> list[str]:
        """Return what needs a human, as sentences without their full stops."""
        texts = {
            "rewritten rows hold the old value again, or one whose object is nowhere (rows-wrong.jsonl)": self.wrong,
            "rewritten rows name an object that is not in the target (rows-wrong.jsonl)": self.without_object,
        }
        return [marked(f"{count:,} {text}", Code.ROWS_WRONG) for text, count in texts.items() if count]


def compare_rows(run: Run) -> RowsCheck:
    """Compare the rows that `scan` has read into the catalog with what the journal says was written to them.

    If this user can see no journal, as after a migration by another tool, nothing is compared.
    Raises RefusedError if the journal is of other settings, or damaged; DatabaseError.
    """
    settings, catalog = run.settings, run.catalog
    check = RowsCheck()
    with connect(settings.database) as database:
        if database.has_journal(settings.journal_schema):
            read_history(run, database)
            run.progress.stage("compare rows with the journal")
            check.checked = catalog.count("FROM standing_rows WHERE suffix IS NOT NULL")
            check.ranges = catalog.count(_EXPECTED)
            catalog.run(DIFFERING_RANGES.create(_DIFFERING))
            check.differing = catalog.count("FROM differing_ranges")
            _recheck_suspects(database, settings, catalog, check)
    return check


def _recheck_suspects(database: Dialect, settings: Settings, catalog: Catalog, check: RowsCheck) -> None:
    """Read the rows that are not as expected again, and class them by what they hold now."""
    facts = {reference.name: database.describe(reference.table, reference.column) for reference in settings.references}
    params = {"rewrite_dangling": settings.on_dangling == "rewrite"}
    for batch in catalog.stream(_SUSPECTS, params, batch=READ_ROWS):
        for name, rows in groupby(batch, key=itemgetter(0)):
            suspects = [_Suspect(name, key, old, new, seen, why) for _, key, old, new, seen, why in rows]
            now = database.read(facts[name], [suspect.change for suspect in suspects])
            _classify(catalog, suspects, now, check)


class _Suspect(NamedTuple):
    """A row that was not as expected when it was scanned. See `_SUSPECTS`."""

    reference: str
    key: str
    old: str
    new: str
    seen: str | None
    reason: str | None

    @property
    def change(self) -> Change:
        """What the rewrite did to the row."""
        return Change(key_from_json(self.key), self.old, self.new)


def _classify(catalog: Catalog, suspects: Sequence[_Suspect], now: Mapping[Key, str | None], check: RowsCheck) -> None:
    gone, wrong, changed = [], [], []
    for suspect in suspects:
        key = suspect.change.key
        if key not in now:
            gone.append((*suspect[:2], suspect.new, suspect.old))
        elif suspect.reason is not None and now[key] == suspect.seen:
            wrong.append((*suspect[:2], now[key], suspect.new, suspect.old, suspect.reason))
        elif now[key] != suspect.new:
            changed.append((*suspect[:2], now[key], suspect.new, suspect.old))
    without_object = sum(row[-1] == _NO_OBJECT for row in wrong)
    check.gone += len(gone)
    check.changed_since += len(changed)
    check.without_object += without_object
    check.wrong += len(wrong) - without_object
    catalog.append("rows_gone", gone)
    catalog.append("rows_wrong", wrong)
    catalog.append("rows_changed_since", changed)
