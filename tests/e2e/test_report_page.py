"""The report as a page, and what `report` and `show` make of what a run has left: also of one that was killed."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e

PLAN, REPORT, SHOW, ROLLBACK = (f"playbooks/{verb}.yml" for verb in ("plan", "report", "show", "rollback"))


@pytest.fixture
def world(worlds: Any) -> World:
    made: World = worlds.of("sqlite")
    return made


def page(world: World, name: str = "report.html") -> str:
    return (world.state / name).read_text()


def copied_some(world: World, some: int) -> None:
    until = time.monotonic() + 60
    while sum(key.startswith("avatar/avatar-") for key in world.objects("production-s3")) < some:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_every_run_leaves_its_page_and_any_class_can_be_shown(world: World) -> None:
    world.seed(40)
    world.query("INSERT INTO avatars (user_id, path) VALUES (98, 'static/<b>logo.png')")
    assert world.play("--check").code == 0
    assert '<strong class="badge">Dry run</strong>' in page(world, "report-migrate-check.html")
    migrated = world.play()
    assert migrated.code == 0, migrated.output
    text = page(world)
    assert page(world, "report-migrate.html") == text
    assert '<strong class="badge">Complete</strong>' in text
    facts = json.loads((world.state / "report.json").read_text())
    copies = [point for point in facts["timeline"] if point["stage"] == "copy"]
    assert copies[-1]["done"] == 40
    assert copies[-1]["requests"]["sent"] >= 40
    assert copies[-1]["bytes_done"] == facts["counts"]["bytes_copied"]

    before = world.everything()
    shown = world.play(playbook=SHOW, **{"class": "foreign"})
    assert shown.code == 0, shown.output
    assert "rows-foreign: all 1, from the catalog" in shown.output
    assert "value_begins_with=static/" in shown.output
    as_csv = world.play(playbook=SHOW, **{"class": "objects_present", "show_as": "csv", "show_limit": 3})
    assert as_csv.code == 0, as_csv.output
    assert as_csv.output.count("objects-present,image/avatar-") == 3
    unknown = world.play(playbook=SHOW, **{"class": "confict"})
    assert unknown.code != 0
    assert "no run, of which the last is migrate" in unknown.message
    assert "rows-foreign (1)" in unknown.message
    assert "[RH-713]" in unknown.message

    assert world.play("--check", playbook=ROLLBACK).code == 0
    of_before = world.play(playbook=SHOW, **{"class": "foreign"})
    assert of_before.code == 0, of_before.output
    assert "The last run (rollback-check, " in of_before.output
    assert "value_begins_with=static/" in of_before.output
    before = world.everything()

    (world.state / "report.html").unlink()
    again = world.play(playbook=REPORT)
    assert again.code == 0, again.output
    assert f"page     {world.state}/report.html" in again.output
    assert '<strong class="badge">Dry run</strong>' in page(world)
    assert world.everything() == before


def test_a_folder_without_a_run_is_said_in_one_message(world: World) -> None:
    world.seed(1)
    for playbook, more in ((REPORT, {}), (SHOW, {"class": "foreign"})):
        refused = world.play(playbook=playbook, **more)
        assert refused.code != 0
        assert refused.errors == 1
        assert "has no report of a run yet" in refused.message
        assert "[RH-711]" in refused.message


def test_a_run_that_is_killed_is_told_as_that_when_somebody_asks(world: World) -> None:
    world.seed(2_000)
    process = world.start(rehome_objects_per_second=50)
    copied_some(world, 350)
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        os.kill(one.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    rendered = world.play(playbook=REPORT)
    assert rendered.code == 0, rendered.output
    text = page(world)
    assert "the run was killed, or its machine stopped, in &#39;copy&#39; at" in text
    assert '<strong class="badge">Failed</strong>' in text
    assert "Objects per second (copied)" in text, "its charts go to the last second"
    assert "<svg" in text


def test_a_run_that_is_stopped_leaves_its_page(world: World) -> None:
    world.seed(2_000)
    process = world.start(rehome_objects_per_second=50)
    copied_some(world, 5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert '<strong class="badge">Stopped</strong>' in page(world, "report-migrate.html")


def test_a_plan_that_is_refused_has_its_lists_in_the_page_and_in_show(world: World) -> None:
    world.seed(3)
    evil = "image/avatar-<script>alert(1)</script>.png"
    world.query(f"INSERT INTO avatars (user_id, path, updated_at) VALUES (99, '{evil}', '2020-01-01')")
    assert world.play(playbook=PLAN).code != 0
    text = page(world)
    assert '<strong class="badge">Refused</strong>' in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    shown = world.play(playbook=SHOW, **{"class": "dangling", "show_as": "json"})
    assert shown.code == 0, shown.output
    assert "rows-dangling" in shown.output
