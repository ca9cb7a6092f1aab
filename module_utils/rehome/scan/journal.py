"""Read the journal: which rows a migration has rewritten, and which of them were not rolled back since."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from ..catalog.catalog import BulkAppender
from ..catalog.schema import STANDING_ROWS
from ..codes import Code
from ..config.settings import Settings
from ..db import journal
from ..db.dialect import Dialect, RecordedEntry
from ..db.journal import Columns
from ..errors import Finding, RefusedError
from ..mapping.row_key import keys_to_json
from ..mapping.value_map import ValueMap
from ..run import Run

_STANDING = """
SELECT r.rowid AS place, r.* FROM rewritten_rows r
JOIN (SELECT reference, key, max(entry) AS entry FROM rewritten_rows GROUP BY reference, key) newest
    USING (reference, key, entry)
ANTI JOIN undone_rows u USING (entry, key)
"""
"""A row is rewritten again if the application gives it an old value again; only its newest entry counts. If that entry
was undone, so are the older ones. `place` keeps the order within an entry."""


def read_history(run: Run, database: Dialect, since: datetime | None = None) -> int:
    """Read this migration's journal into the catalog. Returns how many rows the migration has ever rewritten.

    Creates the table `standing_rows` there: the rows that hold what Rehome wrote, unless the application has written
    them since.

    since: only rows that were rewritten then or later are marked as `selected`
    Raises RefusedError if the journal was written under other settings, or is damaged; DatabaseError.
    """
    settings, catalog = run.settings, run.catalog
    maps = {reference.name: settings.value_map(reference) for reference in settings.references}
    run.progress.stage("read the journal")
    rows = 0
    with catalog.bulk_appender("rewritten_rows") as rewritten, catalog.bulk_appender("undone_rows") as undone:
        for batch in journal.newest_first(database, settings.journal_schema, settings.name):
            for recorded in batch:
                changes = _changes(recorded, settings)
                if recorded.entry.direction == "rollback":
                    undone.append([str(recorded.entry.undoes)] * len(changes.keys), keys_to_json(changes.keys))
                else:
                    selected = since is None or recorded.written_at >= since
                    _add(recorded, changes, maps[recorded.entry.reference], selected, rewritten)
                    rows += len(changes.keys)
            run.progress.at(rows)
    catalog.run(STANDING_ROWS.create(_STANDING))
    return rows


def _add(recorded: RecordedEntry, changes: Columns, values: ValueMap, selected: bool, rewritten: BulkAppender) -> None:
    count = len(changes.keys)
    rewritten.append(
        # as text, which DuckDB's appender takes faster than numbers
        [str(recorded.id)] * count,
        [recorded.entry.reference] * count,
        keys_to_json(changes.keys),
        changes.olds,
        changes.news,
        list(map(values.suffix_if_old, changes.olds)),
        [selected] * count,
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
                Code.JOURNAL_OF_OTHERS,
            )
        )
    elif entry.fingerprint != settings.fingerprint:
        findings.append(
            Finding(
                "rehome_name",
                settings.name,
                "the journal holds changes that were made under this name with other buckets, prefixes, globs or "
                f"references: {journal.whose(recorded)}. These settings are for {settings.place}",
                "Put the settings back as they were, or name the migration that you want",
                Code.JOURNAL_OF_OTHERS,
            )
        )
    elif sha256(entry.entries).hexdigest() != entry.sha256:
        findings.append(
            Finding(
                "rehome_journal_schema",
                settings.journal_schema,
                f"entry {recorded.id} of the journal is damaged: its digest differs from the one recorded with it",
                "Recover the journal's table from a backup; nothing was changed",
                Code.JOURNAL_DAMAGED,
            )
        )
    if findings:
        raise RefusedError(findings)
    return journal.unpack_columns(entry.entries)
