"""progress.json: there and whole at every look, from the first stage on."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from rehome.progress import FILE, Progress
from rehome.timeline import read_timeline


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / FILE).read_text())  # type: ignore[no-any-return]


def test_between_stages_it_has_the_last_counts_and_that_they_are_final(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.of_run(verb="migrate", run="a:1:now")
    progress.stage("copy", 1000)
    progress.at(1000, copied=998, failed=2)  # not due yet
    assert "ended" not in told(tmp_path)
    progress.end()
    facts = told(tmp_path)
    assert (facts["verb"], facts["run"], facts["stage"]) == ("migrate", "a:1:now", "copy")
    assert (facts["done"], facts["total"], facts["counts"]) == (1000, 1000, {"copied": 998, "failed": 2})
    assert facts["ended"] >= facts["began"]


def test_a_run_that_is_over_says_so_and_stays(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.stage("copy", 10)
    progress.finish()
    progress.end()
    assert told(tmp_path)["stage"] == "finished"
    Progress(tmp_path).end()
    assert told(tmp_path)["stage"] == "finished", "another process that has begun nothing leaves it as it is"


def test_whoever_looks_at_any_moment_finds_it_and_finds_it_whole(tmp_path: Path) -> None:
    Progress(tmp_path).stage("start")
    over, looks, bad = threading.Event(), [0], []

    def look() -> None:
        while not over.is_set():
            looks[0] += 1
            try:
                assert {"stage", "done", "total", "began", "paused_s"} <= told(tmp_path).keys()
            except Exception as error:
                bad.append(error)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(100):
            # each stage of a run is a process of its own
            progress = Progress(tmp_path, clock=iter(range(10**6)).__next__)
            progress.stage(f"stage {number}", 5)
            for done in range(5):
                progress.at(done, failed=0)
            progress.pause("a replica is behind", 2.0)
            progress.resume(2.0)
            progress.end()
        progress.finish()
    finally:
        over.set()
        watcher.join()
    assert looks[0] > 0
    assert bad == []


class Gauge:
    """Counts its readings since the beginning of the stage."""

    def __init__(self) -> None:
        self.readings = 0

    def begin(self) -> None:
        self.readings = 0

    def read(self) -> dict[str, object]:
        self.readings += 1
        return {"requests": {"sent": self.readings}}


def test_what_a_gauge_reads_is_shown_while_it_is_measured_by_and_stays_to_the_end_of_the_stage(tmp_path: Path) -> None:
    progress = Progress(tmp_path, clock=iter(range(10**6)).__next__)
    progress.stage("copy", 10, 5000)
    assert (told(tmp_path)["bytes_done"], told(tmp_path)["bytes_total"]) == (0, 5000)
    with progress.measured_by(Gauge()):
        progress.at(1, bytes_done=500)
        assert (told(tmp_path)["requests"], told(tmp_path)["bytes_done"]) == ({"sent": 1}, 500)
        progress.tick()
        assert told(tmp_path)["requests"] == {"sent": 2}
    progress.end()
    assert told(tmp_path)["requests"] == {"sent": 3}
    progress.stage("next")
    assert "requests" not in told(tmp_path)
    assert "bytes_done" not in told(tmp_path)


def test_a_gauge_counts_each_stage_from_its_beginning(tmp_path: Path) -> None:
    progress = Progress(tmp_path, clock=iter(range(10**6)).__next__)
    with progress.measured_by(Gauge()):
        progress.stage("list")
        for done in range(5):
            progress.at(done)
        progress.stage("compare")
        assert told(tmp_path)["requests"] == {"sent": 1}


def test_the_timeline_has_both_ends_of_each_stage_and_what_holds_it(tmp_path: Path) -> None:
    progress = Progress(tmp_path, clock=iter(range(10**6)).__next__)
    progress.of_run(verb="migrate", run="a:1:now")
    progress.stage("list")
    progress.at(7)
    progress.stage("copy", 10)
    progress.at(10)
    progress.end()
    progress.finish()
    known = read_timeline(tmp_path)
    assert known is not None
    run, _, points = known
    assert run == "a:1:now"
    assert [(point["stage"], point["done"]) for point in points] == [
        ("list", 0),
        ("list", 7),
        ("copy", 0),
        ("copy", 10),
    ]
    assert not any({"run", "verb", "counts"} & point.keys() for point in points)


def test_ticks_do_not_keep_the_counts_from_being_told(tmp_path: Path) -> None:
    now = [0.0]
    progress = Progress(tmp_path, clock=lambda: now[0])
    progress.stage("copy", 100)
    for done in range(100):
        now[0] += 0.2
        progress.tick()
        if progress.is_due:
            progress.at(done)
    assert told(tmp_path)["done"] > 90
