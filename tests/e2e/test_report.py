"""What a change board reads: the ticket of a plan, and the evidence of every verb after it."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e

PLAN, VERIFY, ROLLBACK = "playbooks/plan.yml", "playbooks/verify.yml", "playbooks/rollback.yml"
PRICES = {"as_of": "2026-11-01", "currency": "EUR", "copy": 0.005, "list": 0.005, "storage_gb_month": 0.023}


@pytest.fixture
def world(worlds: Any) -> World:
    made: World = worlds.of("sqlite")
    return made


def report(world: World, verb: str = "") -> tuple[dict[str, Any], str]:
    """Return the facts and the text of the last run, or of the last run of a verb."""
    stem = f"report-{verb}" if verb else "report"
    facts = json.loads((world.state / f"{stem}.json").read_text())
    return facts, (world.state / f"{stem}.md").read_text()


def secrets_of(world: World) -> list[str]:
    users = [*world.record["s3"]["users"].values(), *world.record["database"].get("users", {}).values()]
    return [user[name] for user in users for name in ("secret_key", "password") if name in user]


def assert_holds_no_secret(world: World) -> None:
    kept = "".join(file.read_text() for file in world.state.glob("report*"))
    assert kept
    for secret in secrets_of(world):
        assert secret not in kept


def test_a_plan_leaves_a_ticket_and_each_verb_after_it_leaves_evidence(any_world: World) -> None:
    world = any_world
    world.seed(60)
    before = world.everything()
    planned = world.play(playbook=PLAN, rehome_prices=PRICES)
    assert planned.code == 0, planned.output
    assert world.everything() == before
    facts, text = report(world, "plan")
    assert report(world) == (facts, text)
    digest = facts["plan_sha256"]
    assert {(one["kind"], one["name"]): one["count"] for one in facts["classes"]} == {
        ("objects", "to_copy"): 60,
        ("rows", "to_rewrite"): 60,
    }
    assert facts["samples"][0]["shown"][0]["after"].startswith("avatar/avatar-1")
    copies = [one for one in facts["estimate"]["requests"] if one["kind"] == "copy"]
    assert [one["count"] for one in copies] == [60]
    assert facts["estimate"]["money"]["as_of"] == "2026-11-01"
    assert "| COPY requests | 60 | 0.005 for 1,000 | 0.0003 |" in text
    assert facts["preflight"]["server"] or world.db == "sqlite"
    assert any("s3:PutObject" in one["actions"] for one in facts["rights"]["s3"])
    assert MarkdownIt("commonmark").enable("table").render(text).count("<table>") >= 8

    # the command of the ticket is the one that carries it out
    (step,) = facts["next"]
    words = shlex.split(step["command"])
    assert words[:2] == ["ansible-playbook", "playbooks/migrate.yml"]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert given == {"env": "sandbox", "approved_plan": digest}
    migrated = world.play(playbook=words[1], **{name: value for name, value in given.items() if name != "env"})
    assert migrated.code == 0, migrated.output
    assert f"report   {world.state}/report.md" in migrated.output
    facts, text = report(world, "migrate")
    assert (facts["plan_sha256"], facts["approved_plan"], facts["complete"]) == (digest, digest, True)
    assert [stage["stage"] for stage in facts["stages"]] == ["preflight", "plan", "copy", "rewrite", "verify"]
    changed = {name: count for stage in facts["stages"] for name, count in stage["changed"].items()}
    assert (changed["objects_copied"], changed["rows_rewritten"]) == (60, 60)
    proofs = {when: sum(one["objects"] for one in some) for when, some in facts["proofs"].items()}
    assert proofs == {"copied": 60, "verified": 60}
    assert (facts["who"]["user"], facts["who"]["job"]) != ("", {})

    assert world.play(playbook=VERIFY).code == 0
    facts, text = report(world, "verify")
    assert facts["migration"]["plan_sha256"] == digest
    assert "60 of 60 objects are in the target with the same content" in text
    assert "rights" not in facts

    undone = world.play(playbook=ROLLBACK)
    assert undone.code == 0, undone.output
    facts, text = report(world, "rollback")
    assert facts["counts"]["rows_restored"] == 60
    assert f"plan `{digest}`, as approved" in text
    assert report(world, "plan")[0]["plan_sha256"] == digest, "it stays until the next plan"
    assert_holds_no_secret(world)


def test_a_dry_migration_leaves_the_same_ticket_under_its_own_name(world: World) -> None:
    world.seed(5)
    assert world.play(playbook=PLAN).code == 0
    assert world.play("--check").code == 0
    (plan, _), (check, text) = report(world, "plan"), report(world, "migrate-check")
    assert check["plan_sha256"] == plan["plan_sha256"]
    assert [one["count"] for one in check["classes"]] == [one["count"] for one in plan["classes"]]
    assert "# Change ticket: avatars" in text
    assert not (world.state / "report-migrate.md").exists()


def test_a_plan_that_is_refused_leaves_its_ticket_with_the_reasons(world: World) -> None:
    world.seed(5)
    world.query("INSERT INTO avatars (user_id, path, updated_at) VALUES (99, 'image/avatar-|gone`.png', '2020-01-01')")
    assert world.play(playbook=PLAN).code != 0
    facts, text = report(world, "plan")
    assert len(facts["refusals"]) == 1
    assert "**Refused.** A run would stop" in text
    assert "approved_plan" not in "".join(step["command"] for step in facts["next"])
    assert r"image/avatar-\x7cgone`.png" in text
    listed = facts["lists"]["rows-dangling"]
    assert (listed["count"], listed["sha256"] in text) == (1, True)


def test_a_preflight_that_stops_the_run_leaves_a_report_of_it(world: World) -> None:
    world.seed(5)
    assert world.play(rehome_references=[{"table": "avatars", "column": "nope", "form": "key"}]).code != 0
    facts, text = report(world, "migrate")
    assert any("nope" in one for one in facts["refusals"])
    assert facts["preflight"]["counts"]["stop"] == 1
    assert "| stop | avatars.nope | table |" in text


def test_a_run_that_fails_says_why_and_what_it_had_done(world: World) -> None:
    world.seed(200)
    with world.slow_rows():
        world.query(
            "CREATE TRIGGER refuses BEFORE UPDATE ON avatars WHEN old.id = 150 BEGIN SELECT raise(ABORT, 'no'); END"
        )
        try:
            played = world.play()
        finally:
            world.query("DROP TRIGGER refuses")
    assert played.code != 0
    facts, text = report(world, "migrate")
    assert facts["complete"] is False
    assert facts["counts"]["objects_copied"] == 200
    assert "run the same again" in text
    assert facts["next"][0]["command"].startswith("ansible-playbook migrate.yml -e env=sandbox")


def test_keys_and_rows_are_left_out_on_request(world: World) -> None:
    world.seed(5)
    assert world.play(playbook=PLAN, rehome_report_samples=0).code == 0
    facts, text = report(world, "plan")
    assert "avatar-1.png" not in json.dumps(facts) + text
    assert "`rehome_report_samples`" in text


def test_a_price_table_without_its_day_is_refused(world: World) -> None:
    world.seed(1)
    refused = world.play(playbook=PLAN, rehome_prices={"copy": 0.005})
    assert refused.code != 0
    assert "rehome_prices.as_of: is not set" in refused.message


def test_a_day_in_yaml_is_a_day(world: World, tmp_path: Path) -> None:
    world.seed(1)
    variables = tmp_path / "prices.yml"
    variables.write_text("rehome_prices: {as_of: 2026-11-01, copy: 0.005}\n")
    assert world.play("-e", f"@{variables}", playbook=PLAN).code == 0
    facts, _ = report(world, "plan")
    assert facts["estimate"]["money"]["as_of"] == "2026-11-01"
    assert f"@{variables}" in facts["next"][0]["command"]


def test_a_job_of_awx_is_named_with_its_user_and_its_revision(world: World) -> None:
    world.seed(2)
    job = {"awx_job_id": 42, "awx_user_name": "carol", "awx_project_revision": "8fb95ea"}
    assert world.play(playbook=PLAN, **job).code == 0
    facts, text = report(world, "plan")
    assert facts["who"]["job"] == {"id": "42", "user": "carol", "project_revision": "8fb95ea"}
    assert "In AWX: approve the next node of the workflow" in text
    assert "awx_" not in "".join(step["command"] for step in facts["next"])


def test_with_a_state_uri_the_report_names_its_places_there_and_is_there(world: World) -> None:
    world.seed(3)
    uri = "s3://production-s3/states/"
    client = world.sandbox.store.client()

    def uploaded(facts: dict[str, Any], name: str) -> str:
        place = facts["places"][name]
        assert place == f"{uri}runs/{facts['started_at']}/{'report.md' if name == 'report' else 'report.json'}"
        key = place.removeprefix("s3://production-s3/")
        body: bytes = client.get_object(Bucket="production-s3", Key=key)["Body"].read()
        return body.decode()

    migrated = world.play(rehome_state_uri=uri)
    assert migrated.code == 0, migrated.output
    facts, text = report(world)
    assert f"report   {facts['places']['report']}" in migrated.output
    assert (uploaded(facts, "report"), json.loads(uploaded(facts, "facts"))) == (text, facts)

    world.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-gone.png')")
    shutil.rmtree(world.state)  # the runner is thrown away
    assert world.play(playbook=PLAN, rehome_state_uri=uri).code != 0
    facts, text = report(world)
    assert facts["lists"]["rows-dangling"]["file"].startswith(f"{uri}runs/")
    assert (uploaded(facts, "report"), json.loads(uploaded(facts, "facts"))) == (text, facts)

    shutil.rmtree(world.state)
    assert world.play(playbook=ROLLBACK, rehome_state_uri=uri).code == 0
    assert report(world)[0]["migration"]["outcome"] == "complete"


def test_a_run_that_is_stopped_leaves_its_report(world: World) -> None:
    world.seed(2_000)
    process = world.start(rehome_objects_per_second=50)
    until = time.monotonic() + 60
    while sum(key.startswith("avatar/avatar-") for key in world.objects("production-s3")) < 5:
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    facts, text = report(world, "migrate")
    assert "interrupted" in facts["error"]
    assert facts["complete"] is False
    assert 0 < facts["counts"]["objects_copied"] < 2_000
    assert facts["stages"][-1]["changed"]["objects_copied"] == facts["counts"]["objects_copied"]
    assert "**Failed**: interrupted" in text
    assert "run the same again" in text


def test_a_retirement_leaves_a_ticket_for_the_second_key_and_its_evidence(worlds: Any) -> None:
    world: World = worlds.of("mariadb")
    world.seed(12)
    client = world.sandbox.store.client()
    client.put_bucket_versioning(Bucket="legacy-s3", VersioningConfiguration={"Status": "Enabled"})
    assert world.play().code == 0
    now = {"playbook": "playbooks/retire.yml", "rehome_retire_after": "0d"}
    checked = world.play("--check", **now)
    assert checked.code == 0, checked.output
    facts, text = report(world, "retire-check")
    assert facts["counts"]["objects_to_retire"] == 12
    assert facts["next"][0]["command"].endswith("-e confirm=legacy-s3")
    assert facts["list_samples"][0]["shown"][0]["before"].startswith("image/avatar-")
    retired = world.play(**now, confirm="legacy-s3")
    assert retired.code == 0, retired.output
    facts, text = report(world, "retire")
    assert (facts["counts"]["objects_retired"], facts["complete"]) == (12, True)
    assert facts["back"][0]["command"].endswith("-e restore=true")
    assert facts["migration"]["plan_sha256"] in text
    assert {privilege for one in facts["rights"]["database"] for privilege in one["privileges"]} == {"SELECT"}
    assert_holds_no_secret(world)


def test_a_run_that_fails_between_two_stages_leaves_its_report_too(world: World, tmp_path: Path) -> None:
    world.seed(4)
    hook = tmp_path / "fails.yml"
    hook.write_text("- {name: Fail, ansible.builtin.fail: {msg: not today}}\n")
    told = tmp_path / "told.yml"
    write = json.dumps({"content": "{{ rehome_run | to_json }}", "dest": str(tmp_path / "told"), "mode": "0600"})
    told.write_text(f"- {{name: Tell, ansible.builtin.copy: {write}}}\n")
    played = world.play(rehome_hooks={"after_copy": str(hook), "after_run": str(told)})
    assert played.code != 0
    assert played.errors == 1
    facts, text = report(world, "migrate")
    assert facts["counts"]["objects_copied"] == 4
    assert facts["counts"]["rows_not_reached"] == 4
    assert "the run has not come to its end" in text
    assert json.loads((tmp_path / "told").read_text())["report"] == f"{world.state}/report.md"
