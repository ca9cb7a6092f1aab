"""Runs as AWX launches them: the variables it gives, and what it takes back."""

from __future__ import annotations

import socket

import pytest

from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e

ALICE = {
    "awx_job_id": 42,
    "awx_user_name": "alice",
    "awx_project_revision": "8fb95ea1",
    "awx_job_template_name": "Rehome: migrate",
    "tower_job_id": 42,
}


def test_a_job_is_named_in_summary_and_journal_of_every_verb(world: World) -> None:
    world.seed(4)
    assert world.play(**ALICE).code == 0
    assert world.summary["job"] == {
        "id": "42",
        "user": "alice",
        "project_revision": "8fb95ea1",
        "template": "Rehome: migrate",
        "workflow_id": None,
    }
    for verb, number in (("plan", 43), ("verify", 44), ("rollback", 45)):
        played = world.play(playbook=f"playbooks/{verb}.yml", tower_job_id=number, tower_user_name="bob\nx")
        assert played.code == 0, played.output
        assert (world.summary["job"]["id"], world.summary["job"]["user"]) == (str(number), "bob x")
    authors = {author.partition(";")[0] for (author,) in world.query("SELECT written_by FROM rehome.journal")}
    host = socket.gethostname()
    assert authors >= {f"alice@{host} job 42", f"bob x@{host} job 45"}


def test_a_run_by_hand_is_no_job(world: World) -> None:
    world.seed(2)
    assert world.play().code == 0
    assert world.summary["job"] is None
