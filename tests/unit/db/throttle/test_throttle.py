"""The throttle's signals and its waits, with a clock that only sleeping moves."""

from __future__ import annotations

import json
import math
import threading
import time
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.config.throttle import Window, read_throttle
from rehome.control.controls import Controls, Door
from rehome.control.orders import OFF, Order
from rehome.db.engines.mysql.load import redo_filled
from rehome.db.server_load import Heap, PositionHistory, UnreadableError
from rehome.db.throttle.signals import (
    MIN_DEAD,
    DeadTuples,
    OpenWindow,
    OperatorPause,
    OwnQuery,
    PauseFile,
    RedoLog,
    ReplicaLag,
    Running,
    Signal,
)
from rehome.db.throttle.throttle import CriticalLimitError, PausedTooLongError, Throttle
from rehome.errors import Finding
from rehome.progress import FILE, Progress


class Clock:
    """Stands still but for sleeps; calls what is due on the way."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1, "a request to stop must be heard within a second"
        self.now += seconds
        for at, action in [due for due in self.due if due[0] <= self.now]:
            self.due.remove((at, action))
            action()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, action))


class Switch(Signal):
    """Holds for as long as it has a reason."""

    name = "switch"

    def __init__(self, why: str | None = None, deliberate: bool = False) -> None:
        self.why = why
        type(self).deliberate = deliberate

    def set(self, why: str | None) -> None:
        self.why = why

    def pause_reason(self) -> str | None:
        return self.why


class Other(Switch):
    name = "other"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    progress = Progress(tmp_path)
    progress.stage("rewrite", 10)
    return progress


def told(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / FILE).read_text())  # type: ignore[no-any-return]


def make(clock: Clock, progress: Progress, *signals: Signal, **more: Any) -> Throttle:
    return Throttle(signals, progress, clock=clock, sleep=clock.sleep, **more)


# Waiting


def test_without_a_reason_there_is_no_pause(clock: Clock, progress: Progress) -> None:
    throttle = make(clock, progress, Switch())
    throttle.wait()
    assert clock.now == 100
    assert throttle.paused_s == {}


def test_a_wait_ends_when_its_reason_does_and_is_counted_under_its_name(clock: Clock, progress: Progress) -> None:
    switch = Switch("too much")
    throttle = make(clock, progress, switch)
    clock.after(30, lambda: switch.set(None))
    throttle.wait()
    assert clock.now == pytest.approx(130, abs=0.2)
    assert throttle.paused_s == {"switch": pytest.approx(30, abs=0.2)}


class Unreadable(Switch):
    """A signal whose figure cannot be read while there is a reason."""

    def pause_reason(self) -> str | None:
        if self.why is not None:
            raise UnreadableError(self.why)
        return None


def test_waiting_for_a_figure_is_not_counted_as_waiting_for_what_it_would_say(clock: Clock, progress: Progress) -> None:
    switch = Unreadable("it has not been read yet")
    throttle = make(clock, progress, switch)
    clock.after(3, lambda: switch.set(None))
    throttle.wait()
    assert throttle.paused_s == {"reading_switch": pytest.approx(3, abs=0.2)}


def test_progress_says_why_and_since_when_and_forgets_it_afterwards(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: clock.now)
    progress = Progress(tmp_path, clock)
    progress.stage("rewrite", 10)
    switch = Switch("too much")
    seen = []
    clock.after(20, lambda: seen.append(told(tmp_path)))
    clock.after(30, lambda: switch.set(None))
    make(clock, progress, switch).wait()
    assert seen[0]["waiting"]["why"] == "too much"
    assert seen[0]["waiting"]["since"] == pytest.approx(100, abs=0.2)
    assert "waiting" not in told(tmp_path)
    assert told(tmp_path)["paused_s"] == pytest.approx(30, abs=0.2)


def test_a_stale_reason_gives_way_to_the_present_one(clock: Clock, tmp_path: Path) -> None:
    progress = Progress(tmp_path, clock)
    progress.stage("rewrite", 10)
    first, second = Switch("the first"), Other()
    seen = []
    clock.after(10, lambda: (first.set(None), second.set("the second")))  # type: ignore[func-returns-value]
    clock.after(15, lambda: seen.append(told(tmp_path)["waiting"]["why"]))
    clock.after(20, lambda: second.set(None))
    throttle = make(clock, progress, first, second)
    throttle.wait()
    assert seen == ["the second"]
    assert throttle.paused_s == {"switch": pytest.approx(10, abs=0.2), "other": pytest.approx(10, abs=0.2)}


def test_a_request_to_stop_ends_a_wait_within_a_second(clock: Clock, progress: Progress) -> None:
    asked: list[bool] = []
    clock.after(5, lambda: asked.append(True))
    make(clock, progress, Switch("for ever")).wait(lambda: bool(asked))
    assert clock.now < 106


def test_the_connection_is_kept_alive_while_waiting_and_seen_to_afterwards(clock: Clock, progress: Progress) -> None:
    switch, pings = Switch("too much"), list[float]()
    clock.after(35, lambda: switch.set(None))
    make(clock, progress, switch).wait(keep_alive=lambda: pings.append(clock.now - 100))
    assert [round(ping / 10) for ping in pings] == [1, 2, 3, 4]
    assert pings[-1] == pytest.approx(35, abs=0.2)


def test_an_unreadable_signal_pauses_and_says_so(clock: Clock, tmp_path: Path) -> None:
    progress = Progress(tmp_path, clock)
    progress.stage("rewrite", 10)
    answers: list[Any] = [UnreadableError("the lag cannot be read: access denied")]

    def lag() -> Mapping[str, float]:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]  # type: ignore[no-any-return]

    seen = []
    clock.after(5, lambda: seen.append(told(tmp_path)["waiting"]["why"]))
    clock.after(8, lambda: answers.__setitem__(0, {"db2": 0.0}))
    make(clock, progress, ReplicaLag(lag, 10)).wait()
    assert seen == ["the lag cannot be read: access denied"]
    assert clock.now == pytest.approx(108, abs=0.2)


def test_a_wait_that_lasts_too_long_ends_the_run_with_its_reason(clock: Clock, progress: Progress) -> None:
    with pytest.raises(PausedTooLongError, match=r"max_wait_s \(60\).*paused for 60 s: too much.*run it again"):
        make(clock, progress, Switch("too much"), max_wait_s=60).wait()


def test_a_wait_that_the_operator_wants_may_last(clock: Clock, progress: Progress) -> None:
    switch = Switch("the window is closed", deliberate=True)
    clock.after(3600, lambda: switch.set(None))
    make(clock, progress, switch, max_wait_s=60).wait()
    assert clock.now > 3700 - 1


def test_reasons_that_alternate_are_not_one_long_wait(clock: Clock, progress: Progress) -> None:
    first, second = Switch("a"), Other()
    clock.after(40, lambda: (first.set(None), second.set("b")))  # type: ignore[func-returns-value]
    clock.after(80, lambda: second.set(None))
    make(clock, progress, first, second, max_wait_s=60).wait()
    assert clock.now > 179


def test_nice_pauses_for_its_share_of_the_work_and_notices_a_request_to_stop(clock: Clock, progress: Progress) -> None:
    throttle = make(clock, progress, nice=2.0)
    throttle.record(0.5)
    throttle.wait()
    assert clock.now == pytest.approx(101)
    assert throttle.paused_s == {"nice": pytest.approx(1)}
    throttle.record(1000)
    asked: list[bool] = []
    clock.after(3, lambda: asked.append(True))
    throttle.wait(lambda: bool(asked))
    assert clock.now < 105


def test_a_signal_of_one_table_does_not_hold_the_work_on_another(clock: Clock, progress: Progress) -> None:
    switch = Switch("its table is busy")
    switch.table = "avatars"
    make(clock, progress, switch).wait(table="thumbs")
    assert clock.now == 100


def test_threads_wait_together_and_their_wait_is_counted_once(progress: Progress) -> None:
    switch = Switch("too much")
    throttle = Throttle([switch], progress)
    threads = [threading.Thread(target=throttle.wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert all(thread.is_alive() for thread in threads)
    switch.set(None)
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert 0.3 < throttle.paused_s["switch"] < 4 * 0.5


def test_rows_that_any_thread_wrote_reach_the_tables_signal(clock: Clock, progress: Progress) -> None:
    table = Table(clock, vacuum=True)
    throttle = make(clock, progress, table.signal)
    throttle.wait(table="avatars")
    throttle.record(0.1, "thumbs", 500_000)
    throttle.wait(table="avatars")
    throttle.record(0.1, "avatars", 100_000)
    assert table.vacuum
    clock.after(3, table.vacuum.end)
    throttle.wait(table="avatars")
    assert throttle.paused_s == {"dead_tuples": pytest.approx(3, abs=0.3)}


# Signals


def test_a_pause_file_pauses_while_it_exists(tmp_path: Path) -> None:
    path = tmp_path / "pause"
    signal = PauseFile(path)
    assert signal.pause_reason() is None
    path.touch()
    assert signal.pause_reason() == f"the pause file {path} exists"
    path.unlink()
    assert signal.pause_reason() is None


def test_a_pause_file_that_cannot_be_checked_pauses(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UnreadableError, match=r"cannot be checked: Too many levels"):
        PauseFile(loop / "pause").pause_reason()


def test_a_lag_within_the_limit_does_not_hold_and_one_beyond_names_the_replica() -> None:
    lags = {"db2": 10.0, "db3": 0.0}
    signal = ReplicaLag(lambda: lags, 10)
    assert signal.pause_reason() is None
    lags["db3"] = 12.34
    assert signal.pause_reason() == "replica db3 is 12.3 s behind; max_lag_s is 10"


@pytest.mark.parametrize(("at_start", "limit"), [(0, 25), (20, 25), (100, 120)])
def test_the_default_for_running_statements_follows_what_ran_at_the_start(at_start: int, limit: int) -> None:
    now = [at_start]
    signal = Running(lambda: now[0], None)
    assert signal.pause_reason() is None
    now[0] = limit
    assert signal.pause_reason() is None
    now[0] = limit + 1
    assert signal.pause_reason() == (f"other sessions run {limit + 1} statements on the server; max_running is {limit}")


def test_a_threshold_of_running_statements_applies_from_the_start() -> None:
    assert Running(lambda: 4, 3).pause_reason()
    assert not Running(lambda: 3, 3).pause_reason()


def test_a_redo_log_that_is_nearly_full_pauses() -> None:
    assert RedoLog(lambda: 0.9, 0.9).pause_reason() is None
    assert RedoLog(lambda: 0.934, 0.9).pause_reason() == "the redo log is 93% full; max_redo_ratio is 0.9"


def test_the_redo_log_is_known_by_the_variables_of_either_server() -> None:
    mysql = {"current_lsn": 2_000, "checkpoint_lsn": 1_100, "capacity_resized": 2_000}
    assert redo_filled({"Innodb_checkpoint_age": 30, "Innodb_checkpoint_max_age": 40}) == 0.75
    assert redo_filled({f"Innodb_redo_log_{name}": value for name, value in mysql.items()}) == 0.5
    assert redo_filled({}) is None


def test_the_operators_query_pauses_above_its_threshold() -> None:
    assert OwnQuery(lambda: 0.0, 0.0).pause_reason() is None
    assert OwnQuery(lambda: 1.5, 1.0).pause_reason() == "the query returns 1.5; query_limit is 1"


# Windows


def window(text: str) -> Window:
    findings: list[Finding] = []
    settings = read_throttle({"window": text}, Path("/state"), findings)
    assert not findings
    assert settings.window is not None
    return settings.window


@pytest.mark.parametrize(
    ("text", "now", "hours"),
    [
        ("22:00-06:00", "23:00", None),
        ("22:00-06:00", "05:59", None),
        ("22:00-06:00", "06:00", 16),
        ("22:00-06:00", "21:00", 1),
        ("22:00-06:00", "22:00", None),
        ("01:00-03:00", "00:00", 1),
        ("01:00-03:00", "02:00", None),
        ("01:00-03:00", "03:00", 22),
        ("22:00-06:00 Asia/Tokyo", "13:00", None),
        ("22:00-06:00 Asia/Tokyo", "12:00", 1),
        ("22:00-00:00", "23:59", None),
        ("22:00-00:00", "00:00", 22),
    ],
)
def test_a_window_is_open_in_its_hours_by_its_own_zone(text: str, now: str, hours: int | None) -> None:
    at = datetime.fromisoformat(f"2026-03-10T{now}:00+00:00")
    assert window(text).opens_in(at) == (None if hours is None else timedelta(hours=hours))


def test_a_zone_is_known_where_the_system_has_none() -> None:
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    try:
        assert window("22:00-06:00 Europe/Berlin")
    finally:
        zoneinfo.reset_tzpath()


def test_a_window_knows_the_night_on_which_the_clock_is_changed() -> None:
    at = datetime(2026, 3, 28, 23, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    assert window("06:00-07:00 Europe/Berlin").opens_in(at) == timedelta(hours=6)


def test_a_closed_window_says_when_it_opens() -> None:
    signal = OpenWindow(window("22:00-06:00"), lambda: datetime(2026, 1, 1, 20, 14, 30, tzinfo=UTC))
    assert signal.pause_reason() == "the window 22:00-06:00 is closed; it opens in 1:46 h"


@given(st.integers(0, 1439), st.integers(0, 1439), st.datetimes(timezones=st.just(UTC)))
def test_a_window_is_open_when_it_says_it_will_be(start: int, end: int, now: datetime) -> None:
    if start == end:
        return
    text = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    closed = window(text).opens_in(now)
    if closed is not None and now.year < 9999:
        assert window(text).opens_in(now + closed) is None
        assert window(text).opens_in(now + closed - timedelta(microseconds=1)) is not None


# Dead tuples


class FakeVacuum:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.started = 0
        self.running = False
        self.ended_at = -math.inf
        self.failure: str | None = None

    def start(self) -> None:
        self.started += 1
        self.running = True

    def end(self) -> None:
        self.running, self.ended_at = False, self.clock()


class Table:
    """A table of a million rows, and what the statistics say about it."""

    def __init__(self, clock: Clock, vacuum: bool, ratio: float = 0.1) -> None:
        self.clock = clock
        self.dead = 0
        self.vacuumed = False
        self.autovacuum_at: int | None = 200_050
        self.lag_s = 0.0
        self.vacuum = FakeVacuum(clock) if vacuum else None
        self.signal = DeadTuples("avatars", self.heap, ratio, self.vacuum, clock)

    def heap(self) -> Heap:
        return Heap(1_000_000, self.dead, self.autovacuum_at, self.vacuumed, self.clock() - self.lag_s)


def test_a_vacuum_of_our_own_begins_at_the_limit_by_our_own_count(clock: Clock) -> None:
    table = Table(clock, vacuum=True)
    assert table.vacuum
    assert table.signal.pause_reason() is None
    table.signal.record(99_999)
    assert table.signal.pause_reason() is None
    table.signal.record(1)
    assert table.signal.pause_reason() == "VACUUM is running on avatars"
    clock.now += 5
    assert table.signal.pause_reason() == "VACUUM is running on avatars"
    assert table.vacuum.started == 1
    table.vacuum.end()
    table.lag_s = 1
    assert "waiting for new statistics" in (table.signal.pause_reason() or "")
    table.lag_s = 0
    assert table.signal.pause_reason() is None
    table.signal.record(99_999)
    assert table.signal.pause_reason() is None


def test_dead_tuples_of_the_application_count_too(clock: Clock) -> None:
    table = Table(clock, vacuum=True)
    assert table.signal.pause_reason() is None
    table.dead = 100_000
    assert table.signal.pause_reason()


def test_a_vacuum_that_removed_nothing_is_reported_and_tried_again_after_a_minute(clock: Clock) -> None:
    table = Table(clock, vacuum=True)
    assert table.vacuum
    table.dead = 150_000
    assert table.signal.pause_reason() == "VACUUM is running on avatars"
    table.vacuum.end()
    assert table.signal.pause_reason() == (
        "avatars has 150,000 dead tuples beside 1,000,000 live ones, and VACUUM could not remove them: an old "
        "transaction or a replication slot may still need them"
    )
    table.vacuum.failure = "canceled"
    assert (table.signal.pause_reason() or "").endswith("could not remove them: canceled")
    clock.now += 61
    assert table.signal.pause_reason() == "VACUUM is running on avatars"
    assert table.vacuum.started == 2


def test_without_the_right_to_vacuum_the_limit_is_where_autovacuum_comes(clock: Clock) -> None:
    table = Table(clock, vacuum=False)
    table.dead = 200_050
    assert table.signal.pause_reason() is None
    table.dead = 200_051
    expected = "avatars has 200,051 dead tuples beside 1,000,000 live ones; waiting for autovacuum"
    assert table.signal.pause_reason() == expected
    table.vacuumed = True
    assert table.signal.pause_reason() == "a VACUUM is running on avatars"
    table.vacuumed, table.dead = False, 0
    assert table.signal.pause_reason() is None


def test_what_was_just_written_counts_before_the_statistics_have_it_but_not_twice_for_long(clock: Clock) -> None:
    table = Table(clock, vacuum=False)
    table.signal.record(200_051)
    assert table.signal.pause_reason()
    clock.now += 2
    assert table.signal.pause_reason() is None


def test_a_table_that_no_vacuum_will_come_to_says_what_to_do(clock: Clock) -> None:
    table = Table(clock, vacuum=False)
    table.autovacuum_at = None
    table.dead = 100_000
    assert (table.signal.pause_reason() or "").endswith(
        "autovacuum is off for it, and this user may not VACUUM it: do so by hand"
    )


@pytest.mark.parametrize(
    ("vacuum", "table", "rows", "awaits"),
    [
        (False, "avatars", MIN_DEAD, True),
        (False, "avatars", MIN_DEAD - 1, False),
        (False, "other", MIN_DEAD, False),
        (True, "avatars", MIN_DEAD, False),
    ],
)
def test_autovacuum_is_awaited_for_many_rows_where_nobody_else_makes_room(
    clock: Clock, tmp_path: Path, vacuum: bool, table: str, rows: int, awaits: bool
) -> None:
    throttle = Throttle([Table(clock, vacuum).signal], Progress(tmp_path))
    assert throttle.awaits_autovacuum(table, rows) is awaits


def test_a_few_dead_tuples_never_hold_a_small_table(clock: Clock) -> None:
    signal = DeadTuples("t", lambda: Heap(1000, MIN_DEAD - 1, 250, False, clock()), 0.1, None, clock)
    assert signal.pause_reason() is None


# How far a follower is behind


def test_a_follower_is_behind_since_the_stream_passed_it() -> None:
    history = PositionHistory()
    assert history.seconds_behind(0, 100) == 0
    history.record(5, 100)
    history.record(5, 150)
    history.record(8, 200)
    assert history.seconds_behind(8, 210) == 0
    assert history.seconds_behind(5, 210) == 10
    assert history.seconds_behind(4, 210) == 110


# Settings


@pytest.mark.parametrize(
    ("given", "named", "way_out"),
    [
        ({"window": "22-6"}, "rehome_throttle.window", "22:00-06:00 Europe/Berlin"),
        ({"window": "22:00-06:00 Mars/Olympus"}, "names no time zone", "in UTC"),
        ({"window": "06:00-06:00"}, "begins when it ends", "22:00-06:00"),
        ({"nice": -1.0}, "rehome_throttle.nice (-1.0)", "Choose 0"),
        ({"max_lag_s": math.nan}, "rehome_throttle.max_lag_s", "Choose 0"),
        ({"replicas": [{"port": 3306}]}, "rehome_throttle.replicas[0].host", "Name the replica"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any], named: str, way_out: str) -> None:
    findings: list[Finding] = []
    read_throttle(given, Path("/state"), findings)
    (finding,) = findings
    assert named in str(finding)
    assert way_out in str(finding)


def test_the_pause_file_is_in_the_state_folder_unless_it_is_named() -> None:
    assert read_throttle({}, Path("/state"), []).pause_file == Path("/state/pause")
    assert read_throttle({"pause_file": "/run/halt"}, Path("/state"), []).pause_file == Path("/run/halt")


# What operators ask


DOOR = Door("control.json", "delete it")


def test_an_operators_pause_lasts_until_it_is_taken_back_whatever_max_wait_s_says(
    clock: Clock, progress: Progress
) -> None:
    controls = Controls()
    controls.hear(DOOR, Order(paused=True, by="anna"))
    throttle = make(clock, progress, OperatorPause(controls), controls=controls, max_wait_s=5)
    shown: list[Any] = []
    clock.after(20, lambda: shown.append(progress.snapshot()["waiting"]))
    clock.after(60, lambda: controls.hear(DOOR, Order()))
    throttle.wait()
    assert clock.now == pytest.approx(160, abs=0.2)
    assert throttle.paused_s == {"control": pytest.approx(60, abs=0.2)}
    assert shown[0]["why"].startswith("paused by anna in control.json, since ")


def test_a_run_that_is_paused_stops_at_once(clock: Clock, progress: Progress) -> None:
    controls = Controls()
    controls.hear(DOOR, Order(paused=True))
    throttle = make(clock, progress, OperatorPause(controls), controls=controls)
    throttle.wait(lambda: clock.now > 130)
    assert clock.now == pytest.approx(130, abs=0.2)


def test_a_limit_that_is_set_meanwhile_counts_and_the_settings_own_comes_back(clock: Clock, progress: Progress) -> None:
    controls, lag = Controls(), [5.0]
    signal = ReplicaLag(lambda: {"r": lag[0]}, 10.0)
    throttle = make(clock, progress, signal, controls=controls)
    throttle.wait()
    assert clock.now == 100
    controls.hear(DOOR, Order(limits={"max_lag_s": 2.0}))
    clock.after(7, lambda: controls.hear(DOOR, Order()))
    throttle.wait()
    assert clock.now == pytest.approx(107, abs=0.2)
    lag[0] = 99
    clock.after(3, lambda: controls.hear(DOOR, Order(limits={"max_lag_s": OFF})))
    throttle.wait()
    assert clock.now == pytest.approx(110, abs=0.3)
    assert controls.snapshot()["limits"] == {"max_lag_s": 0, "nice": 0.0}


def test_nice_follows_what_is_asked(clock: Clock, progress: Progress) -> None:
    controls = Controls()
    throttle = make(clock, progress, controls=controls, nice=0.0)
    controls.hear(DOOR, Order(limits={"nice": 3.0}))
    throttle.record(2.0)
    throttle.wait()
    assert clock.now == pytest.approx(106, abs=0.2)


# Limits that end a run


def test_a_critical_limit_ends_the_run_with_the_setting_its_value_and_the_figure(
    clock: Clock, progress: Progress
) -> None:
    throttle = make(clock, progress, critical=[ReplicaLag(lambda: {"r": 400.0}, 300.0)])
    with pytest.raises(CriticalLimitError) as ended:
        throttle.wait()
    assert str(ended.value).startswith(
        "rehome_critical.max_lag_s (300): the run has ended by itself: replica r is 400.0 s behind; max_lag_s is 300."
    )
    assert str(ended.value).endswith("[RH-720]")


def test_a_critical_limit_is_looked_at_while_the_work_pauses(clock: Clock, progress: Progress) -> None:
    running = [30]
    signals = [Running(lambda: running[0], 25)]
    throttle = make(clock, progress, *signals, critical=[Running(lambda: running[0], 100)])
    clock.after(10, lambda: running.__setitem__(0, 101))
    with pytest.raises(CriticalLimitError):
        throttle.wait()
    assert clock.now == pytest.approx(110, abs=0.2)


def test_a_peak_shorter_than_for_s_ends_nothing(clock: Clock, progress: Progress) -> None:
    running = [101]
    throttle = make(
        clock,
        progress,
        Running(lambda: running[0], 25),
        critical=[Running(lambda: running[0], 100)],
        critical_s=5.0,
    )
    clock.after(4, lambda: running.__setitem__(0, 50))
    clock.after(8, lambda: running.__setitem__(0, 101))
    clock.after(12, lambda: running.__setitem__(0, 0))
    throttle.wait()
    assert clock.now == pytest.approx(112, abs=0.3)


def test_what_cannot_be_read_is_not_critical(clock: Clock, progress: Progress) -> None:
    throttle = make(clock, progress, critical=[Unreadable("no right")])
    throttle.wait()
    assert clock.now == 100
