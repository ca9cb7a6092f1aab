"""The card that the verb `grants` ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..config.settings import Settings
from ..report.facts import Origin
from ..report.lines import many
from ..report.short_card import short_card
from .settings import GrantSettings


def grants_card(
    settings: Settings, origin: Origin, grants: GrantSettings, plan: Mapping[str, Any], *, dry_run: bool
) -> list[str]:
    """Return the card of a run that came to its end.

    plan: as `planning.make_plan` returns it
    """
    changes = plan["counts"]["changes"]
    who = [principal["name"] for principal in plan["principals"]]
    who += [f"the database user {plan['account']['user']}"] if plan["account"] else []
    named = ", ".join(who) or "nobody"
    present = grants.state == "present"
    sentence = f"{named}: exactly what migrate and retire need" if present else f"{named}: taken away"
    done = [
        f"{many(changes, 'change')} {'would be made' if dry_run else 'made'}" if changes else "no change was needed"
    ]
    following = ("preflight",) if present else ()
    return short_card(
        settings,
        "grants",
        None if dry_run else sentence,
        [*done, *([named] if dry_run else [])],
        [] if dry_run else [*_for_humans(grants, plan)],
        origin,
        ("grants",) if dry_run else following,
    )


def _for_humans(grants: GrantSettings, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is left to do with what was made."""
    if grants.state == "absent":
        return
    if grants.principals == "document":
        yield "the policies are files only: install them in IAM"
    new_keys = any(principal["new_key"] for principal in plan["principals"])
    if new_keys or (plan["account"] or {}).get("new_password"):
        place = "with your task file" if grants.hand_over else f"in {grants.secrets_file}, encrypted"
        yield f"new secrets are {place}: keep the vault's password"
    if plan["account"] and plan["account"]["hints"]:
        yield "the server's configuration wants the lines shown above"
