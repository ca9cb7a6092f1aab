"""The database rights that a migration needs, and the statements that grant them. No I/O.

Tests against real servers show what suffices: SELECT on the key and the column, and UPDATE on the column, for reading,
locking, explaining and rewriting alike; SELECT and INSERT on the journal, whose entries are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from . import journal
from .dialect import TableFacts

_PRIVILEGE_ORDER = "SELECT INSERT UPDATE CREATE"


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
    rights: those that were granted to it by name
    other_rights: what else it may do, in words: rights that `grants` neither grants nor revokes
    """

    user: str
    host: str | None
    tls: bool | None
    connections: int
    expire_days: int | None
    valid_until: str | None = None
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
    """Return the rights to write and read the journal. Its table is created beforehand, so nobody needs CREATE."""
    return {Right(privilege, schema, journal.TABLE) for privilege in ("SELECT", "INSERT")}


def is_managed(right: Right, journal_schema: str) -> bool:
    """Return whether `grants` manages a right: on columns, on the journal, and to reach the database and schemas."""
    if right.schema == journal_schema and right.table in ("", journal.TABLE):
        return right.privilege in ("SELECT", "INSERT", "USAGE", "CREATE")
    return bool(right.column) or right.privilege in ("USAGE", "CONNECT")


def mysql_statements(account: Account) -> list[str]:
    """Return the statements that would create this account in MariaDB and MySQL, without its password."""
    who = f"{_mysql_name(account.user)}@{_mysql_name(account.host or '%')}"
    created = f"CREATE USER {who}{' REQUIRE SSL' if account.tls else ''}"
    created += f" WITH MAX_USER_CONNECTIONS {account.connections}"
    if account.expire_days:
        created += f" PASSWORD EXPIRE INTERVAL {account.expire_days} DAY"
    grants = [
        f"GRANT {words} ON {_mysql_name(schema)}.{_mysql_name(table)} TO {who}"
        for (schema, table), words in mysql_privileges(account.rights).items()
    ]
    return [created, *grants, *_other_rights(account)]


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
    created = f"CREATE ROLE {_postgresql_name(account.user)} LOGIN CONNECTION LIMIT {account.connections}"
    if account.valid_until:
        created += f" VALID UNTIL '{account.valid_until}'"
    grants = postgresql_changes("GRANT", account.rights, account.user, database)
    return [created, *grants, *_other_rights(account)]


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
            f"{privilege} ({', '.join(_postgresql_name(name) for name in columns)})" if any(columns) else privilege
            for privilege, columns in privileges.items()
        )
        place, name = _postgresql_object(schema, table, database), _postgresql_name(user)
        statements.append(f"{verb} {words} ON {place} {preposition} {name}")
    return statements


def _postgresql_object(schema: str, table: str, database: str) -> str:
    if table:
        return f"TABLE {_postgresql_name(schema)}.{_postgresql_name(table)}"
    return f"SCHEMA {_postgresql_name(schema)}" if schema else f"DATABASE {_postgresql_name(database)}"


def unsupported_names(rights: Iterable[Right]) -> list[str]:
    """Return the names that community.mysql.mysql_user cannot take, as it splits them at characters in them."""
    names = {name for right in rights for name in (right.schema, right.table, right.column)}
    return sorted(name for name in names if set(name) & set("/:.,()`*% "))


def _mysql_name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _postgresql_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def as_script(statements: Sequence[str]) -> str:
    """Return the statements as one text, for a diff."""
    return "".join(f"{statement};\n" for statement in statements)
