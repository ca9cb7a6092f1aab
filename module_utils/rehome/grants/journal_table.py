"""Create and drop the journal's table as an administrator, so that the migration's user needs no right to."""

from __future__ import annotations

from typing import NamedTuple

from ..config.settings import Settings
from .account import connect_as_admin
from .settings import GrantSettings


class JournalChange(NamedTuple):
    """changed: whether the table was, or in a dry run would be, created or dropped

    entries: the number of entries that prevent dropping it
    """

    changed: bool
    entries: int = 0


def ensure_journal_state(settings: Settings, grants: GrantSettings, dry_run: bool) -> JournalChange:
    """Create the journal if it is missing, or drop it if it is empty, as `grants.state` says.

    A journal with entries is never dropped: they are the only way back.
    Raises RefusedError and DatabaseError.
    """
    schema = settings.journal_schema
    with connect_as_admin(grants) as database:
        exists = database.has_journal(schema)
        if grants.state == "present":
            if not exists and not dry_run:
                database.create_journal(schema)
            return JournalChange(not exists)
        if not exists:
            return JournalChange(False)
        entries = database.count_journal(schema)
        if not entries and not dry_run:
            database.drop_journal(schema)
        return JournalChange(not entries, entries)
