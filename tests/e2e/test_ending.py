"""How each verb ends: with a card that says what happened, and with a command that works as it is pasted."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BIN, ROOT, Played, World

pytestmark = pytest.mark.e2e

PLAN, VERIFY, ROLLBACK = "playbooks/plan.yml", "playbooks/verify.yml", "playbooks/rollback.yml"

PLACES = "s3://legacy-s3/image/ → s3://production-s3/avatar/"


@pytest.fixture
def world(worlds: Any) -> World:
    made: World = worlds.of("sqlite")
    return made


def card_of(played: Played) -> list[str]:
    """Return the lines that a run ends with, each without its indentation; there must be one card only."""
    lines = [line.strip() for line in played.output.splitlines()]
    (first,) = [
        place for place, line in enumerate(lines) if "s3://legacy-s3/image/ → s3://production-s3/avatar/" in line
    ]
    end = next(place for place, line in enumerate(lines) if place > first and (not line or line.startswith("recap ")))
    return lines[first:end]


def label(lines: list[str], name: str) -> str:
    (found,) = [line.removeprefix(name).strip() for line in lines if line.startswith(f"{name} ")]
    return found


def next_command(lines: list[str]) -> str:
    """Return the first command after `next:`, with which the paste is tried."""
    after = next(place for place, line in enumerate(lines) if line.startswith("next:"))
    return next(line for line in lines[after:] if "ansible-playbook " in line).removeprefix("next:").strip()


def pasted(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does into which it is pasted, in Rehome's folder."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_commands_that_plan_and_migrate_end_with_work_as_they_are_pasted(world: World) -> None:
    world.seed(12)
    before = world.everything()
    planned = world.play(playbook=PLAN, rehome_on_dangling="keep")
    assert planned.code == 0, planned.output
    assert world.everything() == before
    plan = card_of(planned)
    assert any(line.startswith("+ copy 12 objects (") for line in plan)
    assert "avatars.path 1  image/avatar-1.png → avatar/avatar-1.png" in plan
    assert label(plan, "outcome").startswith("a dry run: nothing was written")
    assert len(plan) <= 35
    command = next_command(plan)
    assert f"approved_plan={label(plan, 'digest')}" in shlex.split(command)
    assert "rehome_on_dangling=keep" in shlex.split(command), "with another policy it would be another plan"

    moved = pasted(command)
    assert moved.returncode == 0, moved.stdout + moved.stderr
    card = card_of(Played(0, moved.stdout))
    assert label(card, "outcome").startswith("complete: 12 objects and 12 rows moved, nothing left to do")
    assert "as approved" in label(card, "also")
    assert len(card) <= 10
    verified = pasted(next_command(card))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    outcome = label(card_of(Played(0, verified.stdout)), "outcome")
    assert outcome.startswith("complete: 12 objects verified in the target, 12 rows verified, nothing left to do")


def test_each_verb_ends_with_one_card(world: World) -> None:
    world.seed(8)
    assert world.play().code == 0
    again = card_of(world.play())
    assert label(again, "outcome").startswith(
        "complete: nothing was left to do; 8 objects and 8 rows were moved before"
    )
    dry = card_of(world.play("--check", playbook=ROLLBACK))
    assert label(dry, "done") == "8 of 8 rewritten rows would be restored"
    assert "--check" not in next_command(dry)
    back = card_of(world.play(playbook=ROLLBACK))
    assert label(back, "outcome").startswith("complete: 8 rows rolled back, nothing left to do")
    may = card_of(world.play(playbook="playbooks/preflight.yml"))
    assert label(may, "outcome").startswith("a migration may begin")
    assert "playbooks/plan.yml" in next_command(may)
    redirected = world.play(
        playbook="playbooks/redirect.yml", rehome_redirect={"base_url": "https://cdn.example/", "website": "none"}
    )
    assert (
        label(card_of(redirected), "outcome")
        == "complete: old URLs are redirected to https://cdn.example/avatar/ (301)"
    )


def test_a_run_that_is_refused_or_left_incomplete_says_what_needs_a_human(world: World) -> None:
    world.seed(5)
    world.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-gone.png')")
    refused = world.play(playbook=PLAN)
    assert refused.code != 0
    plan = card_of(refused)
    assert "! 1 row without an object in either bucket" in plan
    assert "avatars.path 6  image/avatar-gone.png" in plan
    assert label(plan, "lists").startswith("rows-dangling 1 in ")
    assert "rehome_on_dangling (fail): 1 rows name an object that is in neither bucket" in label(plan, "human")
    assert "approved_plan" not in next_command(plan)
    unfinished = world.play(playbook=VERIFY)
    card = card_of(unfinished)
    assert label(card, "outcome").startswith("NOT COMPLETE: 3 things need a human")
    for problem in ("5 objects under the source prefix are not in the target", "5 rows still hold the old value"):
        assert problem in " ".join(card)


def test_a_retirement_that_is_refused_says_that_it_wrote_nothing(world: World) -> None:
    world.seed(5)
    refused = world.play("--check", playbook="playbooks/retire.yml")
    assert refused.code != 0
    card = card_of(refused)
    assert label(card, "outcome").startswith("NOT COMPLETE: failed, nothing was written")
    assert label(card, "human") == "see why it stopped: the message above, and the report"


def test_an_interrupted_run_ends_with_its_card_once(world: World) -> None:
    world.seed(2_000)
    process = world.start(rehome_objects_per_second=50)
    until = time.monotonic() + 60
    while sum(key.startswith("avatar/avatar-") for key in world.objects("production-s3")) < 5:
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert output.count("interrupted: ") == 1, output
    card = card_of(Played(process.returncode, f"{output}\n\n"))
    assert label(card, "outcome").startswith("NOT COMPLETE: interrupted (")
    assert next_command(card).startswith("ansible-playbook migrate.yml -e env=sandbox")
    assert Path(label(card, "report").partition(" (")[0]).exists()
