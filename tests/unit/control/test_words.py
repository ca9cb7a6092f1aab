"""What is known of a run, as people read it."""

from __future__ import annotations

from rehome.control.orders import OFF, Order
from rehome.control.words import Standing, status_lines

NOW = 1_800_000_000.0
WHO = "migrate, process 4711 of anna on ops1, since 2027-01-15T07:00:00+00:00"
COPY = {"stage": "copy", "done": 700, "total": 1000, "began": NOW - 30, "paused_s": 10.0}


def test_a_run_at_work_says_how_far_how_fast_and_how_long_still() -> None:
    lines = status_lines(Standing("avatars", "here", WHO, COPY), NOW)
    assert lines == [f"avatars: {WHO}", "stage    copy at 700 of 1,000 (70%), 35.0/s, 0:00:09 left"]


def test_a_paused_run_says_why_and_for_how_long_and_makes_no_forecast() -> None:
    waiting = {"why": "paused by anna in /srv/control.json; resume with …", "since": NOW - 10}
    lines = status_lines(Standing("avatars", "here", WHO, {**COPY, "waiting": waiting}), NOW)
    assert lines[1] == "stage    copy at 700 of 1,000 (70%), 70.0/s"
    assert lines[2] == "waiting  for 0:00:10: paused by anna in /srv/control.json; resume with …"


def test_limits_in_force_and_what_each_door_asks_have_a_line_each() -> None:
    control = {"limits": {"nice": 0.0, "requests": 8, "objects_per_second": None}}
    orders = {
        "control.json": Order(limits={"requests": 8, "objects_per_second": OFF}, by="anna", since="now"),
        "rehome.control of the database": Order(paused=True),
        "a door that is silent": Order(),
    }
    lines = status_lines(Standing("avatars", "here", WHO, {**COPY, "control": control}, orders, ("shut",)), NOW)
    assert lines[2:] == [
        "limits   requests 8 · objects_per_second none · nice 0",
        "asked    requests=8, objects_per_second=none by anna at now (control.json)",
        "asked    pause (rehome.control of the database)",
        "note     shut",
    ]


def test_without_a_run_the_last_one_is_told() -> None:
    said = {"stage": "copy", "done": 700, "at": "2027-01-15T07:00:00+00:00"}
    lines = status_lines(Standing("avatars", "nowhere", "", said), NOW)
    assert lines == [
        "avatars: nothing is at work",
        "last     a run in stage 'copy' at 700, as it said at 2027-01-15T07:00:00+00:00",
    ]


def test_a_stage_that_has_just_begun_has_no_rate() -> None:
    lines = status_lines(Standing("avatars", "here", WHO, {"stage": "plan", "done": 0, "began": NOW}), NOW)
    assert lines[1] == "stage    plan at 0"
