"""The preflight's checks as facts of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..checks import Check
from .facts import CheckFact, PreflightFacts
from .samples import shown
from .words import STATUSES

_UNKNOWN = "unknown: "


def preflight_facts(checks: Sequence[Check]) -> PreflightFacts:
    """Return what the preflight said: how often each status, and each check that is not `pass`, the gravest first.

    What could not be looked at is `unknown`, and not merely worth knowing.
    """
    facts = [
        CheckFact(
            status=_status(check),
            subject=check.subject,
            name=check.name,
            found=shown(check.found.removeprefix(_UNKNOWN)),
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
    return "unknown" if check.status == "info" and check.found.startswith(_UNKNOWN) else check.status
