"""TODO-DOC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from ..errors import Finding
from .environment_names import ENVIRONMENT_NAMES
from .settings import (
    EngineName,
)

CHUNK_MS: Mapping[EngineName, int] = {"mariadb": 75, "mysql": 75, "postgresql": 12, "sqlite": 75}
"""Beside chunks of 75 ms, the p99 of an application's statements on PostgreSQL is four and a half times that alone,
beside 25 ms 3.4 times, 20 ms 2.9, and 15 ms 2.5. Chunks of 12 ms rewrite a twentieth fewer rows a second than
those of 15, and let the slowest statements of the application through sooner."""


SHORTEST_CHUNK_MS, LONGEST_CHUNK_MS = 5, 10_000


MOST_CONNECTIONS = 16


def _unset(setting: str, example: str | None = None) -> Finding:
    ways = [f"Set it in inventory/group_vars/<env>.yml{f' to {example}' if example else ''}"]
    if setting in ENVIRONMENT_NAMES:
        ways.append(f"or export {ENVIRONMENT_NAMES[setting]}")
    return Finding(setting, None, "is not set", " ".join(ways))


def _name(name: str | None, findings: list[Finding]) -> str:
    if not name:
        findings.append(_unset("rehome_name", "a short name for this migration, such as avatars"))
        return ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        findings.append(
            Finding(
                "rehome_name",
                name,
                "names a folder and the journal's entries, so it must be plain",
                "Use at most 64 letters, digits, dots, dashes and underscores, a letter or digit first",
            )
        )
    return name


def at_least(least: int, setting: str, value: int, findings: list[Finding]) -> int:
    if value < least:
        findings.append(Finding(setting, str(value), "is too small", f"Choose {least} or more"))
    return value


def _limit(limit: int | None, findings: list[Finding]) -> int | None:
    return None if limit is None else at_least(1, "rehome_limit", limit, findings)


def _approved_plan(digest: str | None, findings: list[Finding]) -> str | None:
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        findings.append(
            Finding(
                "approved_plan",
                digest,
                "is no digest of a plan",
                "Give the 64 hexadecimal digits that playbooks/plan.yml shows as `plan`",
            )
        )
    return digest


def _chunk_ms(given: int | None, engine: EngineName, findings: list[Finding]) -> int:
    milliseconds = CHUNK_MS[engine] if given is None else given
    if not SHORTEST_CHUNK_MS <= milliseconds <= LONGEST_CHUNK_MS:
        findings.append(
            Finding(
                "rehome_chunk_ms",
                str(milliseconds),
                "is no duration for a transaction that others may wait for",
                f"Choose {SHORTEST_CHUNK_MS} to {LONGEST_CHUNK_MS} milliseconds",
            )
        )
    return milliseconds


def _connections(given: int | None, findings: list[Finding]) -> int:
    connections = 1 if given is None else given
    if not 1 <= connections <= MOST_CONNECTIONS:
        findings.append(
            Finding(
                "rehome_connections",
                str(connections),
                "is no number of connections to rewrite rows with",
                f"Choose 1 to {MOST_CONNECTIONS}",
            )
        )
    return connections


def _moment(setting: str, text: str | None, findings: list[Finding]) -> datetime | None:
    """A point in time in UTC, from ISO 8601."""
    if not text:
        return None
    way_out = "Write it as 2026-01-31T14:30:00Z or 2026-01-31T15:30:00+01:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        findings.append(Finding(setting, text, "is no time in ISO 8601", way_out))
        return None
    if moment.tzinfo is None:
        findings.append(Finding(setting, text, "has no time zone, so that it could mean several moments", way_out))
        return None
    return moment.astimezone(UTC)
