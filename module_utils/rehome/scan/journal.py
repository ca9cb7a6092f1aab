"""What the journal tells: the rows that a migration has rewritten and that nothing has put back since."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from ..catalog.catalog import BulkAppender, Catalog
from ..catalog.schema import STANDING_ROWS
from ..config.settings import Settings
from ..db import journal
from ..db.dialect import Dialect, RecordedEntry
from ..db.journal import Columns
from ..errors import Finding, RefusedError
from ..mapping.row_key import keys_to_json
from ..mapping.value_map import ValueMap
from ..progress import Progress

_STANDING = """
SELECT r.rowid AS place, r.* FROM rewritten_rows r
JOIN (SELECT reference, key, max(entry) AS entry FROM rewritten_rows GROUP BY reference, key) newest
    USING (reference, key, entry)
ANTI JOIN undone_rows u USING (entry, key)
"""
"""A row that was rewritten several times, as the application had given it an old value again, is what the newest entry
made of it. Where that one is undone, the older ones are over as well. `place` keeps the order within an entry."""


def read_history(
    database: Dialect, settings: Settings, catalog: Catalog, progress: Progress, since: datetime | None = None
) -> int:
    """Read this migration's journal into `catalog`, and make the table `standing_rows` there: the rows that hold what
    Rehome gave them, if nobody else has written them since. Answers how many rows it has ever rewritten.

    since: only rows that were rewritten then or later are `meant`
    Raises RefusedError where the journal is of other settings, or damaged; DatabaseError.
    """
    maps = {reference.name: settings.value_map(reference) for reference in settings.references}
    progress.stage("read the journal")
    rows = 0
    with catalog.bulk_appender("rewritten_rows") as rewritten, catalog.bulk_appender("undone_rows") as undone:
        for batch in journal.newest_first(database, settings.journal_schema, settings.name):
            for recorded in batch:
                changes = _changes(recorded, settings)
                if recorded.entry.direction == "rollback":
                    undone.append([str(recorded.entry.undoes)] * len(changes.keys), keys_to_json(changes.keys))
                else:
                    meant = since is None or recorded.written_at >= since
                    _take(recorded, changes, maps[recorded.entry.reference], meant, rewritten)
                    rows += len(changes.keys)
            progress.at(rows)
    catalog.run(STANDING_ROWS.create(_STANDING))
    return rows


def _take(recorded: RecordedEntry, changes: Columns, values: ValueMap, meant: bool, rewritten: BulkAppender) -> None:
    count = len(changes.keys)
    rewritten.append(
        # as texts, which reach the catalog faster than numbers
        [str(recorded.id)] * count,
        [recorded.entry.reference] * count,
        keys_to_json(changes.keys),
        changes.olds,
        changes.news,
        list(map(values.suffix_if_old, changes.olds)),
        [meant] * count,
    )


def _changes(recorded: RecordedEntry, settings: Settings) -> Columns:
    entry = recorded.entry
    findings = []
    if entry.reference not in {reference.name for reference in settings.references}:
        findings.append(
            Finding(
                "rehome_references",
                None,
                f"the journal has rewritten rows of {entry.reference}, a column that none of the references names",
                "Put the entry back as it was when they were rewritten",
            )
        )
    elif entry.fingerprint != settings.fingerprint:
        findings.append(
            Finding(
                "rehome_name",
                settings.name,
                "the journal holds changes that were made under this name with other buckets, prefixes, globs or "
                "references",
                "Put the settings back as they were, or name the migration that is meant",
            )
        )
    elif sha256(entry.entries).hexdigest() != entry.sha256:
        findings.append(
            Finding(
                "rehome_journal_schema",
                settings.journal_schema,
                f"entry {recorded.id} of the journal is damaged: its digest is another one than was written with it",
                "Restore the journal's table from a backup; nothing was changed",
            )
        )
    if findings:
        raise RefusedError(findings)
    return journal.unpack_columns(entry.entries)
