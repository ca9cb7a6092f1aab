"""What the database has to be told about its user: compared with what it says of it, and shown, before."""

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
    columns_named,
    listed,
    mysql_privileges,
    mysql_statements,
    postgresql_changes,
    postgresql_statements,
    rights_on_journal,
    rights_on_table,
    unspeakable,
)
from ..errors import Finding, RefusedError
from .diff import Diff, diff_of
from .settings import GrantSettings


@dataclass(frozen=True, slots=True)
class PlannedAccount:
    """A user of the database.

    server: where it is, as the settings, the URL and the environment say together: host, port, socket, name, and what
        a TLS connection takes
    new_password: whether it needs one that is not known yet
    privileges: table → privileges, for community.mysql.mysql_user
    statements: for community.postgresql.postgresql_query, those that are needed still
    hints: lines for the server's own configuration
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
    """Who is to get what of the database."""

    account: PlannedAccount
    diffs: list[Diff]


def plan_account(settings: Settings, grants: GrantSettings) -> PlannedUser:
    """Compare what is there with what is wanted. Writes nothing. Raises RefusedError with every finding."""
    try:
        with connect_as_admin(grants) as database:
            return _plan_account(database, settings, grants)
    except DatabaseError as error:
        finding = Finding(
            "rehome_admin_database.user",
            grants.admin_database.user,
            f"may not see what users there are: {error}",
            "Use an administrator who may create users and grant rights on these tables",
        )
        raise RefusedError([finding]) from error


@contextmanager
def connect_as_admin(grants: GrantSettings) -> Iterator[Dialect]:
    """A connection for the length of the block. Raises RefusedError, naming the administrator's settings."""
    with ExitStack() as stack:
        try:
            database = stack.enter_context(connect(grants.admin_database))
        except RefusedError as refusal:
            raise RefusedError([_as_admin(finding) for finding in refusal.findings]) from None
        yield database


def _as_admin(finding: Finding) -> Finding:
    """What is wrong with the connection is wrong with the administrator's."""
    part = finding.setting.removeprefix("rehome_database.")
    if part not in ("user", "password", "host", "port", "socket") or part == finding.setting:
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
        there = postgresql.read_account(database, user, settings.journal_schema)
    else:
        there = mysql.read_account(database, user, grants.host, settings.journal_schema)
    if there and there.beyond:
        findings.append(_not_ours(user, there.beyond, grants))
    if user == grants.admin_database.user:
        findings.append(_not_ours(user, ["everything that rehome_admin_database.user needs"], grants))
    wanted = _wanted_rights(database, settings, findings) if grants.state == "present" else set[Right]()
    if there is not None and grants.state == "present":
        findings += _unknown_password(settings, grants)
    account = Account(
        user=user,
        host=None if is_postgresql else grants.host,
        tls=None if is_postgresql else grants.tls,
        connections=grants.connections,
        expire_days=None if is_postgresql else grants.expire_days,
        valid_until=_valid_until(grants, there) if is_postgresql else None,
        rights=frozenset(wanted),
    )
    planned = PlannedAccount(
        engine=settings.database.engine,
        server=_server(grants.admin_database),
        user=user,
        host=account.host,
        exists=there is not None,
        tls=grants.tls,
        connections=grants.connections,
        expire_days=account.expire_days,
        valid_until=account.valid_until,
        # an unknown one of a user who is there is refused above, or was handed over
        new_password=grants.state == "present"
        and (grants.rotate or (there is None and not settings.database.password)),
    )
    name = settings.database.name or ""
    if is_postgresql:
        has = there.rights if there else frozenset[Right]()
        missing = postgresql.not_held(database, user, wanted)
        account = replace(account, rights=frozenset((has & wanted) | missing))
        before = postgresql_statements(there, name) if there else []
        after = postgresql_statements(account, name)
        statements = [
            *postgresql_changes("REVOKE", has - wanted, user, name),
            *postgresql_changes("GRANT", missing, user, name),
        ]
        planned = replace(planned, statements=statements, hints=_pg_hba(settings.database, grants))
    else:
        findings += _cannot_be_spelt(wanted)
        before = mysql_statements(there) if there else []
        after = mysql_statements(account)
        words = mysql_privileges(wanted)
        planned = replace(planned, privileges={f"{schema}.{table}": given for (schema, table), given in words.items()})
    if grants.state == "absent":
        after = []
    changed = before != after or (planned.new_password and grants.rotate)
    if findings:
        raise RefusedError(findings)
    diffs = [diff_of(f"database user {user}", listed(before), listed(after))] if changed else []
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


def _wanted_rights(database: Dialect, settings: Settings, findings: list[Finding]) -> set[Right]:
    wanted = rights_on_journal(settings.journal_schema)
    is_postgresql = settings.database.engine == "postgresql"
    if is_postgresql:
        wanted |= {Right("CONNECT"), Right("USAGE", settings.journal_schema)}
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
            wanted.add(Right("USAGE", schema))
        columns = database.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            (schema, table),
        )
        in_condition = columns_named(reference.where, [str(name) for (name,) in columns])
        wanted |= rights_on_table(schema, table, facts, in_condition)
    return wanted


def _not_ours(user: str, beyond: Iterable[str], grants: GrantSettings) -> Finding:
    doing = "take away" if grants.state == "present" else "drop with it"
    return Finding(
        "rehome_database.user",
        user,
        f"is there and has more than a migration needs, which grants would {doing}: {', '.join(beyond)}",
        "Name a user that only Rehome uses, or take that away from it yourself",
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


def _cannot_be_spelt(rights: Iterable[Right]) -> list[Finding]:
    return [
        Finding(
            "rehome_grants_database",
            "true",
            f"the name {name} has characters that community.mysql.mysql_user takes for others",
            "Grant these rights by hand, as --check --diff shows them, and set it to false",
        )
        for name in unspeakable(rights)
    ]


def _valid_until(grants: GrantSettings, there: Account | None) -> str | None:
    """A password's last day is counted from its making."""
    if there and there.valid_until and not grants.rotate:
        return there.valid_until
    if grants.expire_days is None:
        return None
    return (datetime.now(UTC) + timedelta(days=grants.expire_days)).date().isoformat()


def _pg_hba(database: Database, grants: GrantSettings) -> list[str]:
    """What no role can say for itself, as lines of the server's pg_hba.conf."""
    if not grants.tls and grants.host == "%":
        return []
    kind, host = ("hostssl" if grants.tls else "host"), ("all" if grants.host == "%" else grants.host)
    return [f"{kind} {database.name} {database.user} {host} scram-sha-256"]
