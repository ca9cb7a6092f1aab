"""The migration's end: the moment from which `rehome_retire_after` counts.

It is the first time that a verification found nothing left to do after a run had moved anything. It is kept in the
state folder (`completion.json`), as the buckets and the database do not tell it: rows that were right from the
beginning are not in the journal, and an application stores objects in the target too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from ..config.settings import Settings

FILE = "completion.json"


def completed_at(settings: Settings) -> datetime | None:
    """When the migration of these settings ended; None where that is not known, or it has not."""
    try:
        kept = json.loads((settings.state_dir / FILE).read_text(encoding="utf-8"))
        if kept["fingerprint"] != settings.fingerprint:
            return None
        moment = datetime.fromisoformat(kept["completed_at"])
        return moment if moment.tzinfo else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
    path: Path = settings.state_dir / FILE
    temporary = path.with_suffix(".new")
    facts = {"fingerprint": settings.fingerprint, "completed_at": moment, "run": run}
    temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
