"""Work through a plan's rewrite queue: the rows whose object is verified in the target, chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from .catalog import Catalog
from .db.connect import connect
from .db.dialect import Change, Dialect
from .db.journal import JournalTarget
from .db.rewrite import CHUNK_ROWS, ChunkOutcome, rewrite_chunk
from .progress import Progress
from .settings import Reference, Settings

# An object is verified when the plan found it in the target with the source's content, or this run's copy ended so.
# A row whose source object is gone while the target's is there has nothing older to be faithful to.
_VERIFIED = """(
    r.class = 'to_rewrite' AND (
        r.object_class IS NULL OR r.object_class = 'present'
        OR EXISTS (SELECT 1 FROM outcomes o WHERE o.rest = r.rest AND o.result IN ('copied', 'present')))
)"""

QUEUE = f"""
SELECT r.key, r.value, r.rest FROM planned_rows r
WHERE r.reference = $reference AND r.is_old AND ({_VERIFIED} OR (r.class = 'dangling' AND $rewrite_dangling))
ORDER BY r.ordinal
"""

PLANNED = """
SELECT value, rest FROM planned_rows
WHERE reference = $reference AND is_old AND (class = 'to_rewrite' OR (class = 'dangling' AND $rewrite_dangling))
ORDER BY ordinal
"""
SAMPLE_ROWS = 3


@dataclass(slots=True)
class RewriteCounts:
    """What became of the queue's rows; the classes are those of `ChunkOutcome`."""

    rewritten: int = 0
    changed_by_app: int = 0
    refused: int = 0

    def counts(self) -> dict[str, int]:
        """The counts by the names that summaries use."""
        return {
            "rows_rewritten": self.rewritten,
            "rows_changed_by_app": self.changed_by_app,
            "rows_refused": self.refused,
        }

    def add(self, outcome: ChunkOutcome) -> None:
        self.rewritten += outcome.rewritten
        self.changed_by_app += len(outcome.changed_by_app)
        self.refused += len(outcome.refused)


def rewrite_planned(
    settings: Settings,
    catalog: Catalog,
    progress: Progress,
    counts: RewriteCounts,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Rewrite the rows that the plan in `catalog` calls to rewrite and whose object is verified in the target.

    counts: grows with what is committed, so that it is true also where this raises
    stopping: asked before each chunk; once true, the rest is left.
    Raises DatabaseError where the server fails; the chunks until then are committed and journalled.
    """
    with connect(settings.database) as database:
        for reference in settings.references:
            _rewrite_reference(database, settings, reference, catalog, counts, progress, stopping)


def _rewrite_reference(
    database: Dialect,
    settings: Settings,
    reference: Reference,
    catalog: Catalog,
    counts: RewriteCounts,
    progress: Progress,
    stopping: Callable[[], bool],
) -> None:
    head = settings.value_map(reference).target_head
    facts = database.describe(reference.table, reference.column)
    target = JournalTarget(settings.journal_schema, settings.name, settings.fingerprint)
    asked = _asked(settings, reference)
    (total,) = catalog.query(f"SELECT count(*) FROM ({QUEUE})", asked)[0]
    progress.stage(f"rewrite {reference.name}", total)
    done = 0
    for batch in catalog.stream(QUEUE, asked, batch=CHUNK_ROWS):
        if stopping():
            return
        changes = [Change(tuple(json.loads(key)), value, head + rest) for key, value, rest in batch]
        outcome = ChunkOutcome()
        try:
            rewrite_chunk(database, facts, changes, target, outcome)
        finally:
            counts.add(outcome)
            _note_leftovers(catalog, reference, outcome)
        done += len(batch)
        progress.at(done, changed_by_app=counts.changed_by_app, refused=counts.refused)


def _note_leftovers(catalog: Catalog, reference: Reference, outcome: ChunkOutcome) -> None:
    catalog.append(
        "changed_rows", [(reference.name, json.dumps(change.key), change.old) for change in outcome.changed_by_app]
    )
    catalog.append(
        "refused_rows",
        [
            (reference.name, json.dumps(refusal.change.key), refusal.change.old, refusal.change.new, refusal.message)
            for refusal in outcome.refused
        ],
    )


def rows_to_rewrite(settings: Settings, catalog: Catalog) -> int:
    """How many rows the plan calls to rewrite, once their objects are verified."""
    return sum(
        int(catalog.query(f"SELECT count(*) FROM ({PLANNED})", _asked(settings, reference))[0][0])
        for reference in settings.references
    )


def sample_diffs(settings: Settings, catalog: Catalog) -> list[dict[str, str]]:
    """A few rows to rewrite of each reference, before and after, as Ansible shows differences."""
    diffs = []
    for reference in settings.references:
        asked = _asked(settings, reference)
        head = settings.value_map(reference).target_head
        (total,) = catalog.query(f"SELECT count(*) FROM ({PLANNED})", asked)[0]
        rows = catalog.query(f"{PLANNED} LIMIT {SAMPLE_ROWS}", asked)
        if rows:
            header = f"{reference.name}, {len(rows)} of {total:,} rows"
            diffs.append(
                {
                    "before_header": header,
                    "after_header": header,
                    "before": "".join(f"{value}\n" for value, _ in rows),
                    "after": "".join(f"{head}{rest}\n" for _, rest in rows),
                }
            )
    return diffs


def _asked(settings: Settings, reference: Reference) -> dict[str, object]:
    return {"reference": reference.name, "rewrite_dangling": settings.on_dangling == "rewrite"}
