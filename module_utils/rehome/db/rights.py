"""The database rights that a migration calls for, and the statements that grant them. Pure.

What is sufficient was measured: SELECT on the key and the column, UPDATE on the column, for reading, locking,
explaining and rewriting alike; and SELECT and INSERT on the journal, which is never rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from . import journal
from .dialect import TableFacts

_SHOWN_IN_ORDER = "SELECT INSERT UPDATE CREATE"


class Right(NamedTuple):
    """One privilege: on a column, a table (no column), a schema (no table), or the database (no schema)."""

    privilege: str
    schema: str = ""
    table: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A database user as it is, or as it shall be.

    host: the hosts it may come from (MariaDB and MySQL)
    tls: whether it must come by TLS; None where the server decides that elsewhere (PostgreSQL: pg_hba.conf)
    connections: how many at once
    expire_days: how old its password gets (MariaDB and MySQL)
    valid_until: the day on which its password ends (PostgreSQL)
    rights: what was granted to it by name
    beyond: what else it has, in words: what grants neither gives nor takes
    """

    user: str
    host: str | None
    tls: bool | None
    connections: int
    expire_days: int | None
    valid_until: str | None = None
    rights: frozenset[Right] = frozenset()
    beyond: tuple[str, ...] = ()


def rights_on_table(schema: str, table: str, facts: TableFacts, in_condition: Iterable[str] = ()) -> set[Right]:
    """What rewriting takes: to read the key, to read and write the column and those that the server would touch.

    in_condition: the columns that the operator's condition names
    """
    written = (facts.column, *facts.keep_columns)
    read = (*(part.name for part in facts.key), *written, *in_condition)
    return {Right("SELECT", schema, table, name) for name in read} | {
        Right("UPDATE", schema, table, name) for name in written
    }


def columns_named(condition: str | None, columns: Iterable[str]) -> list[str]:
    """Those of a table's columns whose names are words of the operator's condition, which has to read them.

    What stands in quotes may be a value or a name, so it counts too: a column too many is read, never one too few.
    """
    words = {word.lower() for word in re.findall(r"\w+", condition or "")}
    quoted = [part.lower() for part in re.findall(r"[`\"]([^`\"]+)[`\"]", condition or "")]
    return [name for name in columns if name.lower() in words or name.lower() in quoted]


def rights_on_journal(schema: str) -> set[Right]:
    """What recording and undoing take. The table is made beforehand, so that nobody needs CREATE."""
    return {Right(privilege, schema, journal.TABLE) for privilege in ("SELECT", "INSERT")}


def is_ours(right: Right, journal_schema: str) -> bool:
    """Whether a right is of a kind that only grants gives: on columns, on the journal, and to get there."""
    if right.schema == journal_schema and right.table in ("", journal.TABLE):
        return right.privilege in ("SELECT", "INSERT", "USAGE", "CREATE")
    return bool(right.column) or right.privilege in ("USAGE", "CONNECT")


def mysql_statements(account: Account) -> list[str]:
    """What would make this account in MariaDB and MySQL, but for its password."""
    who = f"{_mysql_name(account.user)}@{_mysql_name(account.host or '%')}"
    created = f"CREATE USER {who}{' REQUIRE SSL' if account.tls else ''}"
    created += f" WITH MAX_USER_CONNECTIONS {account.connections}"
    if account.expire_days:
        created += f" PASSWORD EXPIRE INTERVAL {account.expire_days} DAY"
    grants = [
        f"GRANT {words} ON {_mysql_name(schema)}.{_mysql_name(table)} TO {who}"
        for (schema, table), words in mysql_privileges(account.rights).items()
    ]
    return [created, *grants, *(f"-- and beyond: {text}" for text in account.beyond)]


def mysql_privileges(rights: Iterable[Right]) -> dict[tuple[str, str], str]:
    """(Schema, table) → its privileges, spelt and ordered as SHOW GRANTS does."""
    made: dict[tuple[str, str], str] = {}
    tables = sorted({(right.schema, right.table) for right in rights})
    for schema, table in tables:
        here = [right for right in rights if (right.schema, right.table) == (schema, table)]
        words = []
        for privilege in sorted({right.privilege for right in here}, key=_SHOWN_IN_ORDER.find):
            columns = sorted(right.column for right in here if right.privilege == privilege)
            names = ", ".join(_mysql_name(column) for column in columns if column)
            words.append(f"{privilege} ({names})" if names else privilege)
        made[schema, table] = ", ".join(words)
    return made


def postgresql_statements(account: Account, database: str) -> list[str]:
    """What would make this account in PostgreSQL, but for its password."""
    made = f"CREATE ROLE {_postgresql_name(account.user)} LOGIN CONNECTION LIMIT {account.connections}"
    if account.valid_until:
        made += f" VALID UNTIL '{account.valid_until}'"
    grants = postgresql_changes("GRANT", account.rights, account.user, database)
    return [made, *grants, *(f"-- and beyond: {text}" for text in account.beyond)]


def postgresql_changes(doing: str, rights: Iterable[Right], user: str, database: str) -> list[str]:
    """GRANT or REVOKE statements for `rights`, a column's privileges together."""
    join = "TO" if doing == "GRANT" else "FROM"
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for right in sorted(rights):
        groups.setdefault((right.schema, right.table), {}).setdefault(right.privilege, []).append(right.column)
    made = []
    for (schema, table), privileges in sorted(groups.items()):
        words = ", ".join(
            f"{privilege} ({', '.join(_postgresql_name(name) for name in columns)})" if any(columns) else privilege
            for privilege, columns in privileges.items()
        )
        made.append(f"{doing} {words} ON {_postgresql_object(schema, table, database)} {join} {_postgresql_name(user)}")
    return made


def _postgresql_object(schema: str, table: str, database: str) -> str:
    if table:
        return f"TABLE {_postgresql_name(schema)}.{_postgresql_name(table)}"
    return f"SCHEMA {_postgresql_name(schema)}" if schema else f"DATABASE {_postgresql_name(database)}"


def unspeakable(rights: Iterable[Right]) -> list[str]:
    """Names that community.mysql.mysql_user takes apart at characters in them."""
    names = {name for right in rights for name in (right.schema, right.table, right.column)}
    return sorted(name for name in names if set(name) & set("/:.,()`*% "))


def _mysql_name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _postgresql_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def listed(statements: Sequence[str]) -> str:
    """For a diff."""
    return "".join(f"{statement};\n" for statement in statements)
