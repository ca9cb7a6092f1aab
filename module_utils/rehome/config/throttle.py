"""The settings of the throttle (`rehome_throttle`), as typed values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ..codes import Code
from ..errors import Finding

DEFAULT_LAG_S = 10.0
DEFAULT_DEAD_RATIO = 0.1
DEFAULT_REDO_RATIO = 0.8
"""If the log is full, every session waits for InnoDB to flush pages. InnoDB flushes aggressively from 7/8 on."""
PAUSE_FILE = "pause"

_WINDOW = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)(?: +(\S+))?")


@dataclass(frozen=True, slots=True)
class Window:
    """The hours of each day in which rows may be rewritten, from `start` until before `end`; may span midnight.

    text: the setting as the operator wrote it
    """

    text: str
    start: time
    end: time
    zone: tzinfo

    def opens_in(self, now: datetime) -> timedelta | None:
        """Return how long the window stays closed, by its zone's clock; None while it is open."""
        local = now.astimezone(self.zone)
        clock = local.time()
        after_start, before_end = clock >= self.start, clock < self.end
        if (after_start or before_end) if self.start > self.end else (after_start and before_end):
            return None
        opening = local.replace(hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0)
        if after_start:
            opening += timedelta(days=1)
        # in UTC, as a day on which daylight saving time begins or ends has 23 or 25 hours
        return opening.astimezone(UTC) - now.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica of the primary. All settings but its address are those of the primary."""

    host: str
    port: int | None = None

    @property
    def name(self) -> str:
        """Its address, as messages name it."""
        return f"{self.host}:{self.port}" if self.port else self.host


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """The thresholds at which the rewrite of rows pauses.

    None means the default if the signal can be read, and no threshold if it cannot; 0 means no threshold.

    max_lag_s: seconds that a replica may be behind
    max_running: statements that other sessions may run at once
    max_redo_ratio: MariaDB and MySQL: how full the redo log may be, as a fraction of InnoDB's own limit
    max_dead_ratio: PostgreSQL: dead tuples per live one
    vacuum: PostgreSQL: whether Rehome vacuums the tables itself if it may
    pause_file: the work pauses while this file exists
    query, query_limit: the work pauses while the query returns more than the limit
    nice: seconds of pause per second of work
    max_wait_s: how long one pause may last that the operator did not ask for; None: unlimited
    """

    max_lag_s: float | None = None
    replicas: tuple[Replica, ...] = ()
    max_running: int | None = None
    max_redo_ratio: float | None = None
    max_dead_ratio: float | None = None
    vacuum: bool = True
    pause_file: Path = field(default=Path(PAUSE_FILE))
    window: Window | None = None
    query: str | None = None
    query_limit: float = 0.0
    nice: float = 0.0
    max_wait_s: float | None = None


def read_throttle(given: Mapping[str, Any], state_dir: Path, findings: list[Finding]) -> ThrottleSettings:
    """Return the settings in the option `throttle`, and add what is wrong with it to `findings`.

    state_dir: holds the pause file, under the name `pause`, unless the settings name another
    """
    return ThrottleSettings(
        max_lag_s=_number("max_lag_s", given, findings),
        replicas=_replicas(given.get("replicas") or [], findings),
        max_running=_number("max_running", given, findings),
        max_redo_ratio=_number("max_redo_ratio", given, findings),
        max_dead_ratio=_number("max_dead_ratio", given, findings),
        vacuum=given.get("vacuum") is not False,
        pause_file=Path(given.get("pause_file") or state_dir / PAUSE_FILE),
        window=_window(given.get("window"), findings),
        query=(given.get("query") or "").strip() or None,
        query_limit=_number("query_limit", given, findings, least=-math.inf) or 0.0,
        nice=_number("nice", given, findings) or 0.0,
        max_wait_s=_number("max_wait_s", given, findings) or None,
    )


def _number(name: str, given: Mapping[str, Any], findings: list[Finding], least: float = 0.0) -> Any:
    value = given.get(name)
    if value is not None and not least <= value < math.inf:
        findings.append(
            Finding(
                f"rehome_throttle.{name}",
                str(value),
                "is not a threshold",
                "Choose 0 or a positive number, or leave it unset for the default",
                Code.UNUSABLE_VALUE,
            )
        )
        return None
    return value


def _replicas(given: list[Mapping[str, Any]], findings: list[Finding]) -> tuple[Replica, ...]:
    for position, replica in enumerate(given):
        if not replica.get("host"):
            findings.append(
                Finding(
                    f"rehome_throttle.replicas[{position}].host",
                    None,
                    "is not set",
                    "Name the replica by the address at which Rehome reaches it",
                    Code.UNSET,
                )
            )
    return tuple(Replica(replica["host"], replica.get("port")) for replica in given if replica.get("host"))


def _window(text: str | None, findings: list[Finding]) -> Window | None:
    if not text:
        return None
    found = _WINDOW.fullmatch(text.strip())
    zone = _zone(found[5]) if found else None
    if found is None or zone is None:
        problem = "names no time zone that this machine knows" if found else "is not a window"
    else:
        start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
        if start != end:
            return Window(text.strip(), start, end, zone)
        problem = "begins when it ends"
    way_out = 'Write the hours and the zone, such as "22:00-06:00 Europe/Berlin"; without a zone they are in UTC'
    findings.append(Finding("rehome_throttle.window", text, problem, way_out, Code.UNUSABLE_VALUE))
    return None


def _zone(name: str | None) -> tzinfo | None:
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None
