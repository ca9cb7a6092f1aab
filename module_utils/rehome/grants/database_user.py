"""Create, change and drop the database user and the journal's table as an administrator, or only try it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final, NamedTuple

from ..codes import Code
from ..config.settings import Settings
from ..db.dialect import DatabaseError, Dialect, ReadOnlyError
from ..db.engines.mysql import account as mysql
from ..db.engines.postgresql import account as postgresql
from ..db.rights import Account, mysql_account, mysql_changes
from ..errors import RehomeError
from .account import PlannedUser, connect_as_admin, plan_on, refused_to_admin
from .diff import Diff
from .settings import GrantSettings


class UserChange(NamedTuple):
    """changed: whether the user or the journal was, or in a dry run would be, created, changed or dropped

    entries: the number of entries for which the journal was not dropped
    """

    changed: bool
    entries: int = 0
    diffs: tuple[Diff, ...] = ()


_READ_ONLY: Final = "the database takes no writes now: it may be a replica, or under maintenance"


class _TriedError(Exception):
    """Raised to roll back a transaction that was only a trial."""


def update_user(settings: Settings, grants: GrantSettings, password: str | None, dry_run: bool) -> UserChange:
    """Make user, rights and journal as `grants.state` says. A journal with entries stays: they are the only way back.

    password: a new one, or None, which keeps that of an existing user and gives a new one that of the settings
    Raises RefusedError.
    """
    with connect_as_admin(grants) as database:
        planned = plan_on(database, settings, grants)
        if planned.account.new_password and password is None and not dry_run:
            raise RehomeError(
                f"the user {planned.account.user} needs a new password, and the task gives none", code=Code.SECRET_LOST
            )
        with _refusing(grants, f"create or change the user {planned.account.user}"):
            exists = _has_tables(database, settings, grants)
            entries = database.count_journal(settings.journal_schema) if exists and grants.state == "absent" else 0
            statements = _changes(database, planned, settings, password)
            journal_changes = not exists if grants.state == "present" else exists and not entries
            changed = bool(statements) or journal_changes
            if changed and not dry_run:
                with _transaction(database, settings):
                    _apply(database, settings, statements, journal_changes, grants)
    return UserChange(changed, entries, tuple(planned.diffs))


def try_user(settings: Settings, grants: GrantSettings, dry_run: bool) -> str:
    """Try what `update_user` would do, before anything is written, and take it back. Return what was tried, in words.

    PostgreSQL: the very statements, in a transaction that is rolled back. MariaDB and MySQL know none for users: there
    a user of another name gets the same rights, and is dropped. A dry run leaves that out, and looks whether the
    administrator has the rights for it.
    Raises RefusedError.
    """
    with connect_as_admin(grants) as database:
        planned = plan_on(database, settings, grants)
        user = planned.account.user
        with _refusing(grants, f"create or change the user {user}, as a trial shows that was taken back"):
            exists = _has_tables(database, settings, grants)
            # entries would keep the journal
            journal_changes = not exists if grants.state == "present" else False
            statements = _changes(database, planned, settings, None)
            if not statements and not journal_changes and not planned.account.new_password:
                return f"nothing to change about the user {user}"
            # asked, as MariaDB and MySQL let administrators write to replicas, too
            if database.is_read_only():
                if dry_run:
                    return f"nothing, as {_READ_ONLY}. A run would stop"
                raise ReadOnlyError(_READ_ONLY)
            if settings.database.engine == "postgresql":
                with suppress(_TriedError), _transaction(database, settings):
                    _apply(database, settings, statements, journal_changes, grants)
                    raise _TriedError
                return f"the statements for the user {user}, in a transaction that was rolled back"
            if dry_run or planned.wanted is None:
                return _looked_up(database, settings, grants)
            return _try_another_user(database, settings, grants, planned.wanted)


def _has_tables(database: Dialect, settings: Settings, grants: GrantSettings) -> bool:
    """Return whether the journal's table exists; if it is to be, then with that of the control row."""
    schema = settings.journal_schema
    return database.has_journal(schema) and (grants.state == "absent" or database.has_control(schema))


def _changes(database: Dialect, planned: PlannedUser, settings: Settings, password: str | None) -> list[str]:
    """Return the statements, with a password for a user who has none or needs a new one."""
    if planned.wanted is None:
        return planned.changes(settings)
    if password is None and (planned.current is None or planned.account.new_password):
        # a random one in trials; the real one comes with the call that creates the user
        password = settings.database.password if planned.current is None else None
        password = password or secrets.token_hex(20)
    return planned.changes(settings, _identified(database, settings, password) if password else "")


def _identified(database: Dialect, settings: Settings, password: str) -> str:
    if settings.database.engine == "postgresql":
        return postgresql.identified(database, settings.database.user or "", password)
    return mysql.identified(database, password)


def _apply(
    database: Dialect, settings: Settings, statements: list[str], journal_changes: bool, grants: GrantSettings
) -> None:
    # rights on the journal need its table, which may be dropped only when nobody needs it any more
    if journal_changes and grants.state == "present":
        database.create_journal(settings.journal_schema)
    for statement in statements:
        _run(database, statement)
    if journal_changes and grants.state == "absent":
        database.drop_journal(settings.journal_schema)


def _run(database: Dialect, statement: str) -> None:
    database.run(statement.replace("%", "%%"))


@contextmanager
def _transaction(database: Dialect, settings: Settings) -> Iterator[None]:
    """Begin a transaction where users can be changed in one: all of it, or nothing."""
    if settings.database.engine != "postgresql":
        yield  # each statement commits
        return
    with database.transaction():
        yield


def _try_another_user(database: Dialect, settings: Settings, grants: GrantSettings, wanted: Account) -> str:
    """Create a user with the same rights, and drop it. So is the journal's table, if there was none."""
    schema = settings.journal_schema
    name = f"rehome-trial-{hashlib.sha256(wanted.user.encode()).hexdigest()[:8]}"
    name = name.ljust(len(wanted.user), "x")  # a name that is too long for the server is found out, too
    other = replace(wanted, user=name)
    drop = f"DROP USER IF EXISTS {mysql_account(other)}"
    has_schema = bool(database.run("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (schema,)))
    has_journal, has_control = database.has_journal(schema), database.has_control(schema)
    statements = mysql_changes(None, other, mysql.identified(database, secrets.token_hex(20)))
    try:
        _run(database, drop)  # of a trial that was killed
        _apply(database, settings, statements, not (has_journal and has_control), grants)
    finally:
        with suppress(DatabaseError):
            _run(database, drop)
        made = [database.control_table(schema)] if not has_control else []
        made += [database.journal_table(schema)] if not has_journal else []
        with suppress(DatabaseError):
            if has_schema:
                for table in made:
                    _run(database, f"DROP TABLE IF EXISTS {table.replace('%%', '%')}")
            elif made:
                database.drop_journal(schema)
    return f"the statements for the user {wanted.user} with another, {name}, who was dropped again"


def _looked_up(database: Dialect, settings: Settings, grants: GrantSettings) -> str:
    """Return in words what of the administrator's rights is listed. Nothing is written."""
    schemas = [settings.database.name or "", settings.journal_schema] if grants.state == "present" else []
    lacks = mysql.lacks_as_administrator(database, schemas)
    if lacks:
        return f"nothing: a dry run writes nothing. The administrator may lack {', '.join(lacks)}"
    return "nothing: a dry run writes nothing. The administrator has the rights for it by SHOW GRANTS"


@contextmanager
def _refusing(grants: GrantSettings, what: str) -> Iterator[None]:
    """Raise RefusedError in place of DatabaseError in the block. what: what was tried, in words"""
    try:
        yield
    except DatabaseError as error:
        raise refused_to_admin(grants, what, error) from error
