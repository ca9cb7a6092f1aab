"""Read the rights of a user of MariaDB or MySQL, and prepare changes to it, as an administrator."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ....config.settings import Database
from ....errors import RefusedError
from ...dialect import Dialect, TableFacts
from ...rights import Account, Right, is_managed
from ..refused_connection import NOT_LET_IN
from .dialect import MySQL
from .grants import holds_on_schema
from .passwords import CACHING_SHA2, NATIVE, is_stored_form_of, stored_form


def read_account(database: Dialect, user: str, host: str, journal_schema: str) -> Account | None:
    """Return the account; None if it does not exist. Raises DatabaseError if the administrator may not read it."""
    found = database.run(
        "SELECT ssl_type, max_user_connections FROM mysql.user WHERE user = %s AND host = %s", (user, host)
    )
    if not found:
        return None
    ssl_type, connections = found[0]
    ours, beyond = set[Right](), list[str]()
    for right in _rights(database, user, host):
        if is_managed(right, journal_schema) or _shows(right):
            ours.add(right)
        else:
            beyond.append(_words(right))
    return Account(
        user=user,
        host=host,
        tls=bool(ssl_type),
        connections=int(connections),
        expire_days=_expire_days(database, user, host),
        rights=frozenset(ours),
        other_rights=tuple(sorted([*beyond, *_roles(database, user, host)])),
    )


def _shows(right: Right) -> bool:
    """Return whether it is a right of the kind that `rights_to_see` gives."""
    on_schema = bool(right.schema) and not right.table
    return (right.privilege == "REFERENCES" and on_schema) or (right.privilege == "TRIGGER" and bool(right.table))


def rights_to_see(database: Dialect, schema: str, facts: TableFacts) -> set[Right]:
    """Return the rights that show the user all definitions of the database, and the triggers of the table.

    MariaDB shows the names of triggers to everyone who may update the table, so that TRIGGER is needed for their bodies
    only. facts: as the administrator sees the table
    """
    # `_` is a wildcard in the name of a database, unless MySQL's partial revokes switch that off
    revokes = dict(database.run("SHOW GLOBAL VARIABLES LIKE 'partial_revokes'")).get("partial_revokes") == "ON"
    needed = {Right("REFERENCES", schema if revokes else re.sub(r"([_%\\])", r"\\\1", schema))}
    if facts.triggers or not _is_mariadb(database):
        needed.add(Right("TRIGGER", schema, facts.table))
    return needed


def _rights(database: Dialect, user: str, host: str) -> list[Right]:
    """Return all granted rights but USAGE, which means none."""
    # information_schema writes names like this, without escaping quotes in them
    grantee = f"'{user}'@'{host}'"
    columns = (
        "SELECT privilege_type, table_schema, table_name, column_name FROM information_schema.column_privileges",
        "SELECT privilege_type, table_schema, table_name, '' FROM information_schema.table_privileges",
        "SELECT privilege_type, table_schema, '', '' FROM information_schema.schema_privileges",
        "SELECT privilege_type, '', '', '' FROM information_schema.user_privileges",
    )
    rows = [row for statement in columns for row in database.run(f"{statement} WHERE grantee = %s", (grantee,))]
    return [Right(*row) for row in rows if row[0] != "USAGE"]


def _roles(database: Dialect, user: str, host: str) -> list[str]:
    if not _is_mariadb(database):
        statement = "SELECT from_user FROM mysql.role_edges WHERE to_user = %s AND to_host = %s"
    else:
        statement = "SELECT role FROM mysql.roles_mapping WHERE user = %s AND host = %s"
    return [f"the role {role}" for (role,) in database.run(statement, (user, host))]


def _expire_days(database: Dialect, user: str, host: str) -> int | None:
    """Return after how many days the password expires. In MariaDB's JSON, -1 is the server's default.

    See "mysql.global_priv Table" in its manual.
    """
    where = "WHERE user = %s AND host = %s"
    if _is_mariadb(database):
        lifetime = f"SELECT JSON_VALUE(priv, '$.password_lifetime') FROM mysql.global_priv {where}"
    else:
        lifetime = f"SELECT password_lifetime FROM mysql.user {where}"
    days = int(database.run(lifetime, (user, host))[0][0] or 0)
    return days if days > 0 else None


def password_fits(database: Dialect, settings: Database, host: str) -> bool | None:
    """Return whether the settings' password is that of their user; None if that cannot be told.

    By what the server keeps of it, or by a login where the account's plugin keeps it in another form.
    host: the hosts that the account is for
    """
    user, password = settings.user or "", settings.password or ""
    found = database.run(
        "SELECT plugin, authentication_string FROM mysql.user WHERE user = %s AND host = %s", (user, host)
    )
    if not found:
        return None
    fits = is_stored_form_of(str(found[0][0]), str(found[0][1] or ""), password)
    return _logs_in(settings, host) if fits is None else fits


def _logs_in(settings: Database, host: str) -> bool | None:
    try:
        MySQL(settings).close()
    except RefusedError as refusal:
        refused = any(NOT_LET_IN in finding.problem for finding in refusal.findings)
        # an account for some hosts may not be for this one
        return False if refused and host == "%" else None
    return True


def identified(database: Dialect, password: str) -> str:
    """Return the clause of CREATE and ALTER USER that sets the password, in the form that the server keeps."""
    if _is_mariadb(database):
        return f" IDENTIFIED VIA {NATIVE} USING '{stored_form(NATIVE, password)}'"
    return f" IDENTIFIED WITH {CACHING_SHA2} AS '{stored_form(CACHING_SHA2, password)}'"


GRANT_OPTION: Final = "the right to grant them (WITH GRANT OPTION)"


def lacks_as_administrator(database: Dialect, schemas: Iterable[str]) -> list[str]:
    """Return what SHOW GRANTS does not list for this user and that creating a user and granting it rights needs.

    Rights of roles, and on tables, are not looked for: what is returned may be there in another way.
    """
    lines = [str(line) for (line,) in database.run("SHOW GRANTS")]
    granting = [line for line in lines if line.endswith("WITH GRANT OPTION")]
    lacks = [] if holds_on_schema(lines, "CREATE USER", "mysql") else ["CREATE USER"]
    return lacks + [
        f"{right} on {schema}.*, with {GRANT_OPTION}"
        for schema in schemas
        for right in ("SELECT", "UPDATE")
        if not holds_on_schema(granting, right, schema)
    ]


def _is_mariadb(database: Dialect) -> bool:
    return "mariadb" in str(database.run("SELECT VERSION()")[0][0]).lower()


def _words(right: Right) -> str:
    return f"{right.privilege} ON {right.schema or '*'}.{right.table or '*'}"
