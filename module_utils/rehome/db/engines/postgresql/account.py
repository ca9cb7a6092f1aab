"""What a role of PostgreSQL may do in this database, read by an administrator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ... import journal
from ...dialect import Dialect
from ...rights import Account, Right, is_ours

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
"""What was granted to a role by name; what everybody may is not in it."""

ATTRIBUTES: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")


def read_account(database: Dialect, user: str, journal_schema: str) -> Account | None:
    """The role as it is; None where there is none. Rights in other databases cannot be seen from here."""
    found = database.rows(
        f"SELECT oid, rolconnlimit, rolvaliduntil::date::text, {', '.join(ATTRIBUTES)} FROM pg_roles"
        " WHERE rolname = %s",
        (user,),
    )
    if not found:
        return None
    oid, connections, until, *attributes = found[0]
    beyond = [name.removeprefix("rol").upper() for name, has in zip(ATTRIBUTES, attributes, strict=True) if has]
    beyond += [f"the role {role}" for (role,) in database.rows(_ROLES, (oid,))]
    beyond += [f"is the owner of {thing}" for (thing,) in database.rows(_OWNED, (oid, oid, oid))]
    rights = set[Right]()
    for row in database.rows(GRANTED.replace("%(role)s", "%s"), (oid,) * 4):
        right = Right(*row)
        if is_ours(right, journal_schema):
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
        rights=frozenset(rights),
        beyond=tuple(sorted(beyond)),
    )


# pg_monitor only reads; an operator may have given it for the throttle, which sees the lag of standbys by it
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
    """Those of `wanted` that the role, if there is one, has neither by name nor as everybody has them."""
    exists = bool(database.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", (user,)))
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
    # NULL where there is no such object yet
    return database.rows(f"SELECT {test}", (user, *values, right.privilege))[0][0] is True


def place_of(database: Dialect, table: str) -> tuple[str, str]:
    """Schema and name of a table as the references write it. The table is known to be there."""
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split(".", 1))
    rows = database.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s)",
        (quoted,),
    )
    return rows[0][0], rows[0][1]


def count_entries(database: Dialect, schema: str) -> int:
    """How much the journal holds."""
    return int(database.rows(f"SELECT count(*) FROM {_journal(schema)}")[0][0])


def drop_journal(database: Dialect, schema: str) -> None:
    """Drop the journal, and its schema if nothing else is in it."""
    database.rows(f"DROP TABLE {_journal(schema)}")
    others = database.rows(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s", (schema,)
    )
    if not others[0][0]:
        database.rows(f"DROP SCHEMA {_quoted(schema)}")


def _journal(schema: str) -> str:
    return f"{_quoted(schema)}.{_quoted(journal.TABLE)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'
