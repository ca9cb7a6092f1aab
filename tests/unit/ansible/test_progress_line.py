from __future__ import annotations

from typing import Any


def test_a_stage_that_has_not_done_anything_yet_is_named_all_the_same(plugin: Any) -> None:
    assert plugin.progress_line({"stage": "copy", "done": 0, "total": 5, "began": 0.0}) == "  copy"


def test_a_line_tells_how_far_how_fast_what_went_wrong_and_how_long_still(plugin: Any) -> None:
    facts = {"stage": "copy", "done": 1000, "total": 361_000, "began": 0.0, "counts": {"failed": 2}}
    assert plugin.progress_line(facts, now=1.0) == "  copy  1,000/361,000 0.3%  1,000/s  failed=2  eta 0:06:00"


def test_a_stage_of_unknown_length_has_no_eta(plugin: Any) -> None:
    facts = {"stage": "list objects", "done": 5000, "total": None, "began": 0.0}
    assert plugin.progress_line(facts, now=2.0) == "  list objects  5,000  2,500/s"


def test_a_line_tells_why_a_stage_waits_and_since_when_and_no_forecast_counts_the_wait(plugin: Any) -> None:
    facts = {"stage": "rewrite", "done": 100, "total": 200, "began": 0.0, "paused_s": 50.0}
    assert plugin.progress_line(facts, now=150.0) == "  rewrite  100/200 50.0%  1/s  eta 0:01:40"
    waiting = facts | {"waiting": {"why": "db2 is behind", "since": 150.0}}
    assert plugin.progress_line(waiting, now=210.0) == (
        "  rewrite  100/200 50.0%  1/s  eta 0:01:40  waiting since 00:02:30 UTC (0:01:00): db2 is behind"
    )
    assert plugin.progress_line(waiting | {"done": 0}, now=210.0) == (
        "  rewrite  waiting since 00:02:30 UTC (0:01:00): db2 is behind"
    )
