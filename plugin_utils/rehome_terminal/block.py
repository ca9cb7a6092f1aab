"""The block that shows a stage while it works, for any width and any terminal. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .lines import hold
from .pace import LEAST_S, Pace
from .signs import ASCII, in_one_line
from .stages import unit

LONGEST_BAR: Final = 60
SHORTEST_BAR: Final = 8
BAR_BESIDE_FORECAST: Final = 20
"""So long a bar must be left for the forecast to stand in its line."""
INDENT: Final = "  "


@dataclass(frozen=True)
class Block:
    """A stage that works, at one moment.

    at: the clock at its begin, as people read it
    heading: the stage's name
    snapshot: the content of progress.json; empty: nothing is known. Any field may be missing
    pace: how fast it is at present
    elapsed_s: since its begin
    now: Unix time
    """

    at: str
    heading: str
    snapshot: Mapping[str, Any]
    pace: Pace
    elapsed_s: float
    now: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines. None is longer than the console is wide."""
        width = max(options.max_width - 1, 1)  # a terminal may wrap after its last column
        yield _fit(self._title(), width, options)
        if self.snapshot:
            told = ""
            if self._total:
                bar, told = self._bar(width, options)
                yield bar
            for line in _flow((fact for fact in self._facts() if fact not in told), width):
                yield _fit(Text(line), width, options)
            if held := hold_of(self.snapshot, self.now):
                for line in _wrapped(in_one_line(held), width):
                    yield _fit(Text(line, style="bold red"), width, options)

    def _title(self) -> Text:
        title = Text(f"{self.at}  ", style="dim")
        title.append(self.heading, style="bold not dim")
        step = in_one_line(self.snapshot.get("stage") or "")
        if step and not step.startswith("start ") and not step.startswith(self.heading.partition(" · ")[0]):
            title.append(f"  {step}", style="not dim")
        title.append(f"  {_duration(self.elapsed_s)}")
        return title

    @property
    def _unit(self) -> str:
        return unit(str(self.snapshot.get("stage") or ""))

    @property
    def _done(self) -> float:
        return number(self.snapshot, "done") or 0

    @property
    def _total(self) -> float | None:
        return number(self.snapshot, "total") or None

    def _bar(self, width: int, options: ConsoleOptions) -> tuple[Table | Text, str]:
        """Return the bar and the text behind it, which has the forecast where there is room."""
        total = self._total or 1.0
        share = min(self._done / total, 1.0)
        label = f"{share:.1%}  {self._done:,.0f}/{total:,.0f}"
        for eta in self._etas():
            if width - len(INDENT) - cell_len(f"{label}  {eta}") - 2 >= BAR_BESIDE_FORECAST:
                label = f"{label}  {eta}"
        room = width - len(INDENT) - cell_len(label) - 2
        if room < SHORTEST_BAR:
            return _fit(Text(f"{INDENT}{label}"), width, options), label
        grid = Table.grid(padding=0)
        for _ in range(3):
            grid.add_column(no_wrap=True)
        size = min(room, LONGEST_BAR)
        bar = Text(_ascii_bar(share, size)) if options.ascii_only or options.encoding == "ascii" else None
        drawn = bar or ProgressBar(
            total=1.0, completed=share, width=size, complete_style="green", finished_style="green", style="bright_black"
        )
        grid.add_row(INDENT, drawn, f"  {label}")
        return grid, label

    def _facts(self) -> Iterable[str]:
        if not self._total and self._done:
            yield f"{self._done:,.0f} {self._unit}".rstrip()
        yield from self._etas()
        yield from self._rates()
        yield from self._counts()
        yield from self._requests()

    def _rates(self) -> Iterable[str]:
        rate = self._rate()
        if rate is not None and self._done:
            yield f"{rate:,.{0 if rate >= 10 else 1}f} {self._unit}/s".replace(" /s", "/s")
        moved, of = number(self.snapshot, "bytes_done"), number(self.snapshot, "bytes_total")
        if moved is not None and (moved or of):
            yield f"{size(moved)} of {size(of)}" if of else size(moved)
            speed = self.pace.bytes
            if speed is not None:
                yield f"{size(speed)}/s"

    def _counts(self) -> Iterable[str]:
        counts = self.snapshot.get("counts")
        for name, count in counts.items() if isinstance(counts, Mapping) else ():
            if isinstance(count, (int, float)) and count and count != self._done:
                yield f"{in_one_line(name)}={count:,}"

    def _requests(self) -> Iterable[str]:
        requests = self.snapshot.get("requests")
        if not isinstance(requests, Mapping):
            return
        flying, limit = number(requests, "in_flight"), number(requests, "limit")
        if flying is not None:
            yield f"{flying:,.0f}{f' of {limit:,.0f}' if limit else ''} requests in flight"
        for name in ("retries", "throttled"):
            if count := number(requests, name):
                yield f"{count:,.0f} {name}"
        middle, tail = number(requests, "p50_ms"), number(requests, "p99_ms")
        if middle is not None and tail is not None:
            yield f"latency {middle:,.0f} ms, p99 {tail:,.0f} ms"

    def _rate(self) -> float | None:
        """The present rate, or the stage's own while something holds it or nothing else is known."""
        if self.pace.steps:
            return self.pace.steps
        began = number(self.snapshot, "began")
        if began is None:
            return None
        worked = self.now - began - (number(self.snapshot, "paused_s") or 0.0) - _held_s(self.snapshot, self.now)
        return self._done / worked if worked >= LEAST_S else None

    def _etas(self) -> Iterable[str]:
        rate, total = self._rate(), self._total
        if not rate or not total:
            return
        left = max(total - self._done, 0) / rate
        yield f"ETA {_duration(left)}"
        ahead = number(self.snapshot, "ahead_s")
        if ahead is not None:
            yield f"whole run about {_duration(left + ahead)}"


def number(facts: Mapping[str, Any], name: str) -> float | None:
    """Return a finite, non-negative number of a snapshot, or None if it has none of this name."""
    value = facts.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < 1e18 else None


def size(count: float) -> str:
    """Return a number of bytes for people, in binary units as everywhere in Rehome."""
    for name in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:,.0f} B" if name == "B" else f"{count:,.1f} {name}"
        count /= 1024
    return f"{count:,.1f} PiB"


def hold_of(snapshot: Mapping[str, Any], now: float) -> str:
    """Return what holds the stage, also from a snapshot that lacks something."""
    try:
        return hold(snapshot, now)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return ""


def _held_s(snapshot: Mapping[str, Any], now: float) -> float:
    waiting = snapshot.get("waiting")
    since = number(waiting, "since") if isinstance(waiting, Mapping) else None
    return max(now - since, 0.0) if since is not None else 0.0


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(min(max(seconds, 0.0), 86_400.0 * 9_999))))


def _ascii_bar(share: float, width: int) -> str:
    full = int(share * (width - 2))
    return f"[{'#' * full}{'.' * (width - 2 - full)}]"


def _fit(text: Text, width: int, options: ConsoleOptions) -> Text:
    if options.ascii_only:
        text = _plain_signs(text)
    text.no_wrap = True
    text.overflow = "crop"
    text.truncate(width)
    return text


def _plain_signs(text: Text) -> Text:
    changed = Text(end=text.end)
    for piece in text.divide([span.start for span in text.spans] + [span.end for span in text.spans]):
        piece.plain = piece.plain.translate(ASCII)
        changed.append_text(piece)
    return changed


def _flow(parts: Iterable[str], width: int) -> list[str]:
    """Return the parts as few lines, none of which is cut in its middle unless it is longer than a line."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines else ""
        if lines and cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(f"{INDENT}{part}")
    return lines


def _wrapped(text: str, width: int, most: int = 5) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else f"{INDENT}{word}"
        if lines[-1] and cell_len(longer) > width:
            lines.append(f"{INDENT}{word}")
        else:
            lines[-1] = longer
    return lines[:most]
