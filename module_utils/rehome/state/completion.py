"""The end of the migration, from which `rehome_retire_after` counts.

It is the time of the first verification that found nothing left to do after a run had moved anything. `completion.json`
keeps it, as neither the buckets nor the database record it: rows that were right from the beginning are not in the
journal, and the application stores objects in the target too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..config.settings import Settings
from ..files import read_json, write_json

FILE = "completion.json"

_WAY_OUT = "Delete it; rehome_retire_after then counts from the next verification that finds nothing left to do"


def completed_at(settings: Settings) -> datetime | None:
    """Return when the migration under these settings ended; None if it has not, as far as is known.

    Raises RehomeError if `completion.json` is damaged.
    """

    def parse(kept: Any) -> datetime | None:
        if kept["fingerprint"] != settings.fingerprint or kept["completed_at"] is None:
            return None
        moment = datetime.fromisoformat(kept["completed_at"])
        if moment.tzinfo is None:
            raise ValueError("completed_at has no time zone")
        return moment

    return read_json(settings.state_dir / FILE, parse, _WAY_OUT)


def other_end(settings: Settings) -> str | None:
    """Return which other migration's end `completion.json` has, and who recorded it; None if it has none.

    Raises RehomeError if `completion.json` is damaged.
    """

    def parse(kept: Any) -> str | None:
        if kept["fingerprint"] == settings.fingerprint or kept["completed_at"] is None:
            return None
        return f"that of {kept.get('place', 'other settings')}, at {kept['completed_at']} (run {kept['run']})"

    return read_json(settings.state_dir / FILE, parse, _WAY_OUT)


def record_completion(settings: Settings, run: str) -> None:
    """Record that a verification has just found nothing left to do. Keeps an earlier end, if there is one."""
    if completed_at(settings) is None:
        _write(settings, datetime.now(UTC).isoformat(timespec="seconds"), run)


def withdraw_completion(settings: Settings, run: str) -> None:
    """Record that the migration has not ended, as something is about to be moved."""
    if completed_at(settings) is not None:
        # The file stays: if it were deleted, a copy of the state folder would bring the old one back.
        _write(settings, None, run)


def _write(settings: Settings, completed: str | None, run: str) -> None:
    completion = {
        "fingerprint": settings.fingerprint,
        "completed_at": completed,
        "run": run,
        "place": settings.place,
    }
    write_json(settings.state_dir / FILE, completion)
