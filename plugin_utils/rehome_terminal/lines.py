"""One line about a stage, for logs, AWX and grep. Pure, without any package."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Any, Final

FIRST_LINE_S: Final = 3.0
LINE_EVERY_S: Final = 10.0
LINE_AT_LEAST_EVERY_S: Final = 60.0
"""Load balancers and AWX's own connections end after some minutes of silence."""


def until_next_line(elapsed_s: float) -> float:
    """Return how many seconds to wait before a stage's next line: ten at first, and sixty from ten minutes on.

    elapsed_s: since the stage's begin
    """
    if elapsed_s < FIRST_LINE_S:
        return FIRST_LINE_S - elapsed_s
    return min(max(elapsed_s / 10, LINE_EVERY_S), LINE_AT_LEAST_EVERY_S)


def progress_line(progress: Mapping[str, Any], now: float | None = None) -> str:
    """Return one line about a stage, for people and for grep.

    progress: the content of progress.json (see the engine's `progress`)
    now: Unix time
    """
    done, total, now = progress["done"], progress.get("total"), now or time.time()
    held = hold(progress, now)
    wait = [held] if held else []
    if not done:
        return "  ".join([f"  {progress['stage']}", *wait])
    rate = overall_rate(progress, now)
    parts = [
        f"  {progress['stage']}",
        f"{done:,}/{total:,} {done / total:.1%}" if total else f"{done:,}",
        f"{rate:,.0f}/s",
    ]
    parts += [f"{name}={count:,}" for name, count in progress.get("counts", {}).items()]
    if total:
        parts.append(f"eta {datetime.timedelta(seconds=round((total - done) / rate))}")
    return "  ".join(parts + wait)


def overall_rate(progress: Mapping[str, Any], now: float) -> float:
    """Return the steps per second since the stage's begin, without its pauses."""
    waiting = progress.get("waiting")
    paused: float = progress.get("paused_s", 0.0) + (now - waiting["since"] if waiting else 0.0)
    steps: float = progress["done"] / max(now - progress["began"] - paused, 0.001)
    return steps


def hold(progress: Mapping[str, Any], now: float) -> str:
    """Return what holds a stage and since when; empty if nothing does."""
    waiting = progress.get("waiting")
    if waiting:
        return _since("waiting", waiting["since"], now, f": {waiting['why']}")
    control = progress.get("control") or {}
    if control.get("paused") and control.get("since"):
        by = f" by {control['by']}" if control.get("by") else ""
        return _since("paused", control["since"], now, by)
    return ""


def _since(word: str, since: float, now: float, rest: str) -> str:
    at = datetime.datetime.fromtimestamp(since, datetime.UTC)
    duration = datetime.timedelta(seconds=max(0, round(now - since)))
    return f"{word} since {at:%H:%M:%S} UTC ({duration}){rest}"
