"""What the other verbs ask of the last search: which columns name objects and are neither references nor known."""

from __future__ import annotations

from ..checks import Check, unknown
from ..codes import Code
from ..config.settings import Settings
from ..errors import Finding, RehomeError
from .columns import FoundColumn
from .record import FILE, Record, read_record

SUBJECT = "database"
CHECK = "other columns"
SHOWN = 20
"""Columns that one message names."""


def unacknowledged(record: Record, settings: Settings) -> list[FoundColumn]:
    """Return the columns that name objects, and that the settings name neither as references nor as acknowledged."""
    references = {reference.name for reference in settings.references}
    known = references | settings.discover.acknowledged
    return [column for column in record.of("names") if column.name not in known]


def check_columns(settings: Settings, *, deletes: bool) -> list[Check]:
    """Return what the last search has found, as checks of the preflight.

    deletes: objects are to be deleted, so that what nobody has looked for matters
    """
    try:
        record = read_record(settings)
    except RehomeError as error:
        return [unknown(SUBJECT, CHECK, str(error))]
    if record is None:
        return [_nobody_looked(deletes)]
    if columns := unacknowledged(record, settings):
        return [
            Check(
                column.name,
                CHECK,
                "warn",
                f"discover has found {_rows(column)} that name objects of the source, and the column is no reference",
                _way_out(column),
                code=Code.UNKNOWN_COLUMN,
            )
            for column in columns
        ]
    unsearched = record.of("not_searched")
    searched = f"{len(record.columns) - len(unsearched):,} ({record.ended[:10]})"
    found = f"discover has found no column that names objects and is not known, in {searched}"
    if not unsearched:
        return [Check(SUBJECT, CHECK, "pass", found)]
    names = ", ".join(column.name for column in unsearched[:SHOWN])
    more = f" and {len(unsearched) - SHOWN:,} more" if len(unsearched) > SHOWN else ""
    advice = (
        "discover.txt in the state folder says why; with a user who may read them, run playbooks/discover.yml again"
    )
    return [Check(SUBJECT, CHECK, "info", f"{found}; not searched, and so unknown: {names}{more}", advice)]


def _nobody_looked(deletes: bool) -> Check:
    if deletes:
        found = "nobody has looked for further columns that name these objects: what they name will be gone"
        advice = "Run playbooks/discover.yml first, which reads only"
        return Check(SUBJECT, CHECK, "warn", found, advice, code=Code.NOT_DISCOVERED)
    found = "discover has not looked for further columns that name the objects"
    return unknown(SUBJECT, CHECK, found, "Run playbooks/discover.yml once, at the latest before retire")


def refused_columns(settings: Settings) -> list[Finding]:
    """Return why nothing may be deleted: a finding that names the columns whose objects would be missing."""
    try:
        record = read_record(settings)
    except RehomeError as error:
        unread = str(settings.state_dir / FILE)
        return [Finding("rehome_state_dir", unread, str(error), "Remove it, and search again", Code.STATE_FILE)]
    columns = unacknowledged(record, settings) if record else []
    if not columns:
        return []
    names = ", ".join(f"{column.name} ({_rows(column)})" for column in columns[:SHOWN])
    more = f" and {len(columns) - SHOWN:,} more" if len(columns) > SHOWN else ""
    several = len(columns) > 1
    return [
        Finding(
            "rehome_references",
            None,
            f"{'columns name' if several else 'a column names'} objects that would be deleted, and "
            f"{'are' if several else 'is'} no reference: {names}{more}",
            f"Add {'them' if several else 'it'} to rehome_references and migrate (discover.txt in the state folder has "
            f"what to paste), or, where {'they' if several else 'it'} may go on naming objects that are gone, to "
            "rehome_acknowledged_columns. After a change of the application, run playbooks/discover.yml again",
            Code.UNKNOWN_COLUMN,
        )
    ]


def _rows(column: FoundColumn) -> str:
    estimated = column.estimated
    if column.whole or estimated is None:
        count, about = column.rows, "" if column.whole else "at least "
    else:
        count, about = estimated, "about "
    return f"{about}{count:,} row{'s' if count != 1 else ''}"


def _way_out(column: FoundColumn) -> str:
    if column.form is None:
        return (
            "Change them by the application's own means, or name the column in rehome_acknowledged_columns; the state "
            "folder's discover.txt has examples"
        )
    return f"Add it to rehome_references (form: {column.form}), or to rehome_acknowledged_columns"
