from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome_terminal.lines import hold, progress_line, until_next_line


def test_a_stage_that_has_not_done_anything_yet_is_named_all_the_same() -> None:
    assert progress_line({"stage": "copy", "done": 0, "total": 5, "began": 0.0}) == "  copy"


def test_a_line_tells_how_far_how_fast_what_went_wrong_and_how_long_still() -> None:
    facts = {"stage": "copy", "done": 1000, "total": 361_000, "began": 0.0, "counts": {"failed": 2}}
    assert progress_line(facts, now=1.0) == "  copy  1,000/361,000 0.3%  1,000/s  failed=2  eta 0:06:00"


def test_a_stage_of_unknown_length_has_no_eta() -> None:
    facts = {"stage": "list objects", "done": 5000, "total": None, "began": 0.0}
    assert progress_line(facts, now=2.0) == "  list objects  5,000  2,500/s"


def test_a_line_tells_why_a_stage_waits_and_since_when_and_no_forecast_counts_the_wait() -> None:
    facts = {"stage": "rewrite", "done": 100, "total": 200, "began": 0.0, "paused_s": 50.0}
    assert progress_line(facts, now=150.0) == "  rewrite  100/200 50.0%  1/s  eta 0:01:40"
    waiting = facts | {"waiting": {"why": "db2 is behind", "since": 150.0}}
    assert progress_line(waiting, now=210.0) == (
        "  rewrite  100/200 50.0%  1/s  eta 0:01:40  waiting since 00:02:30 UTC (0:01:00): db2 is behind"
    )
    assert progress_line(waiting | {"done": 0}, now=210.0) == (
        "  rewrite  waiting since 00:02:30 UTC (0:01:00): db2 is behind"
    )


def test_a_stage_that_a_person_has_paused_says_who_and_since_when() -> None:
    paused = {"control": {"paused": True, "by": "dba@db-1", "since": 150.0}}
    assert hold(paused, 210.0) == "paused since 00:02:30 UTC (0:01:00) by dba@db-1"
    assert hold({"control": {"paused": False, "since": 150.0}}, 210.0) == ""


@pytest.mark.parametrize(
    ("elapsed_s", "pause_s"), [(0.0, 3.0), (2.0, 1.0), (3.0, 10.0), (60.0, 10.0), (300.0, 30.0), (86_400.0, 60.0)]
)
def test_lines_come_every_ten_seconds_at_first_and_every_sixty_in_the_end(elapsed_s: float, pause_s: float) -> None:
    assert until_next_line(elapsed_s) == pause_s


@given(st.floats(min_value=0, max_value=1e7))
def test_silence_never_lasts_so_long_that_a_connection_ends(elapsed_s: float) -> None:
    assert 0 < until_next_line(elapsed_s) <= 60
