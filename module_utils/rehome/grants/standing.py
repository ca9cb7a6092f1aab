"""What exists now of what grants makes: told when it breaks off in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..codes import unmarked
from ..config.settings import Settings
from ..errors import RehomeError
from .account import connect_as_admin, read_user
from .current_access import read_principal
from .settings import GrantSettings


def what_stands(settings: Settings, grants: GrantSettings, principals: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return in words what exists of the principals, of the database user and of the journal. Writes nothing.

    What cannot be read is said to be unknown. principals: as `planning.make_plan` returns them
    """
    found = []
    if grants.principals in ("user", "role"):
        found += [_principal(grants, one) for one in principals]
    if grants.database:
        found += _database(settings, grants)
    return [words for words in found if words]


def _principal(grants: GrantSettings, principal: Mapping[str, Any]) -> str:
    name = f"IAM {grants.kind} {principal['name']}"
    try:
        current = read_principal(grants.admin_of(principal["admin"]), grants.kind, principal["name"])
    except RehomeError as error:
        return f"{name}: unknown ({unmarked(str(error))})"
    if current.arn is None:
        return f"the policy of {name}" if current.policies else ""
    keys = f"{len(current.keys)} access key{'' if len(current.keys) == 1 else 's'}" if current.keys else ""
    parts = ", ".join(filter(None, ["its policy" if current.policy else "", keys]))
    return f"{name} with {parts}" if parts else name


def _database(settings: Settings, grants: GrantSettings) -> list[str]:
    user = f"database user {settings.database.user}"
    try:
        with connect_as_admin(grants) as database:
            current = read_user(database, settings, grants)
            journal = database.has_journal(settings.journal_schema)
    except RehomeError as error:
        return [f"{user} and the journal: unknown ({unmarked(str(error))})"]
    rights = f"{len(current.rights)} rights" if current and current.rights else "no rights yet"
    return [f"{user} with {rights}" if current else "", f"the journal in {settings.journal_schema}" if journal else ""]
