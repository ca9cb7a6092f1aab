"""Plan the changes to the database user: compare its account and rights with what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..config.settings import Database, Settings
from ..db.dialect import DatabaseError, Dialect, UnknownColumnError, UnknownTableError, UnusableTableError
from ..db.engines.mysql import account as mysql
from ..db.engines.open import connect
from ..db.engines.postgresql import account as postgresql
from ..db.facts import facts_for_rewrite
from ..db.rights import (
    Account,
    Right,
    as_script,
    columns_named,
    mysql_privileges,
    mysql_statements,
    postgresql_changes,
    postgresql_statements,
    rights_on_journal,
    rights_on_table,
    unsupported_names,
)
from ..errors import Finding, RefusedError
from .diff import Diff, diff_of
from .settings import GrantSettings


@dataclass(frozen=True, slots=True)
class PlannedAccount:
    """A user of the database, and what to change about it.

    server: how to reach it, from the settings, the URL and the environment: host, port, socket, name, tls
    valid_until: the day on which the password expires, in ISO 8601 (PostgreSQL)
    new_password: whether a password must be generated
    privileges: table → privileges, for community.mysql.mysql_user
    statements: the missing GRANT and REVOKE statements, for community.postgresql.postgresql_query
    hints: lines for the server's pg_hba.conf
    """

    engine: str
    server: Mapping[str, Any]
    user: str
    host: str | None
    exists: bool
    tls: bool
    connections: int
    expire_days: int | None
    valid_until: str | None
    new_password: bool
    privileges: Mapping[str, str] = field(default_factory=dict)
    statements: Sequence[str] = ()
    hints: Sequence[str] = ()


class PlannedUser(NamedTuple):
    """The database user, and its changes."""

    account: PlannedAccount
    diffs: list[Diff]


def plan_account(settings: Settings, grants: GrantSettings) -> PlannedUser:
    """Compare the user with what is needed. Writes nothing. Raises RefusedError with every finding."""
    try:
        with connect_as_admin(grants) as database:
            return _plan_account(database, settings, grants)
    except DatabaseError as error:
        finding = Finding(
            "rehome_admin_database.user",
            grants.admin_database.user,
            f"cannot read the users and their rights: {error}",
            "Use an administrator who may create users and grant rights on these tables",
        )
        raise RefusedError([finding]) from error


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
    )


def _plan_account(database: Dialect, settings: Settings, grants: GrantSettings) -> PlannedUser:
    findings: list[Finding] = []
    user, is_postgresql = settings.database.user or "", settings.database.engine == "postgresql"
    if is_postgresql:
        current = postgresql.read_account(database, user, settings.journal_schema)
    else:
        current = mysql.read_account(database, user, grants.host, settings.journal_schema)
    if current and current.other_rights:
        findings.append(_extra_rights(user, current.other_rights, grants))
    if user == grants.admin_database.user:
        findings.append(_extra_rights(user, ["everything that rehome_admin_database.user needs"], grants))
    needed = _needed_rights(database, settings, findings) if grants.state == "present" else set[Right]()
    if current and grants.state == "present":
        findings += _unknown_password(settings, grants)
    wanted = Account(
        user=user,
        host=None if is_postgresql else grants.host,
        tls=None if is_postgresql else grants.tls,
        connections=grants.connections,
        expire_days=None if is_postgresql else grants.expire_days,
        valid_until=_valid_until(grants, current) if is_postgresql else None,
        rights=frozenset(needed),
    )
    planned = PlannedAccount(
        engine=settings.database.engine,
        server=_server(grants.admin_database),
        user=user,
        host=wanted.host,
        exists=current is not None,
        tls=grants.tls,
        connections=grants.connections,
        expire_days=wanted.expire_days,
        valid_until=wanted.valid_until,
        # an existing user's password is known, was handed over, or is refused above
        new_password=grants.state == "present" and (grants.rotate or not (current or settings.database.password)),
    )
    name = settings.database.name or ""
    if is_postgresql:
        held = current.rights if current else frozenset[Right]()
        missing = postgresql.not_held(database, user, needed)
        wanted = replace(wanted, rights=frozenset((held & needed) | missing))
        before = postgresql_statements(current, name) if current else []
        after = postgresql_statements(wanted, name)
        statements = [
            *postgresql_changes("REVOKE", held - needed, user, name),
            *postgresql_changes("GRANT", missing, user, name),
        ]
        planned = replace(planned, statements=statements, hints=_pg_hba(settings.database, grants))
    else:
        findings += _unsupported_names(needed)
        before = mysql_statements(current) if current else []
        after = mysql_statements(wanted)
        privileges = mysql_privileges(needed).items()
        planned = replace(planned, privileges={f"{schema}.{table}": text for (schema, table), text in privileges})
    if grants.state == "absent":
        after = []
    if findings:
        raise RefusedError(findings)
    changed = before != after or (planned.new_password and grants.rotate)
    diffs = [diff_of(f"database user {user}", as_script(before), as_script(after))] if changed else []
    return PlannedUser(planned, diffs)


def _server(admin: Database) -> dict[str, Any]:
    tls = admin.tls
    return {
        "host": admin.host or "localhost",
        "port": admin.port,
        "socket": admin.socket,
        "name": admin.name,
        "tls": {"verify": tls.verify, "ca": tls.ca, "cert": tls.cert, "key": tls.key} if tls.enabled else None,
    }


def _needed_rights(database: Dialect, settings: Settings, findings: list[Finding]) -> set[Right]:
    needed = rights_on_journal(settings.journal_schema)
    is_postgresql = settings.database.engine == "postgresql"
    if is_postgresql:
        needed |= {Right("CONNECT"), Right("USAGE", settings.journal_schema)}
    for position, reference in enumerate(settings.references):
        try:
            facts = facts_for_rewrite(database.describe(reference.table, reference.column), settings)
        except (UnknownTableError, UnknownColumnError, UnusableTableError) as error:
            findings.append(
                Finding(f"rehome_references[{position}]", reference.name, str(error), "Correct it in rehome_references")
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
    return needed


def _extra_rights(user: str, beyond: Iterable[str], grants: GrantSettings) -> Finding:
    action = "revoke" if grants.state == "present" else "drop with it"
    return Finding(
        "rehome_database.user",
        user,
        f"exists and has more than a migration needs, which grants would {action}: {', '.join(beyond)}",
        "Name a user that only Rehome uses, or revoke that yourself",
    )


def _unknown_password(settings: Settings, grants: GrantSettings) -> list[Finding]:
    if settings.database.password or grants.rotate or grants.hand_over:
        return []
    return [
        Finding(
            "rehome_grants_secrets_file",
            grants.secrets_file,
            f"does not hold the password of database user {settings.database.user}, who exists",
            "Bring that file back, or run with -e rehome_grants_rotate=true, which sets a new password",
        )
    ]


def _unsupported_names(rights: Iterable[Right]) -> list[Finding]:
    return [
        Finding(
            "rehome_grants_database",
            "true",
            f"the name {name} has characters that community.mysql.mysql_user misreads",
            "Grant these rights by hand, as --check --diff shows them, and set it to false",
        )
        for name in unsupported_names(rights)
    ]


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
