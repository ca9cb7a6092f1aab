"""Runs as AWX launches them: the variables it gives, and what it takes back."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Played, World

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


def handed_on(played: Played) -> dict[str, Any]:
    """Return what `set_stats` hands on to AWX, of a run that shows it."""
    text = played.output.partition("CUSTOM STATS: *")[2].partition("RUN: ")[2]
    return json.loads(text.strip())  # type: ignore[no-any-return]


SHOWN = {"ANSIBLE_SHOW_CUSTOM_STATS": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}


def test_every_verb_hands_on_what_it_was_and_only_a_plan_its_digest(world: World) -> None:
    world.seed(4)
    for verb in ("preflight", "plan", "migrate", "verify", "redirect", "rollback"):
        redirect = {"rehome_redirect": {"base_url": "https://cdn.example.com/", "website": "none"}}
        played = world.play(playbook=f"playbooks/{verb}.yml", exported=SHOWN, **redirect)
        assert played.code == 0, played.output
        told = handed_on(played)
        mine = told["rehome_artifacts"]
        digest = None if verb in ("preflight", "redirect", "rollback") else world.summary["plan_sha256"]
        assert (mine["verb"], mine["env"], mine["plan_sha256"]) == (verb, "sandbox", digest)
        assert mine["dry_run"] is (verb in ("preflight", "plan", "verify"))
        assert mine["complete"] is (verb not in ("preflight", "plan"))
        assert told.get("approved_plan") == (digest if verb == "plan" else None)
        assert mine["summary"] == (None if verb == "redirect" else str(world.state / "summary.json"))
        count = {
            "preflight": "checks_pass",
            "plan": "objects_to_copy",
            "migrate": "rows_rewritten",
            "verify": "rows_verified",
            "redirect": "routing_rules",
            "rollback": "rows_restored",
        }[verb]
        assert mine["counts"][count] == 4 or (verb == "preflight" and mine["counts"][count] > 4) or verb == "redirect"
        assert len(played.output.partition("CUSTOM STATS: *")[2]) < 10_000
        assert world.sandbox.record.exists()
        for user in world.record["s3"]["users"].values():
            assert user["secret_key"] not in played.output
    again = world.play(**told, playbook="playbooks/plan.yml")
    assert again.code == 0, again.output


def test_a_run_that_stops_or_is_not_complete_hands_that_on_and_tells_the_hook_why(world: World, tmp_path: Path) -> None:
    world.seed(4)
    world.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-nowhere.png')")
    hooks = telling(tmp_path)
    refused = world.play(exported=SHOWN, rehome_hooks=hooks, playbook="playbooks/plan.yml")
    assert refused.code == 2
    told = handed_on(refused)
    assert "approved_plan" not in told, "it was refused"
    assert (told["rehome_artifacts"]["complete"], told["rehome_artifacts"]["outcome"]) == (False, "NOT COMPLETE")
    assert told["rehome_artifacts"]["counts"]["rows_dangling"] == 1
    assert refused.output.count("fatal: ") == 1, "the failure is told once"
    failure, end = (json.loads((tmp_path / name).read_text()) for name in ("failure", "end"))
    assert failure == end
    assert (failure["verb"], failure["env"], failure["dry_run"], failure["failed"]) == ("plan", "sandbox", True, True)
    assert failure["message"].startswith("rehome_on_dangling (fail): 1 rows name an object")

    wrong = {"rehome_source": {"bucket": "no-such-bucket", "prefix": "image/"}}
    stopped = world.play(exported=SHOWN, rehome_hooks=hooks, playbook="playbooks/preflight.yml", **wrong)
    assert stopped.code == 2
    mine = handed_on(stopped)["rehome_artifacts"]
    assert (mine["complete"], mine["outcome"]) == (False, "NOT COMPLETE"), stopped.output
    assert mine["counts"]["checks_stop"] > 0


def telling(folder: Path) -> dict[str, str]:
    """Return hooks that write what they are given into files `failure` and `end`."""
    hooks = {}
    for hook, name in (("on_failure", "failure"), ("after_run", "end")):
        file = folder / f"{name}.yml"
        told = json.dumps({"content": "{{ rehome_run | to_json }}", "dest": str(folder / name), "mode": "0600"})
        file.write_text(f"- {{name: Write it, ansible.builtin.copy: {told}}}\n")
        hooks[hook] = str(file)
    return hooks


def test_hooks_at_the_end_run_once_with_the_facts_of_the_run(world: World, tmp_path: Path) -> None:
    world.seed(4)
    hooks = telling(tmp_path)
    assert world.play(rehome_hooks=hooks, **ALICE).code == 0
    told = json.loads((tmp_path / "end").read_text())
    assert (told["failed"], told["complete"], told["message"], told["problems"]) == (False, True, "", [])
    assert (told["counts"]["objects_copied"], told["job"]["user"]) == (4, "alice")
    assert not (tmp_path / "failure").exists()
    for verb in ("verify", "rollback"):
        (tmp_path / "end").unlink()
        assert world.play(playbook=f"playbooks/{verb}.yml", rehome_hooks=hooks).code == 0
        assert json.loads((tmp_path / "end").read_text())["verb"] == verb


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"rehome_name": "not plain"}, "rehome_name (not plain): names a folder"),
        (
            {"rehome_database": {"engine": "mariadb", "host": "127.0.0.1", "port": 1, "name": "a", "user": "b"}},
            "database",
        ),
        ({"rehome_limit": "many"}, "a task that is not Rehome's own has failed"),
    ],
)
def test_a_run_that_fails_before_it_begins_tells_its_hook_the_message_of_the_output(
    world: World, tmp_path: Path, variables: dict[str, Any], message: str
) -> None:
    world.seed(2)
    played = world.play(rehome_hooks=telling(tmp_path), **variables)
    assert played.code == 2
    told = json.loads((tmp_path / "failure").read_text())
    assert message in told["message"]
    assert (told["verb"], told["failed"], told["complete"]) == ("migrate", True, False)
    assert played.output.count("fatal: ") == 1, "the failure is told once"


def test_a_stage_that_fails_midway_tells_its_hook_why(world: World, tmp_path: Path) -> None:
    world.seed(4)
    breaking = tmp_path / "break.yml"
    breaking.write_text(f"- {{ansible.builtin.file: {{path: {world.state}/catalog.duckdb, state: absent}}}}\n")
    failed = world.play(rehome_hooks={**telling(tmp_path), "before_rewrite": str(breaking)})
    assert failed.code == 2
    told = json.loads((tmp_path / "failure").read_text())
    assert "holds no plan of this run" in told["message"]
    assert told["counts"]["objects_copied"] == 4


def test_a_hook_that_fails_fails_the_run_and_hides_neither_its_failure_nor_its_success(
    world: World, tmp_path: Path
) -> None:
    world.seed(4)
    broken_hook = tmp_path / "broken.yml"
    broken_hook.write_text("- {name: Purge, ansible.builtin.fail: {msg: the cache is away}}\n")
    complete = world.play(rehome_hooks={"after_run": str(broken_hook)})
    assert complete.code == 2
    assert "the cache is away" in complete.output
    assert "the task Purge has failed, after the run itself had ended: its outcome is complete" in complete.output
    assert world.summary["complete"]

    world.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-nowhere.png')")
    hooks = {**telling(tmp_path), "on_failure": str(broken_hook)}
    refused = world.play(rehome_hooks=hooks)
    assert refused.code == 2
    first, second = refused.output.index("rehome_on_dangling (fail)"), refused.output.index("the cache is away")
    assert first < second
    assert json.loads((tmp_path / "end").read_text())["failed"], "the other hook runs all the same"


def test_a_missing_task_file_for_the_end_is_found_before_the_first_write(world: World) -> None:
    world.seed(2)
    before = world.everything()
    for verb in ("migrate", "rollback", "grants"):
        refused = world.play(rehome_hooks={"on_failure": "nowhere.yml"}, playbook=f"playbooks/{verb}.yml")
        assert "rehome_hooks (" in refused.message
        assert refused.output.count("fatal: ") == 1
    assert world.everything() == before


def test_hooks_at_the_end_run_in_check_mode_too(world: World, tmp_path: Path) -> None:
    world.seed(2)
    file = tmp_path / "end.yml"
    file.write_text("- {name: Say it, ansible.builtin.debug: {msg: 'dry {{ rehome_run.dry_run }}'}}\n")
    played = world.play("--check", rehome_hooks={"after_run": str(file)})
    assert "dry True" in played.output


def test_without_awx_nothing_of_it_is_printed(world: World) -> None:
    world.seed(2)
    played = world.play()
    assert "CUSTOM STATS" not in played.output
    assert "rehome_artifacts" not in played.output
