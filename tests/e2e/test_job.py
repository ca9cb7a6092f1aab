"""Runs as AWX launches them: the variables it gives, and what it takes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.seed import manifest
from tests.e2e.conftest import ROOT, Played, World, kill_when, own_settings, play_to_end, start_program, until

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


def test_a_run_by_hand_is_no_job_and_prints_nothing_of_awx(world: World) -> None:
    world.seed(2)
    played = world.play()
    assert played.code == 0, played.output
    assert world.summary["job"] is None
    assert "CUSTOM STATS" not in played.output
    assert "rehome_artifacts" not in played.output


def handed_on(played: Played) -> dict[str, Any]:
    """Return what `set_stats` hands on to AWX, of a run that shows it."""
    text = played.output.partition("CUSTOM STATS: *")[2].partition("RUN: ")[2]
    return json.loads(text.strip())  # type: ignore[no-any-return]


SHOWN = {
    "ANSIBLE_SHOW_CUSTOM_STATS": "1",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_STDOUT_CALLBACK": "default",  # which AWX's own is made from
}


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
    assert refused.errors == 1, "the failure is told once"
    failure, end = (json.loads((tmp_path / name).read_text()) for name in ("failure", "end"))
    assert failure == end
    assert (failure["verb"], failure["env"], failure["dry_run"], failure["failed"]) == ("plan", "sandbox", True, True)
    assert failure["message"].startswith("rehome_on_dangling (fail): 1 rows name an object")

    wrong = {"rehome_source": {"bucket": "no-such-bucket", "prefix": "image/"}}
    stopped = world.play(exported=SHOWN, rehome_hooks=hooks, playbook="playbooks/preflight.yml", **wrong)
    assert stopped.code == 2
    mine = handed_on(stopped)["rehome_artifacts"]
    assert mine["outcome"].startswith("verdict: a migration may not begin: "), stopped.output
    assert mine["complete"] is False
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


def test_a_hook_that_is_left_empty_is_none(world: World, tmp_path: Path) -> None:
    hooks = {"before_preflight": None, "after_preflight": "", **telling(tmp_path), "on_failure": None}
    world.seed(1)
    played = world.play(rehome_hooks=hooks, playbook="playbooks/preflight.yml")
    assert played.code == 0, played.message
    assert (tmp_path / "end").exists()


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
        ({"rehome_max_passes": "many"}, "a task that is not Rehome's own has failed"),
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
    assert played.errors == 1, "the failure is told once"


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
        assert refused.errors == 1
    assert world.everything() == before


def test_hooks_at_the_end_run_in_check_mode_too(world: World, tmp_path: Path) -> None:
    world.seed(2)
    file = tmp_path / "end.yml"
    file.write_text("- {name: Say it, ansible.builtin.debug: {msg: 'dry {{ rehome_run.dry_run }}'}}\n")
    played = world.play("--check", rehome_hooks={"after_run": str(file)})
    assert "dry True" in played.output


STATE_URI = "s3://production-s3/rehome-state/"
REPORTS = r"s3://production-s3/rehome-state/runs/[^/]+/"


def jobs_of(world: World, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Return what gives each job the variables of a runner whose state folder is its own, and thrown away."""

    def job(number: str) -> dict[str, Any]:
        return {
            "awx_job_id": number,
            "rehome_state_dir": str(tmp_path / f"runner-{number}"),
            "rehome_state_uri": STATE_URI,
        }

    return job


@pytest.mark.timeout(900)  # five runs: on a busy machine, they took longer than other tests may
def test_an_approved_plan_is_launched_again_after_jobs_that_were_cancelled_and_killed(
    world: World, tmp_path: Path
) -> None:
    world.seed(3000)
    job = jobs_of(world, tmp_path)
    planned = world.play(playbook="playbooks/plan.yml", exported=SHOWN, **job("1"))
    digest = handed_on(planned)["approved_plan"]
    shutil.rmtree(tmp_path / "runner-1")

    def copied() -> int:
        return sum(key.startswith("avatar/") for key in world.objects("production-s3"))

    slow = {"rehome_objects_per_second": 300}  # time enough to stop it, on whatever machine
    kill_when(world, lambda: world.has_copied(100), approved_plan=digest, **slow, **job("2"))
    shutil.rmtree(tmp_path / "runner-2")
    killed_at = copied()
    assert 0 < killed_at < 3000

    cancelled = world.start(approved_plan=digest[:8], **slow, **job("3"))
    until(lambda: world.has_copied(min(killed_at + 200, 2900)), lambda: cancelled.poll() is None)
    cancelled.terminate()
    assert play_to_end(cancelled).code != 0
    shutil.rmtree(tmp_path / "runner-3")
    assert killed_at < copied() < 3000
    world.assert_no_row_dangles()

    finished = world.play(approved_plan=digest, exported=SHOWN, **job("4"))
    assert finished.code == 0, finished.output
    mine = handed_on(finished)["rehome_artifacts"]
    assert mine["complete"] is True
    assert re.fullmatch(f"{REPORTS}summary.json", mine["summary"])
    assert mine["summary"].removeprefix("s3://production-s3/") in world.objects("production-s3")
    assert "as approved" in finished.output
    assert world.rows() == list(manifest.rows(3000, with_oddities=False, after_migration=True))


def test_what_a_job_that_was_refused_has_left_is_where_its_message_says(world: World, tmp_path: Path) -> None:
    world.seed(3)
    world.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-nowhere.png')")
    job = jobs_of(world, tmp_path)
    refused = world.play(**job("1"))
    (lists,) = re.findall(rf"Lists of what needs a human, if any, are in ({REPORTS}lists/)\.", refused.message)
    stored = world.objects("production-s3")
    assert f"{lists}rows-dangling.jsonl".removeprefix("s3://production-s3/") in stored

    incomplete = world.play(rehome_on_dangling="keep", rehome_include=["*"], **job("2"))
    assert re.search(rf"lists .*rows-dangling 1.* in {REPORTS}lists/", incomplete.output), incomplete.output
    assert re.search(rf"report   {REPORTS}report.md", incomplete.output)

    reader = world.record["database"]["users"]["reader"]
    database = {name: value for name, value in world.record["database"].items() if name != "users"} | reader
    stopped = world.play(rehome_database=database, **job("3"))
    (table,) = re.findall(rf"All checks are in ({REPORTS}preflight.json)\.", stopped.message)
    assert table.removeprefix("s3://production-s3/") in world.objects("production-s3")


def test_a_job_without_a_place_for_its_state_is_warned_and_does_not_run_an_approved_plan(
    world: World, tmp_path: Path
) -> None:
    world.seed(3)
    fresh = {"awx_job_id": 42, "rehome_state_dir": str(tmp_path / "runner")}
    checked = world.play("--check", **fresh)
    assert checked.code == 0, checked.output
    assert "warn     this machine, state folder" in checked.output, checked.output
    digest = json.loads((tmp_path / "runner" / "summary.json").read_text())["plan_sha256"]
    before = world.everything()
    refused = world.play(approved_plan=digest, **fresh | {"rehome_state_dir": str(tmp_path / "other")})
    assert refused.code != 0
    assert "rehome_state_uri: is not set, and the folder of job 42 is gone when it ends" in refused.message
    assert world.everything() == before
    kept = world.play(approved_plan=digest[:8], **fresh)
    assert kept.code == 0, "a folder that has the plan outlives a job"


def test_a_plan_of_another_environment_is_refused_before_a_credential_is_used(world: World) -> None:
    world.seed(3)
    assert world.play(playbook="playbooks/plan.yml").code == 0
    digest = world.summary["plan_sha256"]
    nowhere = {"bucket": "legacy-s3", "prefix": "image/", "endpoint_url": "http://127.0.0.1:1"}
    refused = world.play(approved_plan=digest, rehome_source=nowhere)
    assert f"approved_plan ({digest}): is a plan of another environment" in refused.message
    assert "127.0.0.1:1" not in refused.message, "nothing was asked of it"


def test_a_wrong_confirmation_is_refused_before_a_credential_is_used(world: World) -> None:
    world.seed(3)
    nowhere = {"bucket": "legacy-s3", "prefix": "image/", "endpoint_url": "http://127.0.0.1:1"}
    for dry in ((), ("--check",)):
        refused = world.play(*dry, playbook="playbooks/retire.yml", confirm="production-s3", rehome_source=nowhere)
        assert "confirm (production-s3): does not name the bucket" in refused.message
        assert "127.0.0.1:1" not in refused.message


def test_a_job_with_a_state_uri_needs_no_folder_of_the_project(world: World, tmp_path: Path) -> None:
    world.seed(3)
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text("prod: {hosts: {rehome-prod: {ansible_connection: local}}}\n")
    (inventory / "group_vars" / "prod.yml").write_text(yaml.safe_dump(own_settings(world)))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    played = start_program(
        "ansible-playbook",
        *("playbooks/plan.yml", "-i", str(inventory), "-e", "env=prod", "-e", "awx_job_id=42"),
        folder=ROOT,
        environment={**os.environ, "TMPDIR": str(temporary), "REHOME_STATE_URI": STATE_URI},
    )
    assert play_to_end(played).code == 0
    (folder,) = temporary.glob("rehome-job-42-*")
    assert (folder / "rehome-prod" / "avatars" / "summary.json").exists()
