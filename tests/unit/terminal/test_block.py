"""The block that is redrawn: it fits any width, and shows what is known, whatever that is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome_terminal.block import Block
from rehome_terminal.pace import Pace
from rehome_terminal.signs import readable
from rich.cells import cell_len
from rich.console import Console

NOW = 1_000.0
COPYING: dict[str, Any] = {
    "verb": "migrate",
    "run": "vm:1:2026-11-29T14:00:00+00:00",
    "pass": 2,
    "stage": "copy",
    "done": 3_105,
    "total": 5_000,
    "began": 990.0,
    "paused_s": 0.0,
    "counts": {"copied": 3_103, "failed": 2},
    "bytes_done": 12_000_000,
    "bytes_total": 20_000_000,
    "requests": {"in_flight": 60, "limit": 64, "retries": 3, "throttled": 1, "p50_ms": 8.0, "p99_ms": 31.0},
    "ahead_s": 95.0,
}


class Encoded(io.StringIO):
    """A terminal of an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Its encoding."""
        return self._encoding


def drawn(snapshot: Mapping[str, Any], width: int, encoding: str = "utf-8", pace: Pace | None = None) -> list[str]:
    """Return the lines of the block, without trailing spaces."""
    screen = Encoded(encoding)
    console = Console(file=screen, width=width, height=100, force_terminal=True, color_system=None, _environ={})
    block = Block("14:00:00 UTC", "copy · pass 2", snapshot, pace or Pace(), 10.0, NOW)
    console.print(block)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_it_tells_how_far_how_fast_how_long_still_and_what_goes_wrong() -> None:
    assert drawn(COPYING, 200) == [
        "14:00:00 UTC  copy · pass 2  0:00:10",
        f"  {'━' * 37}{' ' * 23}  62.1%  3,105/5,000  ETA 0:00:06  whole run about 0:01:41",
        "  310 objects/s · 11.4 MiB of 19.1 MiB · copied=3,103 · failed=2 · 60 of 64 requests in flight · 3 retries"
        " · 1 throttled · latency 8 ms, p99 31 ms",
    ]


def test_at_eighty_columns_the_whole_run_s_forecast_moves_down() -> None:
    lines = drawn(COPYING, 80)
    assert lines[1].endswith("  62.1%  3,105/5,000  ETA 0:00:06")
    assert lines[2].startswith("  whole run about 0:01:41 · 310 objects/s")


def test_at_forty_columns_the_same_takes_more_lines() -> None:
    lines = drawn(COPYING, 40)
    assert lines[0] == "14:00:00 UTC  copy · pass 2  0:00:10"
    assert lines[1].endswith("  62.1%  3,105/5,000")
    assert lines[2] == "  ETA 0:00:06 · whole run about 0:01:41"
    assert all(fact in " ".join(lines) for fact in ("310 objects/s", "60 of 64 requests", "whole run about 0:01:41"))


def test_it_says_what_holds_the_stage_and_since_when_and_keeps_the_forecast() -> None:
    held = COPYING | {"waiting": {"why": "replica db-2 is 14.0 s behind; max_lag_s is 10", "since": 995.0}}
    lines = drawn(held, 120)
    assert lines[-1] == ("  waiting since 00:16:35 UTC (0:00:05): replica db-2 is 14.0 s behind; max_lag_s is 10")
    assert "621 objects/s" in lines[2], "the five seconds of the wait are no time of work"


def test_a_terminal_that_has_ascii_only_gets_ascii_only() -> None:
    text = "\n".join(drawn(COPYING | {"stage": "read → write"}, 80, encoding="ascii"))
    assert text.isascii()
    assert "[" + "#" * 5 in text


def test_a_stage_whose_length_is_not_known_counts_without_a_bar_or_a_forecast() -> None:
    lines = drawn({"stage": "list objects", "done": 5_000, "total": None, "began": 990.0}, 80)
    assert lines == ["14:00:00 UTC  copy · pass 2  list objects  0:00:10", "  5,000 objects · 500 objects/s"]


def test_without_a_snapshot_it_is_the_name_and_the_time() -> None:
    assert drawn({}, 80) == ["14:00:00 UTC  copy · pass 2  0:00:10"]


def test_the_rate_is_that_of_the_last_half_minute_and_pauses_are_no_time() -> None:
    pace = Pace()
    for second in range(100):
        now = NOW - 100 + second
        fast = second >= 60
        done = second * 10 if not fast else 600 + (second - 60) * 100
        pace.add({"stage": "copy", "began": 900.0, "done": done, "bytes_done": done * 1_024}, now)
    assert pace.steps == pytest.approx(100, rel=0.01)
    assert pace.bytes == pytest.approx(102_400, rel=0.01)
    pace.add({"stage": "copy", "began": 900.0, "done": done, "waiting": {"why": "x", "since": now}}, now + 500)
    assert pace.steps == pytest.approx(100, rel=0.01)
    pace.add({"stage": "rewrite", "began": now, "done": 7}, now + 501)
    assert pace.steps is None, "another stage begins anew"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
AMOUNT = st.integers(min_value=0, max_value=10**12) | st.floats(min_value=0, max_value=1e12) | ANY
REQUESTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("in_flight", "limit", "retries", "throttled", "p50_ms", "p99_ms"), AMOUNT)
)
HOLD = st.fixed_dictionaries(
    {}, optional={"why": st.text(max_size=300) | ANY, "since": AMOUNT, "by": ANY, "paused": ANY}
)
SNAPSHOTS = st.fixed_dictionaries(
    {},
    optional={
        "stage": st.text(max_size=60) | ANY,
        "verb": ANY,
        "pass": ANY,
        **dict.fromkeys(("done", "total", "began", "paused_s", "bytes_done", "bytes_total", "ahead_s"), AMOUNT),
        "counts": st.dictionaries(st.text(max_size=30), AMOUNT, max_size=4) | ANY,
        "requests": REQUESTS | ANY,
        "waiting": HOLD | ANY,
        "control": HOLD | ANY,
    },
)


@given(SNAPSHOTS, st.integers(min_value=40, max_value=250), st.sampled_from(["utf-8", "ascii"]))
def test_no_line_is_wider_than_the_terminal_and_nothing_that_is_missing_or_odd_ends_the_display(
    snapshot: dict[str, Any], width: int, encoding: str
) -> None:
    pace = Pace()
    for now in (NOW - 5, NOW):
        pace.add(snapshot, now)
    for line in drawn(snapshot, width, encoding, pace):
        assert cell_len(line) < width
        assert readable(line) == line, "what a terminal takes for a command"


def test_at_eighty_columns_a_pause_says_how_to_resume_behind_a_long_path() -> None:
    way_out = "resume with playbooks/control.yml -e do=resume, or delete the file"
    place = "/srv/ops/migrations/of-the-shop/.rehome/rehome-prod/avatars/control.json"
    why = f"paused by anna in {place}, since 1970-01-01T00:16:30+00:00; {way_out}"
    shown = drawn({**COPYING, "waiting": {"why": why, "since": 990.0}}, 80)
    assert way_out in " ".join(" ".join(shown).split())
