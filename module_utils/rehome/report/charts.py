"""The charts of the report: a run over time, as Vega-Lite specifications, drawn by vl-convert in a process of its own.

Colours are the page's own CSS variables, so that a chart is light or dark as the page is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from .facts import TimelinePoint

DRAW: Final = Path(__file__).with_name("draw.py")
TIMEOUT_S: Final = 60
FEWEST_POINTS: Final = 4
"""Of a chart."""
SHORTEST_S: Final = 5.0
"""The shortest stage that charts tell more of than the tables do: to draw them takes a second of CPU."""

_Point = Mapping[str, Any]
"""A `TimelinePoint`, whose figures are read by names that are put together."""

_MOST_DRAWN = 150
_WIDTH, _HEIGHT = 380, 170
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that is to be drawn.

    title: what it shows
    says: the same in words, for those who do not see it
    spec: of Vega-Lite
    """

    title: str
    says: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Charts as SVG. problem: why they could not be drawn; None if they were."""

    charts: tuple[tuple[Chart, str], ...] = ()
    problem: str | None = None


def charts_of(timeline: Sequence[TimelinePoint]) -> list[Chart]:
    """Return the charts of a run. None of what it has too few figures of, or if no stage took `SHORTEST_S`."""
    points = _thinned([cast(_Point, point) for point in timeline])
    if all(stage[-1]["at_s"] - stage[0]["at_s"] < SHORTEST_S for stage in _stages(points)):
        return []
    unit, seconds = _unit(points)
    axis = _Axis(unit, seconds, _held(points, seconds), max((p["at_s"] for p in points), default=0.0) / seconds)
    made: list[Chart | None] = [
        _rate(points, axis, "Objects per second", _OBJECT_STAGES, "done"),
        _rate(points, axis, "Megabytes per second", _OBJECT_STAGES, "bytes_done", 1e6),
        _rate(points, axis, "Rows per second", _ROW_STAGES, "done"),
        _lines(points, axis, "Requests in flight", "requests", {"in_flight": "in flight", "limit": "limit"}),
        _lines(points, axis, "Time of a request (ms)", "requests", _PERCENTILES),
        _trouble(points, axis),
        _lines(points, axis, "Time of a chunk of rows (ms)", "chunks", _PERCENTILES),
    ]
    return [chart for chart in made if chart is not None]


def draw(charts: Sequence[Chart], timeout_s: float = TIMEOUT_S) -> Drawn:
    """Draw charts. Whatever keeps the library from it is returned as `problem`: a report comes without charts, then.

    It runs in a process of its own, whose memory, crash or endless loop is not the run's.
    """
    if not charts:
        return Drawn()
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-I", DRAW],
            input=json.dumps([chart.spec for chart in charts]),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            check=False,
        )
        drawn = json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Drawn(problem=f"the charts could not be drawn ({type(error).__name__})")
    if len(drawn) != len(charts) or not all(isinstance(one, str) and one.startswith("<svg") for one in drawn):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Drawn(problem=f"the charts could not be drawn ({last[:300]})")
    return Drawn(tuple(zip(charts, drawn, strict=True)))


_OBJECT_STAGES: Final = {"copy": "copied", "delete": "deleted", "list": "listed", "undelete": "brought back"}
_ROW_STAGES: Final = {"rewrite": "rewritten", "reread": "read again", "roll": "rolled back", "read": "read"}
"""First word of a stage → what it does."""
_PERCENTILES: Final = {"p50_ms": "half within", "p90_ms": "90 % within", "p99_ms": "99 % within"}
_COLOURS: Final = ("var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)")
_DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2])


@dataclass(frozen=True, slots=True)
class _Axis:
    """The axis of time. held: from, until and why, of each hold; end: of the run"""

    unit: str
    seconds: float
    held: list[dict[str, Any]]
    end: float


def _thinned(points: Sequence[_Point]) -> list[_Point]:
    """Return about as many points as a chart can show, with the first and the last of each stage."""
    step = max(1, len(points) // _MOST_DRAWN)
    return [
        point
        for stage in _stages(points)
        for place, point in enumerate(stage)
        if place % step == 0 or place == len(stage) - 1
    ]


def _unit(points: Sequence[_Point]) -> tuple[str, float]:
    last = max((point["at_s"] for point in points), default=0.0)
    return ("hours", 3600.0) if last > 3 * 3600 else ("minutes", 60.0) if last > 180 else ("seconds", 1.0)


def _held(points: Sequence[_Point], seconds: float) -> list[dict[str, Any]]:
    found = []
    for held, some in groupby(points, key=lambda point: point.get("held")):
        if held:
            times = [point["at_s"] / seconds for point in some]
            found.append({"from": times[0], "to": max(times[-1], times[0] + 0.2)})
    return found


def _stages(points: Sequence[_Point]) -> Iterator[list[_Point]]:
    for _, some in groupby(points, key=lambda point: (point["stage"], point["began_s"])):
        yield list(some)


def _rate(
    points: Sequence[_Point],
    axis: _Axis,
    title: str,
    stages: Mapping[str, str],
    figure: str,
    unit: float = 1.0,
) -> Chart | None:
    rows: list[dict[str, Any]] = []
    for number, stage in enumerate(_stages(points)):
        what = stages.get(stage[0]["stage"].split(" ")[0])
        if what is None:
            continue
        for before, after in _apart(stage):
            more = after.get(figure, 0) - before.get(figure, 0)
            rate = max(0.0, more / unit) / (after["at_s"] - before["at_s"])
            rows.append({"t": after["at_s"] / axis.seconds, "y": rate, "what": what, "stage": number})
            if before is stage[0]:
                rows.append({"t": before["at_s"] / axis.seconds, "y": rate, "what": what, "stage": number})
    # what was only looked at is shown if nothing else was done
    work = [row for row in rows if row["what"] not in ("listed", "read", "read again")] or rows
    if len(work) < FEWEST_POINTS or not any(row["y"] for row in work):
        return None
    values = [row["y"] for row in work]
    named = ", ".join(dict.fromkeys(row["what"] for row in work))
    says = f"{named}: {_figure(median(values))} (median), {_figure(max(values))} at most"
    return Chart(f"{title} ({named})", says, _spec(axis, title, work, filled=True))


def _apart(stage: Sequence[_Point]) -> Iterator[tuple[_Point, _Point]]:
    """Yield pairs of snapshots that are far enough from each other to tell a rate."""
    before = stage[0]
    for number, after in enumerate(stage[1:], 2):
        if after["at_s"] - before["at_s"] >= (0.4 if number < len(stage) else 0.05):
            yield before, after
            before = after


def _lines(points: Sequence[_Point], axis: _Axis, title: str, part: str, names: Mapping[str, str]) -> Chart | None:
    rows = [
        {"t": point["at_s"] / axis.seconds, "y": point[part][name], "what": label, "stage": number}
        for number, stage in enumerate(_stages(points))
        for point in stage
        if part in point
        for name, label in names.items()
        if name in point[part]
    ]
    first = next(iter(names.values()))
    if len([row for row in rows if row["what"] == first]) < FEWEST_POINTS:
        return None
    told = []
    for label in names.values():
        if values := [row["y"] for row in rows if row["what"] == label]:
            told.append(f"{label} {_figure(median(values))} (median), {_figure(max(values))} at most")
    return Chart(title, "; ".join(told), _spec(axis, title, rows, order=list(names.values())))


_TROUBLES: Final = {"throttled": "throttled", "retries": "sent again", "failed": "failed"}


def _trouble(points: Sequence[_Point], axis: _Axis) -> Chart | None:
    rows: list[dict[str, Any]] = []
    sums = dict.fromkeys(_TROUBLES, 0)
    for number, stage in enumerate(_stages([point for point in points if "requests" in point])):
        for name, label in _TROUBLES.items():
            sums[name] += stage[-1]["requests"].get(name, 0)
            for before, after in _apart(stage):
                more = after["requests"].get(name, 0) - before["requests"].get(name, 0)
                rate = max(0, more) / (after["at_s"] - before["at_s"])
                rows.append({"t": after["at_s"] / axis.seconds, "y": rate, "what": label, "stage": number})
    if not any(sums.values()):
        return None
    says = ", ".join(f"{count:,} {_TROUBLES[name]}" for name, count in sums.items())
    title = "Throttled, repeated and failed requests per second"
    return Chart(title, says, _spec(axis, title, rows, order=list(_TROUBLES.values())))


def _spec(
    axis: _Axis,
    title: str,
    rows: Iterable[Mapping[str, Any]],
    *,
    order: Sequence[str] = (),
    filled: bool = False,
) -> dict[str, Any]:
    values = [{**row, "t": round(row["t"], 3), "y": round(row["y"], 3)} for row in rows]
    names = list(order or dict.fromkeys(row["what"] for row in values))
    scale = {"domain": names, "range": list(_COLOURS[: len(names)])}
    x = {
        "field": "t",
        "type": "quantitative",
        "title": f"{axis.unit} since the run began",
        "scale": {"domain": [0, round(axis.end, 3)], "nice": False},
        "axis": {"grid": False, "tickCount": 6},
    }
    legend = {"title": None, "orient": "top", "symbolType": "stroke", "symbolSize": 260, "labelLimit": 200}
    encoding: dict[str, Any] = {
        "x": x,
        "y": {"field": "y", "type": "quantitative", "title": None, "axis": {"tickCount": 5, "format": "~s"}},
        "color": {"field": "what", "type": "nominal", "scale": scale, "legend": legend if len(names) > 1 else None},
        "detail": {"field": "stage", "type": "nominal"},
    }
    if len(names) > 1:
        dashes = {"domain": names, "range": list(_DASHES[: len(names)])}
        encoding["strokeDash"] = {"field": "what", "type": "nominal", "scale": dashes, "legend": legend}
    line = {"type": "line", "interpolate": "monotone", "strokeWidth": 2}
    layers: list[dict[str, Any]] = []
    if axis.held:
        held = {"x": {**x, "field": "from"}, "x2": {"field": "to"}}
        mark = {"type": "rect", "color": "var(--held)", "opacity": 0.25}
        layers.append({"data": {"values": axis.held}, "mark": mark, "encoding": held})
    if filled:
        area = {"type": "area", "interpolate": "monotone", "opacity": 0.18, "line": False}
        shaded = {name: encoding[name] for name in ("x", "color", "detail")}
        layers.append({"mark": area, "encoding": {**shaded, "y": {**encoding["y"], "stack": None}}})
    layers.append({"mark": line, "encoding": encoding})
    font = "system-ui, sans-serif"
    text = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12, "titleFontSize": 12}
    return {
        "$schema": _SCHEMA,
        "width": _WIDTH,
        "height": _HEIGHT,
        "padding": 4,
        "data": {"values": values},
        "layer": layers,
        "config": {
            "background": None,
            "font": font,
            "view": {"stroke": None},
            "axis": {
                **text,
                "gridColor": "var(--line)",
                "domainColor": "var(--line)",
                "tickColor": "var(--line)",
                "titleFontWeight": "normal",
            },
            "legend": {"labelColor": "currentColor", "labelFontSize": 12},
        },
    }


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"
