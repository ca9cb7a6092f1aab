"""Readers of single values: names, numbers, periods and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ..codes import Code
from ..errors import Finding
from .environment_names import ENVIRONMENT_NAMES
from .settings import DIGEST_LENGTH

SHORTEST_BEGINNING = 8
"""Hexadecimal digits by which people name a plan."""

_PERIOD = re.compile(r"(\d+)\s*([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def unset(setting: str, example: str | None = None) -> Finding:
    """Return the finding that a required setting is missing."""
    ways = [f"Set it in group_vars/<env>.yml{f' to {example}' if example else ''}"]
    if setting in ENVIRONMENT_NAMES:
        ways.append(f"or export {ENVIRONMENT_NAMES[setting][0]}")
    return Finding(setting, None, "is not set", " ".join(ways), Code.UNSET)


def at_least(least: int, setting: str, value: int, findings: list[Finding]) -> int:
    """Return `value`, after adding a finding if it is less than `least`."""
    if value < least:
        findings.append(Finding(setting, str(value), "is too small", f"Choose {least} or more", Code.UNUSABLE_VALUE))
    return value


def at_most(most: int, setting: str, value: int, findings: list[Finding]) -> int:
    """Return `value`, after adding a finding if it is more than `most`."""
    if value > most:
        findings.append(Finding(setting, str(value), "is too large", f"Choose {most} or less", Code.UNUSABLE_VALUE))
    return value


def read_name(name: str | None, findings: list[Finding]) -> str:
    """Read `rehome_name`."""
    if not name:
        findings.append(unset("rehome_name", "a short name for this migration, such as avatars"))
    elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        problem = "names a folder and the journal's entries, so it must be plain"
        way_out = "Use at most 64 letters, digits, dots, dashes and underscores, a letter or digit first"
        findings.append(Finding("rehome_name", name, problem, way_out, Code.UNUSABLE_VALUE))
    return name or ""


def read_approved_plan(given: str | None, findings: list[Finding]) -> str | None:
    """Read `approved_plan`: the digest of a plan, or its beginning; None if it is unset."""
    if not given:
        return None
    digest = given.strip().lower()
    way_out = (
        f"Give the {DIGEST_LENGTH} hexadecimal digits that playbooks/plan.yml shows as `plan`, or at least the first "
        f"{SHORTEST_BEGINNING} of them"
    )
    if not re.fullmatch(rf"[0-9a-f]{{1,{DIGEST_LENGTH}}}", digest):
        findings.append(Finding("approved_plan", given, "is not the digest of a plan", way_out, Code.PLAN_UNCLEAR))
    elif len(digest) < SHORTEST_BEGINNING:
        findings.append(
            Finding("approved_plan", given, "is too short to tell one plan from another", way_out, Code.PLAN_UNCLEAR)
        )
    return digest


def read_limit(text: str | None, findings: list[Finding]) -> int | None:
    """Read `rehome_limit`: a number of objects, or None for all of them."""
    digits = "" if text is None else str(text).strip()
    if not digits:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", digits):
        way_out = "Choose 1 or more, or leave it unset for all"
        findings.append(Finding("rehome_limit", text, "is no number of objects", way_out, Code.UNUSABLE_VALUE))
        return None
    return at_least(1, "rehome_limit", int(digits), findings)


def read_period(setting: str, text: str, findings: list[Finding]) -> timedelta:
    """Read a number of days, hours or minutes, such as `7d`."""
    period = _PERIOD.fullmatch(text)
    if period is None or len(period[1]) > 6:
        way_out = "Write a number of days, hours or minutes: 7d, 36h, 90m"
        findings.append(Finding(setting, text, "is not a period of time", way_out, Code.UNUSABLE_VALUE))
        return timedelta.max
    return timedelta(**{_UNITS[period[2]]: int(period[1])})


def read_time(setting: str, text: str | None, findings: list[Finding]) -> datetime | None:
    """Read a point in time in ISO 8601 with a time zone. Return it in UTC."""
    if not text:
        return None
    way_out = "Write it as 2026-01-31T14:30:00Z or 2026-01-31T15:30:00+01:00"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        findings.append(Finding(setting, text, "is not a time in ISO 8601", way_out, Code.UNUSABLE_VALUE))
        return None
    if time.tzinfo is None:
        findings.append(
            Finding(
                setting,
                text,
                "has no time zone, so that it could mean several times",
                way_out,
                Code.UNUSABLE_VALUE,
            )
        )
        return None
    return time.astimezone(UTC)
