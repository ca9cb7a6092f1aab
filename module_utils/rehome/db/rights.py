"""The database rights that a migration needs, and the statements that grant them. No I/O.

Tests against real servers show what suffices: SELECT on the key and the column, and UPDATE on the column, for reading,
locking, explaining and rewriting alike; SELECT and INSERT on the journal, whose entries are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from . import control, journal
from .dialect import TableFacts

_PRIVILEGE_ORDER = "SELECT INSERT UPDATE CREATE REFERENCES TRIGGER"


class Right(NamedTuple):
    """One privilege: on a column, a table (no column), a schema (no table), or the database (no schema)."""

    privilege: str
    schema: str = ""
    table: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A database user as it is, or as it should be.

    host: the hosts that it may connect from (MariaDB and MySQL)
    tls: whether it must connect by TLS; None if the server configures that elsewhere (PostgreSQL: pg_hba.conf)
    connections: how many it may have at once
    expire_days: the lifetime of its password (MariaDB and MySQL)
    valid_until: the day on which its password expires (PostgreSQL)
    may_log_in: whether it is a user and not a mere role (PostgreSQL)
    rights: those that were granted to it by name
    other_rights: what else it may do, in words: rights that `grants` neither grants nor revokes
    """

    user: str
    host: str | None
    tls: bool | None
    connections: int
    expire_days: int | None
    valid_until: str | None = None
    may_log_in: bool = True
    rights: frozenset[Right] = frozenset()
    other_rights: tuple[str, ...] = ()


def rights_on_table(schema: str, table: str, facts: TableFacts, in_condition: Iterable[str] = ()) -> set[Right]:
    """Return the rights to rewrite a table: to read the key, and to read and write the column and `keep_columns`.

    in_condition: the columns that the reference's `where` names
    """
    written = (facts.column, *facts.keep_columns)
    read = (*(part.name for part in facts.key), *written, *in_condition)
    return {Right("SELECT", schema, table, name) for name in read} | {
        Right("UPDATE", schema, table, name) for name in written
    }


def columns_named(condition: str | None, columns: Iterable[str]) -> list[str]:
    """Return the columns of a table that a reference's `where` names, and so must be able to read.

    Text in quotes may be a value or a name, so it counts too: rather one column too many than one too few.
    """
    words = {word.lower() for word in re.findall(r"\w+", condition or "")}
    quoted = [part.lower() for part in re.findall(r"[`\"]([^`\"]+)[`\"]", condition or "")]
    return [name for name in columns if name.lower() in words or name.lower() in quoted]


def rights_on_journal(schema: str) -> set[Right]:
    """Return the rights to write and read the journal, and to read the control row and to say in it how far a run is.

    The tables are created beforehand, so nobody needs CREATE.
    """
    entries = {Right(privilege, schema, journal.TABLE) for privilege in ("SELECT", "INSERT")}
    return entries | {Right(privilege, schema, control.TABLE) for privilege in ("SELECT", "INSERT", "UPDATE")}


def is_managed(right: Right, journal_schema: str) -> bool:
    """Return whether `grants` manages a right: on columns, on the journal, and to reach the database and schemas."""
    if right.schema == journal_schema and right.table in ("", journal.TABLE, control.TABLE):
        return right.privilege in ("SELECT", "INSERT", "USAGE", "CREATE") or right.table == control.TABLE
    return bool(right.column) or right.privilege in ("USAGE", "CONNECT")


def mysql_statements(account: Account) -> list[str]:
    """Return the statements that would create this account in MariaDB and MySQL, without its password."""
    return [*mysql_changes(None, account), *_other_rights(account)]


def mysql_changes(current: Account | None, wanted: Account, identified: str = "") -> list[str]:
    """Return the statements that make the account as it should be, in MariaDB and MySQL.

    current: the account as it is; None if there is none
    identified: the clause that sets its password, with a space before it; empty if the password stays
    """
    who = mysql_account(wanted)
    statements = []
    if current is None or identified or _mysql_options(current) != _mysql_options(wanted):
        statements.append(f"{'ALTER' if current else 'CREATE'} USER {who}{identified}{_mysql_options(wanted, current)}")
    held = current.rights if current else frozenset[Right]()
    for verb, preposition, rights in (("REVOKE", "FROM", held - wanted.rights), ("GRANT", "TO", wanted.rights - held)):
        statements += [
            f"{verb} {words} ON {_mysql_name(schema)}.{_mysql_name(table) if table else '*'} {preposition} {who}"
            for (schema, table), words in mysql_privileges(rights).items()
        ]
    return statements


def mysql_account(account: Account) -> str:
    """Return the account's name and hosts in SQL."""
    return f"{_mysql_name(account.user)}@{_mysql_name(account.host or '%')}"


def _mysql_options(account: Account, current: Account | None = None) -> str:
    """Return the options of CREATE USER, or of ALTER USER if `current` has some that are to go."""
    words = " REQUIRE SSL" if account.tls else " REQUIRE NONE" if current and current.tls else ""
    words += f" WITH MAX_USER_CONNECTIONS {account.connections}"
    if account.expire_days:
        return f"{words} PASSWORD EXPIRE INTERVAL {account.expire_days} DAY"
    return f"{words} PASSWORD EXPIRE DEFAULT" if current and current.expire_days else words


def mysql_privileges(rights: Iterable[Right]) -> dict[tuple[str, str], str]:
    """Return (schema, table) → its privileges, spelt and ordered as in SHOW GRANTS."""
    privileges: dict[tuple[str, str], str] = {}
    tables = sorted({(right.schema, right.table) for right in rights})
    for schema, table in tables:
        on_table = [right for right in rights if (right.schema, right.table) == (schema, table)]
        words = []
        for privilege in sorted({right.privilege for right in on_table}, key=_PRIVILEGE_ORDER.find):
            columns = sorted(right.column for right in on_table if right.privilege == privilege)
            names = ", ".join(_mysql_name(column) for column in columns if column)
            words.append(f"{privilege} ({names})" if names else privilege)
        privileges[schema, table] = ", ".join(words)
    return privileges


def postgresql_statements(account: Account, database: str) -> list[str]:
    """Return the statements that would create this account in PostgreSQL, without its password."""
    role = postgresql_role(None, account)
    grants = postgresql_changes("GRANT", account.rights, account.user, database)
    return [*role, *grants, *_other_rights(account)]


def postgresql_role(current: Account | None, wanted: Account, identified: str = "") -> list[str]:
    """Return the statement that makes the role as it should be, apart from its rights; none if it is.

    current, identified: as for `mysql_changes`
    """
    if current and not identified and _postgresql_options(current) == _postgresql_options(wanted):
        return []
    ends = current and current.valid_until and not wanted.valid_until
    options = _postgresql_options(wanted) + (" VALID UNTIL 'infinity'" if ends else "")
    return [f"{'ALTER' if current else 'CREATE'} ROLE {postgresql_name(wanted.user)}{options}{identified}"]


def _postgresql_options(account: Account) -> str:
    words = f" {'LOGIN' if account.may_log_in else 'NOLOGIN'} CONNECTION LIMIT {account.connections}"
    return f"{words} VALID UNTIL '{account.valid_until}'" if account.valid_until else words


def _other_rights(account: Account) -> list[str]:
    return [f"-- and also: {text}" for text in account.other_rights]


def postgresql_changes(
    verb: Literal["GRANT", "REVOKE"], rights: Iterable[Right], user: str, database: str
) -> list[str]:
    """Return GRANT or REVOKE statements for `rights`, one per table, schema or database."""
    preposition = "TO" if verb == "GRANT" else "FROM"
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for right in sorted(rights):
        groups.setdefault((right.schema, right.table), {}).setdefault(right.privilege, []).append(right.column)
    statements = []
    for (schema, table), privileges in sorted(groups.items()):
        words = ", ".join(
            f"{privilege} ({', '.join(postgresql_name(name) for name in columns)})" if any(columns) else privilege
            for privilege, columns in privileges.items()
        )
        place, name = _postgresql_object(schema, table, database), postgresql_name(user)
        statements.append(f"{verb} {words} ON {place} {preposition} {name}")
    return statements


def _postgresql_object(schema: str, table: str, database: str) -> str:
    if table:
        return f"TABLE {postgresql_name(schema)}.{postgresql_name(table)}"
    return f"SCHEMA {postgresql_name(schema)}" if schema else f"DATABASE {postgresql_name(database)}"


def _mysql_name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def postgresql_name(name: str) -> str:
    """Return `name` as a SQL identifier of PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def as_script(statements: Sequence[str]) -> str:
    """Return the statements as one text, for a diff."""
    return "".join(f"{statement};\n" for statement in statements)
