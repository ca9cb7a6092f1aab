"""The preflight's checks as facts of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..checks import UNKNOWN, Check
from .commands import command
from .facts import CheckFact, Origin, PreflightFacts
from .samples import shown
from .words import STATUSES


def preflight_facts(checks: Sequence[Check]) -> PreflightFacts:
    """Return what the preflight said: how often each status, and each check that is not `pass`, the gravest first.

    What could not be looked at is `unknown`, and not merely worth knowing.
    """
    facts = [
        CheckFact(
            status=_status(check),
            subject=check.subject,
            name=check.name,
            found=shown(check.found.removeprefix(UNKNOWN)),
            advice=shown(check.advice),
            code=check.trouble and str(check.trouble),
        )
        for check in checks
    ]
    others = [fact for fact in facts if fact["status"] != "pass"]
    servers = [check.found for check in checks if (check.subject, check.name) == ("database", "version")]
    return PreflightFacts(
        counts=dict(Counter(fact["status"] for fact in facts)),
        checks=sorted(others, key=lambda fact: STATUSES.index(fact["status"])),
        server=servers[0].partition(";")[0] if servers else None,
    )


def _status(check: Check) -> str:
    return "unknown" if check.status == "info" and check.found.startswith(UNKNOWN) else check.status


def how_to_see_all(origin: Origin, *, in_job: bool) -> str:
    """Return the command that shows every check: that of make, if it is enough.

    origin: how the run was started
    in_job: whether AWX has started it, where nobody types a command
    """
    env, arguments = origin.get("env", ""), origin.get("arguments", [])
    if in_job or not env:
        return "playbooks/preflight.yml shows all"
    if arguments in (["-e", f"env={env}"], ["-e", f"env={env}", "-i", "inventory"]):
        return f"make preflight ENV={env} shows all"
    return f"{command('preflight', origin)} shows all"
