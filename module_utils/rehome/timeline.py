"""The progress of one run over time: snapshots in a file of the state folder, of which the report draws its charts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import write_whole

FILE = "timeline.jsonl"
MOST_POINTS = 600
FIRST_EVERY_S = 1.0


class Timeline:
    """The snapshots of one run, appended to `<state_dir>/timeline.jsonl` by one process after the other.

    A run of any length has at most `MOST_POINTS`: when there are so many, every second one is dropped, and from then on
    they are taken half as often. Each is appended in one write, so that a kill -9 leaves all but the last. What cannot
    be written is left out: no run fails because of its charts.

    run: id of the run; a file of another run is replaced
    """

    def __init__(self, state_dir: Path, run: str) -> None:
        self._path = state_dir / FILE
        self._run = run
        self._every_s, self._points = FIRST_EVERY_S, list[dict[str, Any]]()
        known = read_timeline(state_dir)
        with suppress(OSError):
            if known is not None and known[0] == run:
                _, self._every_s, self._points = known
                self._rewrite_if_cut()
            else:
                self._rewrite()

    def record(self, point: Mapping[str, Any], *, boundary: bool = False) -> None:
        """Append a snapshot, if one is due.

        point: `at` (Unix time), `stage`, `began`, and whatever is to be drawn
        boundary: the beginning or the end of a stage, which is always recorded
        """
        if not boundary and self._points and point["at"] - self._points[-1]["at"] < self._every_s:
            return
        with suppress(OSError):
            self._points.append(dict(point))
            if len(self._points) > MOST_POINTS:
                self._thin_out()
                self._rewrite()
                return
            with self._path.open("ab", buffering=0) as file:
                file.write(_line(self._points[-1]))

    def _thin_out(self) -> None:
        self._every_s *= 2
        last = len(self._points) - 1
        self._points = [point for place, point in enumerate(self._points) if place % 2 == 0 or place == last]

    def _rewrite(self) -> None:
        header = {"run": self._run, "every_s": self._every_s}
        write_whole(self._path, b"".join(map(_line, [header, *self._points])), durable=False)

    def _rewrite_if_cut(self) -> None:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                self._rewrite()


def read_timeline(state_dir: Path) -> tuple[str, float, list[dict[str, Any]]] | None:
    """Return the id of the run, the seconds between its snapshots, and these; None if there is nothing of use.

    A line that was cut short, or is none of ours, ends the file: nothing but charts depends on it.
    """
    try:
        header, *lines = (state_dir / FILE).read_bytes().splitlines()
        head = json.loads(header)
        return str(head["run"]), float(head["every_s"]), list(_points(lines))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _points(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    for line in lines[: 2 * MOST_POINTS]:
        try:
            point = json.loads(line)
            float(point["at"]), str(point["stage"])
        except (ValueError, KeyError, TypeError):
            break
        points.append(point)
    return points


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
