"""The timeline: of one run, small whatever its length, and there after a kill -9."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rehome.timeline import FILE, MOST_POINTS, Timeline, read_timeline


def point(at: float, stage: str = "copy", **figures: object) -> dict[str, Any]:
    return {"at": at, "stage": stage, "began": 0.0, **figures}


def times(folder: Path) -> list[float]:
    known = read_timeline(folder)
    assert known is not None
    return [one["at"] for one in known[2]]


def test_snapshots_are_taken_at_a_distance_and_at_both_ends_of_a_stage(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path, "host:1:now")
    timeline.record(point(0.0), boundary=True)
    for tenth in range(1, 26):
        timeline.record(point(tenth / 10))
    timeline.record(point(2.6), boundary=True)
    assert times(tmp_path) == [0.0, 1.0, 2.0, 2.6]


def test_a_run_of_weeks_has_a_bounded_number_of_snapshots_from_beginning_to_end(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path, "host:1:now")
    seconds = 5_000
    for second in range(seconds):
        timeline.record(point(float(second)))
    found = times(tmp_path)
    assert MOST_POINTS / 3 <= len(found) <= MOST_POINTS
    assert found[0] == 0
    assert seconds - found[-1] <= 16, "the last one is no older than the distance between two"
    distances = [after - before for before, after in pairwise(found)]
    assert max(distances) <= 2 * 16
    assert found == sorted(found)


def test_each_stage_is_a_process_that_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for number in range(5):
        timeline = Timeline(tmp_path, "host:1:now")
        timeline.record(point(float(number), stage=f"stage {number}"))
    assert times(tmp_path) == [0, 1, 2, 3, 4]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    Timeline(tmp_path, "host:1:now").record(point(1.0))
    Timeline(tmp_path, "host:2:later").record(point(2.0))
    assert times(tmp_path) == [2]


def test_a_snapshot_that_was_cut_short_is_left_out_and_the_next_is_whole(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path, "host:1:now")
    for second in range(3):
        timeline.record(point(float(second)))
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-5])
    assert times(tmp_path) == [0, 1]
    Timeline(tmp_path, "host:1:now").record(point(5.0))
    assert times(tmp_path) == [0, 1, 5]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]\n", b'{"run": 1}\n', b"\x00\xff\n", b'{"run":"a","every_s":1}\n7\n']
)
def test_a_file_that_is_none_of_ours_keeps_nobody_from_anything(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    known = read_timeline(tmp_path)
    assert known is None or known[2] == []
    Timeline(tmp_path, "host:1:now").record(point(1.0))
    assert times(tmp_path) == [1]


def test_a_folder_that_takes_no_file_costs_the_charts_alone(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "is" / "not there", "host:1:now")
    timeline.record(point(1.0))
    assert read_timeline(tmp_path / "is" / "not there") is None
