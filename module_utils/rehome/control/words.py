"""What is known of a run that is at work, as lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from .orders import LIMIT_NAMES, Order, limits_as_written

Place = Literal["here", "elsewhere", "nowhere"]
FINISHED: Final = "finished"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a migration's run.

    place: whether it works in this state folder, is seen by the database only, or is not at work
    who: process, user, host, verb and since when, in words; empty if nothing is at work
    progress: what `progress.json` says, or the run in its control row; empty if nothing is known
    orders: name of a door → what it asks
    notes: doors that cannot be heard, and what was refused
    """

    name: str
    place: Place
    who: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def paused(self) -> bool:
        """Whether any door asks for a pause."""
        return any(order.paused for order in self.orders.values())


def status_lines(standing: Standing, now: float) -> list[str]:
    """Return what is known, a subject a line. now: seconds since the epoch"""
    progress = standing.progress
    control = progress.get("control") or {}
    lines = [f"{standing.name}: {standing.who or 'nothing is at work'}"]
    if progress and standing.place != "nowhere":
        lines.append(f"stage    {_stage(progress, now)}")
        if waiting := progress.get("waiting"):
            lines.append(f"waiting  for {_span(now - float(waiting['since']))}: {waiting['why']}")
    elif progress.get("stage"):
        lines.append(f"last     {_last(progress)}")
    if limits := control.get("limits"):
        lines.append(f"limits   {_limits(limits)}")
    for door, order in standing.orders.items():
        if order.paused or order.limits:
            lines.append(f"asked    {_asked(order)} ({door})")
    return lines + [f"note     {note}" for note in standing.notes]


def _stage(progress: Mapping[str, Any], now: float) -> str:
    done, total = progress.get("done"), progress.get("total")
    words = str(progress.get("stage") or "between two stages")
    if done is None:
        return words
    words += f" at {done:,}" + (f" of {total:,} ({done / total:.0%})" if total else "")
    waiting = progress.get("waiting")
    held_s = float(progress.get("paused_s") or 0.0) + (now - float(waiting["since"]) if waiting else 0.0)
    busy_s = now - float(progress.get("began") or now) - held_s
    if done and busy_s > 1:
        rate = done / busy_s
        words += f", {rate:,.1f}/s"
        if total and total > done and not waiting:
            words += f", {_span((total - done) / rate)} left"
    return words


def _last(progress: Mapping[str, Any]) -> str:
    done = progress.get("done")
    reached = f"stage '{progress['stage']}'" + (f" at {done:,}" if done else "")
    ended = progress["stage"] == FINISHED
    when = f", as it said at {progress['at']}" if "at" in progress else ""
    return f"{'the run has ended' if ended else f'a run in {reached}'}{when}"


def _limits(limits: Mapping[str, Any]) -> str:
    return " · ".join(f"{name} {_figure(limits[name])}" for name in _ordered(limits))


def _asked(order: Order) -> str:
    limits = limits_as_written(order.limits)
    words = ["pause"] if order.paused else []
    words += [f"{name}={_figure(limits[name])}" for name in _ordered(limits)]
    by = f" by {order.by}" if order.by else ""
    since = f" at {order.since}" if order.since else ""
    return f"{', '.join(words)}{by}{since}"


def _figure(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}"


def _ordered(limits: Mapping[str, Any]) -> list[str]:
    return [name for name in LIMIT_NAMES if name in limits]


def _span(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))


def moment(seconds: float) -> str:
    """Return a moment as orders have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
