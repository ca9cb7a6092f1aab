"""What the parts of a run are told, and what is kept of who has asked for what."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rehome.control.controls import MOST_ASKED, Asked, Controls, Door, add_asked
from rehome.control.orders import OFF, Order

FILE = Door("/srv/state/control.json", "delete the file")
ROW = Door("rehome.control of the database", "resume with UPDATE")


def at(moment: float = 1_800_000_000.0) -> Controls:
    return Controls(clock=lambda: moment)


def said(controls: Controls) -> list[str]:
    return [one["asked"] for one in controls.asked]


def test_without_an_order_nothing_is_held_and_every_limit_is_the_settings_own() -> None:
    controls = at()
    assert controls.pause is None
    assert controls.limit("requests", 256) == 256
    assert controls.limit("objects_per_second", None) is None
    assert controls.asked == []


@given(st.lists(st.tuples(st.sampled_from([FILE, ROW]), st.booleans()), max_size=12))
def test_the_run_is_paused_while_any_door_says_so(steps: list[tuple[Door, bool]]) -> None:
    controls, doors = at(), {FILE: False, ROW: False}
    for door, paused in steps:
        doors[door] = paused
        controls.hear(door, Order(paused=paused))
        assert controls.paused == any(doors.values())
        assert (controls.pause is not None) == any(doors.values())


def test_a_pause_says_where_by_whom_since_when_and_how_it_ends() -> None:
    controls = at()
    controls.hear(ROW, Order(paused=True, by="anna"))
    assert controls.pause
    assert controls.pause.why == (
        "paused by anna in rehome.control of the database, since 2027-01-15T08:00:00+00:00; resume with UPDATE"
    )


def test_a_pause_that_was_left_on_counts_from_when_it_was_asked() -> None:
    controls = at()
    controls.hear(FILE, Order(paused=True, since="2027-01-14T08:00:00+00:00"))
    assert controls.pause
    assert controls.pause.since == 1_800_000_000.0 - 86_400


def test_a_pause_keeps_its_beginning_while_the_door_asks_for_more() -> None:
    now = [1_800_000_000.0]
    controls = Controls(clock=lambda: now[0])
    controls.hear(ROW, Order(paused=True))
    now[0] += 60
    controls.hear(ROW, Order(paused=True, limits={"requests": 3}))
    assert controls.pause
    assert controls.pause.since == 1_800_000_000.0


def test_limits_in_force_are_those_that_the_stage_has() -> None:
    controls = at()
    controls.limit("requests", 256)
    controls.limit("objects_per_second", None)
    controls.hear(FILE, Order(limits={"requests": 8, "max_lag_s": OFF}))
    assert controls.snapshot() == {
        "paused": False,
        "set": {"requests": 8, "max_lag_s": 0},
        "limits": {"requests": 8},
    }


def test_what_is_refused_changes_nothing_and_is_told_once() -> None:
    controls = at()
    controls.hear(FILE, Order(paused=True))
    for _ in range(3):
        controls.refuse(FILE, "it is not JSON")
    assert controls.paused
    assert said(controls) == ["pause", "refused: it is not JSON; nothing has changed"]
    assert controls.snapshot()["notes"] == ["/srv/state/control.json: it is not JSON"]
    controls.hear(FILE, Order())
    assert "notes" not in controls.snapshot()


def test_a_shut_door_is_a_note_and_nothing_that_was_asked() -> None:
    controls = at()
    controls.shut(ROW, "no right")
    assert controls.asked == []
    assert controls.snapshot()["notes"] == ["rehome.control of the database: no right"]


def test_a_script_that_asks_all_night_fills_no_memory() -> None:
    controls = at()
    for number in range(10 * MOST_ASKED):
        controls.hear(FILE, Order(limits={"requests": 1 + number % 7}))
    assert len(controls.asked) == MOST_ASKED


def test_time_paused_is_taken_once() -> None:
    controls = at()
    controls.add_paused(2.5)
    controls.add_paused(1.0)
    assert (controls.take_paused(), controls.take_paused()) == (3.5, 0.0)


def heard(*words: str, door: str = "file") -> list[Any]:
    return [Asked(at="now", door=door, by="anna", asked=word) for word in words]


def test_a_later_stage_that_hears_of_the_same_again_adds_nothing() -> None:
    first = heard("pause", "requests=8")
    assert add_asked(first, heard("pause requests=8")) == first
    assert add_asked(first, heard("requests=8")) == first


def test_a_later_stage_adds_what_is_new() -> None:
    first = heard("pause", "resume", "requests=8")
    for new in (heard("pause requests=8"), heard("requests=9"), heard("requests=8", door="row")):
        assert add_asked(first, new) == first + new


def test_what_was_refused_is_kept_once_over_the_stages() -> None:
    first = heard("refused: it is not JSON; nothing has changed")
    assert add_asked(first, first) == first
