"""The journal's table, made by an administrator, so that whoever writes to it need not be allowed to make any."""

from __future__ import annotations

from typing import NamedTuple

from ..config.settings import Settings
from ..db.engines.mysql import account as mysql
from ..db.engines.postgresql import account as postgresql
from .account import connect_as_admin
from .settings import GrantSettings


class KeptJournal(NamedTuple):
    """changed: whether it was, or would be, made or dropped · entries: why it was not dropped"""

    changed: bool
    entries: int = 0


def keep_journal(settings: Settings, grants: GrantSettings, dry_run: bool) -> KeptJournal:
    """Make the journal where it is missing, or drop it where it is empty: its entries are the way back.

    Raises RefusedError and DatabaseError.
    """
    schema = settings.journal_schema
    with connect_as_admin(grants) as database:
        there = database.has_journal(schema)
        if grants.state == "present":
            if not there and not dry_run:
                database.create_journal(schema)
            return KeptJournal(not there)
        if not there:
            return KeptJournal(False)
        dialect = postgresql if settings.database.engine == "postgresql" else mysql
        entries = dialect.count_entries(database, schema)
        if not entries and not dry_run:
            dialect.drop_journal(database, schema)
        return KeptJournal(not entries, entries)
