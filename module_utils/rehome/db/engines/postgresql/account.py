"""Read the rights of a role of PostgreSQL in this database, and prepare changes to it, as an administrator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ....config.settings import Database
from ....errors import RefusedError
from ...dialect import Dialect, MissingRightError
from ...rights import Account, Right, is_managed
from ..refused_connection import NOT_LET_IN
from .dialect import PostgreSQL
from .passwords import is_stored_form_of
from .statements import table_identifier

GRANTED: Final = """
SELECT x.privilege_type, n.nspname, c.relname, a.attname
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL aclexplode(a.attacl) x WHERE x.grantee = %(role)s
UNION ALL
SELECT x.privilege_type, n.nspname, c.relname, ''
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL aclexplode(c.relacl) x WHERE x.grantee = %(role)s
UNION ALL
SELECT x.privilege_type, n.nspname, '', '' FROM pg_namespace n
  CROSS JOIN LATERAL aclexplode(n.nspacl) x WHERE x.grantee = %(role)s
UNION ALL
SELECT x.privilege_type, '', '', '' FROM pg_database d
  CROSS JOIN LATERAL aclexplode(d.datacl) x WHERE x.grantee = %(role)s AND d.datname = current_database()
"""
"""The rights granted to a role by name. Those of PUBLIC are not included."""

ATTRIBUTES: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")


def read_account(database: Dialect, user: str, journal_schema: str) -> Account | None:
    """Return the role; None if it does not exist. Rights in other databases cannot be seen from here."""
    found = database.run(
        f"SELECT oid, rolconnlimit, rolvaliduntil::date::text, rolcanlogin, {', '.join(ATTRIBUTES)} FROM pg_roles"
        " WHERE rolname = %s",
        (user,),
    )
    if not found:
        return None
    oid, connections, until, may_log_in, *attributes = found[0]
    beyond = [name.removeprefix("rol").upper() for name, has in zip(ATTRIBUTES, attributes, strict=True) if has]
    beyond += [f"the role {role}" for (role,) in database.run(_ROLES, (oid,))]
    beyond += [f"is the owner of {thing}" for (thing,) in database.run(_OWNED, (oid, oid, oid))]
    rights = set[Right]()
    for row in database.run(GRANTED.replace("%(role)s", "%s"), (oid,) * 4):
        right = Right(*row)
        if is_managed(right, journal_schema):
            rights.add(right)
        else:
            beyond.append(f"{right.privilege} ON {'.'.join(part for part in right[1:] if part) or 'the database'}")
    return Account(
        user=user,
        host=None,
        tls=None,
        connections=int(connections),
        expire_days=None,
        valid_until=until,
        may_log_in=may_log_in,
        rights=frozenset(rights),
        other_rights=tuple(sorted(beyond)),
    )


# pg_monitor only reads; an operator may have granted it so that the throttle sees the lag of standbys
_ROLES: Final = (
    "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
    " WHERE m.member = %s AND r.rolname <> 'pg_monitor'"
)
_OWNED: Final = (
    "SELECT oid::regclass::text FROM pg_class WHERE relowner = %s AND relkind IN ('r', 'p', 'v', 'm', 'S')"
    " UNION ALL SELECT nspname FROM pg_namespace WHERE nspowner = %s"
    " UNION ALL SELECT datname FROM pg_database WHERE datdba = %s"
)


def not_held(database: Dialect, user: str, wanted: Iterable[Right]) -> set[Right]:
    """Return those of `wanted` that the role lacks, by name and through PUBLIC. All of them if it does not exist."""
    exists = bool(database.run("SELECT 1 FROM pg_roles WHERE rolname = %s", (user,)))
    return {right for right in wanted if not (exists and _holds(database, user, right))}


def _holds(database: Dialect, user: str, right: Right) -> bool:
    oid = "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) = "
    values: tuple[Any, ...]
    if right.column:
        test, values = f"has_column_privilege(%s, {oid}(%s, %s)), %s, %s)", right[1:]
    elif right.table:
        test, values = f"has_table_privilege(%s, {oid}(%s, %s)), %s)", right[1:3]
    elif right.schema:
        test, values = "has_schema_privilege(%s, (SELECT oid FROM pg_namespace WHERE nspname = %s), %s)", right[1:2]
    else:
        test, values = "has_database_privilege(%s, current_database(), %s)", ()
    # NULL if the object does not exist yet
    return database.run(f"SELECT {test}", (user, *values, right.privilege))[0][0] is True


def password_fits(database: Dialect, settings: Database) -> bool | None:
    """Return whether the settings' password is that of their user; None if that cannot be told.

    By what the server keeps of it, which only a superuser may read, or else by a login.
    """
    user, password = settings.user or "", settings.password or ""
    try:
        ((stored,),) = database.run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (user,))
    except MissingRightError:
        return _logs_in(settings)
    return is_stored_form_of(stored, user, password) if stored else False


def _logs_in(settings: Database) -> bool | None:
    try:
        PostgreSQL(settings).close()
    except RefusedError as refusal:
        return False if any(NOT_LET_IN in finding.problem for finding in refusal.findings) else None
    return True


def identified(database: Dialect, user: str, password: str) -> str:
    """Return the clause of CREATE and ALTER ROLE that sets the password, in the form that the server keeps."""
    if not isinstance(database, PostgreSQL):
        raise TypeError(database)
    return f" PASSWORD '{database.stored_form(user, password)}'"


def place_of(database: Dialect, table: str) -> tuple[str, str]:
    """Return schema and name of a table as the references write it. The table must exist."""
    rows = database.run(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s)",
        (table_identifier(table),),
    )
    return rows[0][0], rows[0][1]
