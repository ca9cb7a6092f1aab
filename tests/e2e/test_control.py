"""A hand on the wheel: runs that are paused, resumed, retuned and ended while they work, on three databases."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import PLAY_TIMEOUT_S, Played, World, Worlds, play_to_end
from tests.e2e.forked import Forked
from tests.statements import execute_as

OBJECTS = 1500
"""More than the rows of the first chunk."""
PATIENCE_S = 120
STILL_S = 1.5
"""How long a test looks whether anything is written in a pause."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with suppress(OSError, ValueError, KeyError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE_S} s")


class Run:
    """A migration that is at work: in a fork, or as operators start it if it is to hear a terminal's signals."""

    def __init__(self, world: World, *, started: bool = False, **variables: object) -> None:
        self.world = world
        self._process = world.start(**variables) if started else None
        self._forked = None if started else Forked(world.folder, world.arguments(**variables))
        self.pid = self._process.pid if self._process else self._forked.pid if self._forked else 0

    def is_running(self) -> bool:
        if self._forked:
            return self._forked.running()
        return self._process is not None and self._process.poll() is None

    @property
    def progress(self) -> dict[str, Any]:
        """What the run says; nothing while only an earlier one has said anything."""
        progress: dict[str, Any] = json.loads((self.world.state / "progress.json").read_text())
        return progress if f":{self.pid}:" in progress.get("run", "") else {}

    def reaches(self, stage: str, done: int = 1) -> None:
        def reached() -> bool:
            assert self.is_running(), self.ends().output
            progress = self.progress
            return str(progress["stage"]).startswith(stage) and progress["done"] >= done and "ended" not in progress

        wait_until(reached, f"{stage} at {done}")

    def is_paused(self) -> None:
        wait_until(lambda: self.progress["control"]["paused"] and self.progress.get("waiting"), "paused")

    def ends(self) -> Played:
        if self._forked:
            output = self._forked.wait(PLAY_TIMEOUT_S)
            return Played(self._forked.code(), output)
        assert self._process
        return play_to_end(self._process)

    def is_killed(self) -> None:
        """Kill -9 all its processes."""
        family = psutil.Process(self.pid)
        for one in [family, *family.children(recursive=True)]:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        self.ends()

    def is_over(self) -> None:
        """Release its resources."""
        if self._forked:
            self._forked.close()


@contextmanager
def running(world: World, *, started: bool = False, **variables: object) -> Iterator[Run]:
    run = Run(world, started=started, **variables)
    try:
        yield run
    finally:
        if run.is_running():
            run.is_killed()
        run.is_over()


def order(world: World, **document: Any) -> None:
    """Replace the control file whole, as anybody may."""
    new = world.state / "control.json.mine"
    new.write_text(json.dumps(document))
    new.replace(world.state / "control.json")


def dba(world: World, change: str) -> None:
    """Run the documented statement as the database's administrator."""
    table = "rehome_control" if world.db == "sqlite" else "rehome.control"
    execute_as(world.sandbox.database(world.db), "migrate", f"UPDATE {table} SET {change} WHERE migration = 'avatars'")


def settled(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, once what was in flight is over."""
    found = [look()]

    def still() -> bool:
        time.sleep(0.3)
        found.append(look())
        return bool(found[-1] == found[-2])

    wait_until(still, "nothing in flight")
    return found[-1]


def assert_nothing_is_written(look: Callable[[], Any]) -> Any:
    before = settled(look)
    time.sleep(STILL_S)
    assert look() == before
    return before


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def world(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    return uncontrolled(worlds.of(request.param), OBJECTS)


def uncontrolled(world: World, objects: int) -> World:
    """Seed a world, and take back what was asked of it."""
    world.seed(objects)
    with suppress(Exception):  # no run has made the table yet
        dba(world, "paused = FALSE, settings = NULL, asked_by = NULL")
    return world


@pytest.fixture
def light(worlds: Worlds) -> World:
    """A world with SQLite, for what is not the database's doing."""
    return uncontrolled(worlds.of("sqlite"), OBJECTS)


@pytest.fixture
def idle(worlds: Worlds) -> World:
    """Such a world where nothing runs."""
    return uncontrolled(worlds.of("sqlite"), 1)


def test_a_run_is_paused_and_retuned_under_load_by_both_doors(world: World) -> None:
    def copied() -> int:
        return len(world.objects("production-s3"))

    def rewritten() -> int:
        return sum(path.startswith("avatar/") for _, path in world.rows())

    settings = {"rehome_objects_per_second": 50, "rehome_throttle": {"nice": 5.0}, "rehome_chunk_ms": 5}
    with world.slow_rows(), running(world, **settings) as run:
        run.reaches("copy", 10)
        order(world, paused=True, by="anna")
        run.is_paused()
        assert run.progress["waiting"]["why"].startswith(f"paused by anna in {world.state}/control.json, since ")
        at = assert_nothing_is_written(copied)
        assert 10 <= at < OBJECTS
        order(world, set={"objects_per_second": 600})
        run.reaches("rewrite", 1)
        dba(world, "paused = TRUE, asked_by = 'bob'")
        run.is_paused()
        assert "paused by bob in " in run.progress["waiting"]["why"]
        at = assert_nothing_is_written(rewritten)
        assert 0 < at < OBJECTS
        dba(world, """paused = FALSE, settings = '{"nice": 0}'""")
        played = run.ends()
    assert played.code == 0, played.output
    assert (copied(), rewritten()) == (OBJECTS, OBJECTS)
    summary = world.summary
    assert summary["complete"] is True
    assert summary["throttled_s"]["control"] > 2 * STILL_S
    asked = [(one["by"], one["asked"]) for one in summary["control"]]
    assert [what for _, what in asked] == ["pause", "resume objects_per_second=600", "pause", "resume nice=0"]
    assert [by for by, what in asked if what == "pause"] == ["anna", "bob"]


def control(world: World, *arguments: str, **variables: object) -> Played:
    return world.play(*arguments, playbook="playbooks/control.yml", **variables)


def test_the_playbook_sees_pauses_retunes_and_resumes_a_run_beside_which_it_works(light: World) -> None:
    with running(light, rehome_objects_per_second=20) as run:
        run.reaches("copy", 5)
        seen = control(light)
        assert seen.code == 0
        assert "avatars: migrate, process " in seen.output
        assert "stage    copy at " in seen.output
        assert control(light, "--check", do="pause").changed == 1
        assert not (light.state / "control.json").exists()
        paused = control(light, do="pause")
        assert (paused.code, paused.changed) == (0, 1)
        assert run.progress["control"]["paused"] is True
        assert "waiting  for 0:00:0" in control(light).output
        assert control(light, do="pause").changed == 0
        wrong = control(light, do="set", requests=5000)
        assert "requests (5000): is not a whole number of 1 to " in wrong.message.replace("requests (5000) ", "")
        assert control(light, do="resume", objects_per_second=9).message.startswith("error: do: limits are given")
        control(light, do="set", objects_per_second=2000, requests=16)
        assert run.progress["control"]["limits"]["requests"] == 16
        assert run.progress["control"]["paused"] is True
        assert control(light, do="resume").changed == 1
        assert run.ends().code == 0
    assert light.summary["complete"] is True
    asked = [one["asked"] for one in light.summary["control"]]
    assert asked[:3] == ["pause", "requests=16 objects_per_second=2000", "resume"] or len(asked) == 3


def test_nothing_at_work_is_told_and_a_pause_for_the_next_run_has_to_be_meant(idle: World) -> None:
    status = control(idle)
    assert (status.code, status.changed) == (0, 0)
    assert "avatars: nothing is at work" in status.output
    refused = control(idle, do="pause")
    assert refused.code != 0
    assert "do (pause): nothing is at work" in refused.message
    assert "[RH-721]" in refused.message
    assert control(idle, do="pause", door="file").changed == 1
    assert control(idle, do="resume").changed == 1
    assert not (idle.state / "control.json").exists()


def test_action_is_another_word_for_do(idle: World) -> None:
    assert "avatars: nothing is at work" in control(idle, action="status").output
    refused = control(idle, action="pause")
    assert "do (pause): nothing is at work" in refused.message
    assert control(idle, action="pause", door="file").changed == 1
    assert json.loads((idle.state / "control.json").read_text())["paused"] is True
    assert control(idle, action="set", door="file", requests=16).changed == 1
    assert control(idle, action="resume").changed == 1
    assert json.loads((idle.state / "control.json").read_text())["paused"] is False
    assert control(idle, action="set", door="file", requests="default").changed == 1
    unknown = control(idle, action="jump")
    assert "must be one of: status, pause, resume, set" in unknown.message


def test_a_value_that_is_no_limit_is_refused_as_that_where_nothing_is_at_work_too(idle: World) -> None:
    for given, range_ in (("0", "1 to 256"), ("-1", "1 to 256"), ("1e3", "1 to 256"), ("nan", "1 to 256")):
        refused = control(idle, do="set", requests=given)
        assert f"requests ({given}): is not a whole number of {range_}" in refused.message, refused.output
        assert "[RH-722]" in refused.message


def test_a_paused_run_stops_at_once_and_the_next_says_that_it_is_paused_still(light: World) -> None:
    with running(light, started=True, rehome_objects_per_second=20) as run:
        run.reaches("copy", 5)
        order(light, paused=True, by="anna")
        run.is_paused()
        os.killpg(run.pid, signal.SIGINT)
        began = time.monotonic()
        stopped = run.ends()
        assert time.monotonic() - began < PATIENCE_S / 2
    assert "interrupted: migrate was stopped in 'copy' at " in stopped.output
    preflight = light.play(playbook="playbooks/preflight.yml")
    assert "a run will wait as soon as it would write: paused by anna in " in " ".join(preflight.output.split())
    order(light)
    assert light.play().code == 0
    assert light.summary["complete"] is True


def test_a_run_that_is_killed_in_a_pause_leaves_it_to_the_next_which_waits_and_goes_on(light: World) -> None:
    with running(light, rehome_objects_per_second=20) as run:
        run.reaches("copy", 5)
        order(light, paused=True, by="anna")
        run.is_paused()
        run.is_killed()
    copied = len(light.objects("production-s3"))
    with running(light) as run:
        run.reaches("copy", 0)
        run.is_paused()
        assert len(light.objects("production-s3")) == copied
        assert "paused by anna in " in run.progress["waiting"]["why"]
        (light.state / "control.json").unlink()
        assert run.ends().code == 0
    assert light.summary["complete"] is True
    assert [one["asked"] for one in light.summary["control"]] == ["pause", "resume"]


def test_a_file_that_nobody_understands_changes_nothing_and_is_told_once(light: World) -> None:
    with running(light, rehome_objects_per_second=50) as run:
        run.reaches("copy", 5)
        (light.state / "control.json").write_text('{"paused": tr')
        notes = wait_until(lambda: run.progress["control"]["notes"], "a note")
        assert "control.json: it is not JSON" in notes[0]
        at = run.progress["done"]
        wait_until(lambda: run.progress["done"] > at, "more objects")
        order(light, set={"objects_per_second": 5000})
        assert run.ends().code == 0
    asked = [one["asked"] for one in light.summary["control"]]
    assert asked[0].startswith("refused: it is not JSON")
    assert asked[1:] == ["objects_per_second=5000"]


def test_a_critical_limit_ends_a_run_cleanly_and_the_next_completes(world: World) -> None:
    """The query counts what is rewritten, so that the limit is reached in the middle of the rewrite."""
    query = "SELECT count(*) FROM avatars WHERE path LIKE 'avatar/%'"
    settings: dict[str, Any] = {
        # the pause gives the figure, which is read every second, time to be read in the middle
        "rehome_throttle": {"query": query, "query_limit": OBJECTS, "nice": 6.0},
        "rehome_critical": {"query_limit": 100},
        # with more, most of these few rows are in flight before the first figure is read
        "rehome_connections": 1,
        "rehome_chunk_ms": 5,
        "rehome_metrics_file": str(world.folder / "rehome.prom"),
    }
    with world.slow_rows():
        ended = world.play(**settings)
        assert ended.code != 0
        assert "rehome_critical.query_limit (100): the run has ended by itself: the query returns " in ended.message
        assert "[RH-720]" in ended.message
        assert 'state="failed"} 1.0' in (world.folder / "rehome.prom").read_text()
    done = sum(path.startswith("avatar/") for _, path in world.rows())
    assert 100 < done < OBJECTS
    world.assert_no_row_dangles()
    assert world.summary["rows_rewritten"] == done
    del settings["rehome_critical"]
    settings["rehome_throttle"]["nice"] = 0.0
    again = world.play(**settings)
    assert again.code == 0, again.output
    assert world.summary["complete"] is True
    metrics = (world.folder / "rehome.prom").read_text()
    assert 'state="complete"} 1.0' in metrics
    assert "rehome_last_success_timestamp_seconds{" in metrics
    assert f'rehome_rows{{count="rewritten",env="sandbox",migration="avatars"}} {OBJECTS - done:.1f}' in metrics


def test_a_run_elsewhere_is_seen_and_paused_by_the_database(world: World, tmp_path: Path) -> None:
    """Another state folder is what another machine has."""
    elsewhere = {"rehome_state_dir": str(tmp_path / "elsewhere")}
    with running(world, rehome_objects_per_second=20) as run:
        run.reaches("copy", 5)
        seen = control(world, **elsewhere)
        assert "as it said at " in seen.output, seen.output
        assert "stage    copy at " in seen.output
        paused = control(world, do="pause", **elsewhere)
        assert (paused.code, paused.changed) == (0, 1), paused.output
        run.is_paused()
        assert not (tmp_path / "elsewhere" / "control.json").exists()
        control(world, do="set", objects_per_second=5000, **elsewhere)
        assert control(world, do="resume", **elsewhere).changed == 1
        assert run.ends().code == 0
    assert world.summary["complete"] is True
