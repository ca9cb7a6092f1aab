"""The migration's end: the moment from which `rehome_retire_after` counts.

It is the first time that a verification found nothing left to do after a run had moved anything. It is kept in the
state folder (`completion.json`), as the buckets and the database do not tell it: rows that were right from the
beginning are not in the journal, and an application stores objects in the target too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..config.settings import Settings
from ..files import read_json, write_json

FILE = "completion.json"

_WAY_OUT = "Delete it; rehome_retire_after then counts from the next verification that finds nothing left to do"


def completed_at(settings: Settings) -> datetime | None:
    """When the migration of these settings ended; None where that is not known, or it has not."""

    def parse(kept: Any) -> datetime | None:
        if kept["fingerprint"] != settings.fingerprint or kept["completed_at"] is None:
            return None
        return datetime.fromisoformat(kept["completed_at"])

    return read_json(settings.state_dir / FILE, parse, _WAY_OUT)


def note_completion(settings: Settings, run: str) -> None:
    """A verification has just found nothing left to do: the end is now, unless it is known already."""
    if completed_at(settings) is None:
        _write(settings, datetime.now(UTC).isoformat(timespec="seconds"), run)


def forget_completion(settings: Settings, run: str) -> None:
    """Something is about to be moved: the migration has not ended, until a verification says so."""
    if completed_at(settings) is not None:
        # not removed: a copy of the state folder would bring it back
        _write(settings, None, run)


def _write(settings: Settings, moment: str | None, run: str) -> None:
    completion = {"fingerprint": settings.fingerprint, "completed_at": moment, "run": run}
    write_json(settings.state_dir / FILE, completion)
