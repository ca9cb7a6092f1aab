"""What the module returns of a search: counts, a few lines and the name of a file, never the columns themselves."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, get_args

from ..config.settings import Settings
from .columns import Standing
from .record import FILE, TEXT_FILE, Record
from .standing import unacknowledged
from .words import card, to_paste

PASTED = 40
"""Lines to paste that the terminal shows; the list has them all."""


def result_of(settings: Settings, record: Record) -> dict[str, Any]:
    """Return the module's result."""
    path = settings.state_dir / FILE
    unknown = unacknowledged(record, settings)
    paste = to_paste(unknown)
    if len(paste) > PASTED:
        paste = [*paste[:PASTED], f"  # … and {len(paste) - PASTED:,} more lines in {settings.state_dir / TEXT_FILE}"]
    seconds = (datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.began)).total_seconds()
    searched = len(record.columns) - len(record.of("not_searched")) - len(record.of("reference"))
    return {
        "did": f"{searched:,} columns searched in {seconds:.1f} s",
        "lines": card(record, str(settings.state_dir / TEXT_FILE)),
        "references": "\n".join(paste),
        "outcome": f"columns that name objects and are neither references nor acknowledged: {len(unknown):,}",
        "counts": {f"columns_{standing}": len(record.of(standing)) for standing in get_args(Standing)},
        "file": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
