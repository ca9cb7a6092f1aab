"""Plan the changes to the database user: compare its account and rights with what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ..codes import Code
from ..config.settings import Database, Settings
from ..db.dialect import (
    DatabaseError,
    Dialect,
    MissingRightError,
    ReadOnlyError,
    UnknownColumnError,
    UnknownTableError,
    UnusableTableError,
)
from ..db.engines.mysql import account as mysql
from ..db.engines.open import connect
from ..db.engines.postgresql import account as postgresql
from ..db.facts import facts_for_rewrite
from ..db.rights import (
    Account,
    Right,
    as_script,
    columns_named,
    mysql_account,
    mysql_changes,
    mysql_statements,
    postgresql_changes,
    postgresql_name,
    postgresql_role,
    postgresql_statements,
    rights_on_journal,
    rights_on_table,
)
from ..errors import Finding, RefusedError
from .diff import Diff, diff_of
from .settings import GrantSettings


@dataclass(frozen=True, slots=True)
class PlannedAccount:
    """A user of the database, and what to change about it.

    new_password: whether a password must be generated
    statements: what makes it as it should be, without the password
    hints: lines for the server's pg_hba.conf
    """

    engine: str
    user: str
    host: str | None
    exists: bool
    new_password: bool
    statements: Sequence[str] = ()
    hints: Sequence[str] = ()


class PlannedUser(NamedTuple):
    """The database user, and its changes.

    current, wanted: the account as it is, if it exists, and as it should be, if it should exist
    """

    account: PlannedAccount
    diffs: list[Diff]
    current: Account | None
    wanted: Account | None

    def changes(self, settings: Settings, identified: str = "") -> list[str]:
        """Return the statements that make the account as it should be.

        identified: the clause that sets its password; empty if that stays
        """
        user, name = settings.database.user or "", settings.database.name or ""
        is_postgresql = settings.database.engine == "postgresql"
        if self.wanted is None:
            if self.current is None:
                return []
            if not is_postgresql:
                return [f"DROP USER {mysql_account(self.current)}"]
            revoked = postgresql_changes("REVOKE", self.current.rights, user, name)
            return [*revoked, f"DROP ROLE {postgresql_name(user)}"]
        if not is_postgresql:
            return mysql_changes(self.current, self.wanted, identified)
        held = self.current.rights if self.current else frozenset[Right]()
        return [
            *postgresql_role(self.current, self.wanted, identified),
            *postgresql_changes("REVOKE", held - self.wanted.rights, user, name),
            *postgresql_changes("GRANT", self.wanted.rights - held, user, name),
        ]


def plan_account(settings: Settings, grants: GrantSettings) -> PlannedUser:
    """Compare the user with what is needed. Writes nothing. Raises RefusedError with every finding."""
    with connect_as_admin(grants) as database:
        return plan_on(database, settings, grants)


@contextmanager
def connect_as_admin(grants: GrantSettings) -> Iterator[Dialect]:
    """Connect as the administrator. Raises RefusedError, which names the administrator's settings."""
    with ExitStack() as stack:
        try:
            database = stack.enter_context(connect(grants.admin_database))
        except RefusedError as refusal:
            raise RefusedError([_as_admin(finding) for finding in refusal.findings]) from None
        yield database


def _as_admin(finding: Finding) -> Finding:
    """Return the finding about a connection with the name of the administrator's setting."""
    group, _, part = finding.setting.rpartition(".")
    if group != "rehome_database" or part not in ("user", "password", "host", "port", "socket"):
        return finding
    return Finding(
        f"rehome_admin_database.{part}",
        finding.value,
        finding.problem,
        f"Correct rehome_admin_database.{part} (or DB_ADMIN_USER and DB_ADMIN_PASSWD)",
        finding.code,
    )


def refused_to_admin(grants: GrantSettings, what: str, error: DatabaseError) -> RefusedError:
    """Return the error for something that the server refuses to the administrator. what: in words"""
    if isinstance(error, ReadOnlyError):
        way_out = "Connect to the primary (rehome_admin_database.host), or wait until it takes writes again"
    elif isinstance(error, MissingRightError):
        way_out = "Use an administrator who may create users and grant rights on these tables"
    else:
        way_out = "Correct what the server names, and see that this administrator may create users and grant rights"
    return RefusedError.of(
        "rehome_admin_database.user",
        grants.admin_database.user,
        f"cannot {what}: {error}",
        way_out,
        code=Code.NOT_ADMINISTRATOR,
    )


def plan_on(database: Dialect, settings: Settings, grants: GrantSettings) -> PlannedUser:
    """Do what `plan_account` does over a connection that is open."""
    try:
        return _plan_account(database, settings, grants)
    except DatabaseError as error:
        raise refused_to_admin(grants, "read the users and their rights", error) from error


def _plan_account(database: Dialect, settings: Settings, grants: GrantSettings) -> PlannedUser:
    findings: list[Finding] = []
    user, is_postgresql = settings.database.user or "", settings.database.engine == "postgresql"
    current = read_user(database, settings, grants)
    if current and current.other_rights:
        findings.append(_extra_rights(user, current.other_rights, grants))
    if is_postgresql and grants.state == "present":
        findings += _too_long(database, user)
    if user == grants.admin_database.user:
        findings.append(_extra_rights(user, ["everything that rehome_admin_database.user needs"], grants))
    needed = frozenset(_needed_rights(database, settings, grants, findings) if grants.state == "present" else ())
    if current and grants.state == "present":
        findings += _unknown_password(database, settings, grants)
    if findings:
        raise RefusedError(findings)
    if is_postgresql and needed:
        # what PUBLIC has need not be granted
        held = current.rights if current else frozenset[Right]()
        needed = (held & needed) | postgresql.not_held(database, user, needed)
    wanted = Account(
        user=user,
        host=None if is_postgresql else grants.host,
        tls=None if is_postgresql else grants.tls,
        connections=grants.connections,
        expire_days=None if is_postgresql else grants.expire_days,
        valid_until=_valid_until(grants, current) if is_postgresql else None,
        rights=needed,
    )
    planned = PlannedAccount(
        engine=settings.database.engine,
        user=user,
        host=wanted.host,
        exists=current is not None,
        # an existing user's password is known, was handed over, or is refused above
        new_password=grants.state == "present" and (grants.rotate or not (current or settings.database.password)),
        hints=_pg_hba(settings.database, grants) if is_postgresql else (),
    )
    made = PlannedUser(planned, [], current, wanted if grants.state == "present" else None)
    planned = replace(planned, statements=made.changes(settings))
    before, after = (_script(account, settings) for account in (made.current, made.wanted))
    changed = before != after or (planned.new_password and grants.rotate)
    diffs = [diff_of(f"database user {user}", before, after)] if changed else []
    return made._replace(account=planned, diffs=diffs)


def read_user(database: Dialect, settings: Settings, grants: GrantSettings) -> Account | None:
    """Return the user as it is; None if it does not exist."""
    user = settings.database.user or ""
    if settings.database.engine == "postgresql":
        return postgresql.read_account(database, user, settings.journal_schema)
    return mysql.read_account(database, user, grants.host, settings.journal_schema)


def _script(account: Account | None, settings: Settings) -> str:
    """Return the statements that would create the account; none if there is none."""
    if account is None:
        return ""
    if settings.database.engine == "postgresql":
        return as_script(postgresql_statements(account, settings.database.name or ""))
    return as_script(mysql_statements(account))


def _needed_rights(database: Dialect, settings: Settings, grants: GrantSettings, findings: list[Finding]) -> set[Right]:
    needed = rights_on_journal(settings.journal_schema)
    is_postgresql = settings.database.engine == "postgresql"
    if is_postgresql:
        needed |= {Right("CONNECT"), Right("USAGE", settings.journal_schema)}
    for position, reference in enumerate(settings.references):
        try:
            facts = facts_for_rewrite(database.describe(reference.table, reference.column), settings)
        except (UnknownTableError, UnknownColumnError, UnusableTableError) as error:
            findings.append(
                Finding(
                    f"rehome_references[{position}]",
                    reference.name,
                    str(error),
                    "Correct it in rehome_references",
                    error.trouble,
                )
            )
            continue
        schema, table = settings.database.name or "", reference.table
        if is_postgresql:
            schema, table = postgresql.place_of(database, reference.table)
            needed.add(Right("USAGE", schema))
        columns = database.run(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            (schema, table),
        )
        in_condition = columns_named(reference.where, [str(name) for (name,) in columns])
        needed |= rights_on_table(schema, table, facts, in_condition)
        if grants.definitions and not is_postgresql:
            needed |= mysql.rights_to_see(database, schema, facts)
    return needed


def _extra_rights(user: str, beyond: Iterable[str], grants: GrantSettings) -> Finding:
    action = "revoke" if grants.state == "present" else "drop with it"
    return Finding(
        "rehome_database.user",
        user,
        f"exists and has more than a migration needs, which grants would {action}: {', '.join(beyond)}",
        "Name a user that only Rehome uses, or revoke that yourself",
        Code.FOREIGN_USER,
    )


def _too_long(database: Dialect, user: str) -> list[Finding]:
    """Refuse a name that PostgreSQL would cut without an error, which makes a user of another name."""
    limit = int(database.run("SHOW max_identifier_length")[0][0])
    if len(user.encode()) <= limit:
        return []
    problem = f"is longer than the {limit} bytes that the server keeps of a name"
    return [Finding("rehome_database.user", user, problem, "Choose a shorter name", Code.UNUSABLE_VALUE)]


def _unknown_password(database: Dialect, settings: Settings, grants: GrantSettings) -> list[Finding]:
    """Refuse to replace the password of an existing user, unless requested: it may be in use elsewhere."""
    if grants.rotate:
        return []
    user, password = settings.database.user or "", settings.database.password
    if not password:
        if grants.hand_over:
            return []
        problem, setting = f"does not hold the password of database user {user}, who exists", "secrets_file"
        way_out = "Bring that file back, or run with -e rehome_grants_rotate=true, which sets a new password"
        return [Finding(f"rehome_grants_{setting}", grants.secrets_file, problem, way_out, Code.SECRET_LOST)]
    if settings.database.engine == "postgresql":
        fits = postgresql.password_fits(database, settings.database)
    else:
        fits = mysql.password_fits(database, settings.database, grants.host)
    if fits is False:
        problem = f"is not the password of database user {user}, who exists"
        way_out = "Correct it (or DB_PASSWD), or run with -e rehome_grants_rotate=true, which sets a new password"
        return [Finding("rehome_database.password", None, problem, way_out, Code.SECRET_LOST)]
    return []


def _valid_until(grants: GrantSettings, current: Account | None) -> str | None:
    """Return the day on which the password expires: counted from the day on which it is set."""
    if current and current.valid_until and not grants.rotate:
        return current.valid_until
    if grants.expire_days is None:
        return None
    return (datetime.now(UTC) + timedelta(days=grants.expire_days)).date().isoformat()


def _pg_hba(database: Database, grants: GrantSettings) -> list[str]:
    """Return the lines of pg_hba.conf for what a role cannot require itself: TLS, and hosts."""
    if not grants.tls and grants.host == "%":
        return []
    kind, host = ("hostssl" if grants.tls else "host"), ("all" if grants.host == "%" else grants.host)
    return [f"{kind} {database.name} {database.user} {host} scram-sha-256"]
