"""The session is ours: the variables that change what a statement of ours reads or does, set on each new connection.

Administrators set guards and defaults for a whole server, a database or a user; proxies and `init_connect` do, too.
Each engine lists the variables that matter in its `session.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from ...codes import Code
from ...config.settings import Database
from ...errors import Finding, RefusedError
from ..dialect import ConnectionLostError, DatabaseError


class Variable(NamedTuple):
    """A variable of the session. Both texts are for the operator.

    value: what it must be, as the server shows it
    otherwise: what another value would do, as a clause (`it refuses …`)
    """

    value: str
    otherwise: str


def prepare_session(
    settings: Database,
    wanted: Mapping[str, Variable],
    read: Callable[[Collection[str]], Mapping[str, str]],
    assign: Callable[[Mapping[str, str]], object],
) -> None:
    """Set the variables that differ from `wanted`, and read them back: a proxy may drop what it is told to set.

    read: returns the values of these variables in this session, without those that this server does not know
    assign: sets variables in this session
    Raises RefusedError, naming each variable that keeps another value, and DatabaseError.
    """
    differing = _differing(wanted, read(wanted))
    if not differing:
        return
    refusals: dict[str, str] = {}
    try:
        assign(differing)
    except ConnectionLostError:
        raise
    except DatabaseError:
        # one that may not be set must not keep the others from being set
        for name, value in differing.items():
            try:
                assign({name: value})
            except DatabaseError as error:
                refusals[name] = str(error)
    found = read(differing)
    if kept := _differing({name: wanted[name] for name in differing}, found):
        raise RefusedError([_kept(settings, name, found[name], wanted[name], refusals.get(name, "")) for name in kept])


def _differing(wanted: Mapping[str, Variable], found: Mapping[str, str]) -> dict[str, str]:
    return {
        name: variable.value
        for name, variable in wanted.items()
        if name in found and not _same(found[name], variable.value)
    }


def _same(found: str, wanted: str) -> bool:
    """Compare names of modes in any case, and numbers in any form (`60` and `60.000000`)."""
    if found.upper() == wanted.upper():
        return True
    try:
        return float(found) == float(wanted)
    except ValueError:
        return False


def _kept(settings: Database, name: str, found: str, variable: Variable, refusal: str) -> Finding:
    why = f" ({refusal})" if refusal else ", although it was set: a proxy on the way may drop that"
    return Finding(
        "rehome_database",
        settings.user,
        f"the session variable {name} stays {found or 'empty'}, and Rehome needs {variable.value or 'an empty value'}: "
        f"otherwise {variable.otherwise}{why}",
        f"Let this user set {name}, or reset it where it is set: for the server, the database or the user, in "
        "init_connect or in a proxy",
        Code.SESSION,
    )


def unusable_session(settings: Database, said: str) -> Finding:
    """Return the finding for a session that ends, or refuses its first statements, before its variables are set."""
    return Finding(
        "rehome_database",
        settings.user,
        f"the server accepts the connection, and refuses its first statement ({said})",
        "See what the server's log says, and what stands between: init_connect, a proxy or a connection pooler",
        Code.SESSION,
    )
