"""The job templates and workflows of `awx/`, run by ansible-runner: an approved plan, a cancel, a retirement."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.e2e.conftest import World, own_settings
from tests.e2e.controller import REVISION, Configuration, Controller
from tests.e2e.jobs import Job, wait_until
from tests.e2e.test_retire import seed_with_versions

pytestmark = pytest.mark.e2e

ENV = {"env": "prod"}
STATE = "s3://production-s3/rehome-state/"
MIGRATION, RETIREMENT = "Rehome: migration with approval", "Rehome: retirement with approval"
LARGEST_EVENT_BYTES, LONGEST_SILENCE_S = 100_000, 30
REACHES = ("access_key", "secret_key", "region", "endpoint_url")


def write_inventory(world: World, folder: Path, **settings: Any) -> Path:
    """Write an inventory with the environments prod and staging. It says what moves, and no way to reach it."""
    own = own_settings(world)
    for side in ("rehome_source", "rehome_target"):
        own[side] = {name: value for name, value in own[side].items() if name not in REACHES}
    del own["rehome_database"]
    hosts = {env: {"hosts": {f"rehome-{env}": {}}} for env in ("prod", "staging")}
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": hosts}}))
    staging = {**own, "rehome_source": {**own["rehome_source"], "prefix": "pictures/"}}
    for env, variables in (("prod", own), ("staging", staging)):
        (folder / "group_vars" / f"{env}.yml").write_text(yaml.safe_dump({**variables, **settings}))
    return folder


def write_secrets(world: World) -> dict[str, dict[str, str]]:
    """Return what somebody has entered into the credentials."""
    store, database = world.record["s3"], world.record["database"]
    service = {"region": store["region"], "endpoint_url": store["endpoint_url"]}
    both = {
        f"{side}_{name}": value
        for side in ("source", "target")
        for name, value in {**store["users"]["retire"], **service}.items()
    }
    reached = {name: str(database[name]) for name in ("engine", "host", "port", "name")}
    return {
        "Rehome: source S3": {**store["users"]["migrate"], **service},
        "Rehome: target S3": {**store["users"]["migrate"], **service},
        "Rehome: S3 of retire": both,
        "Rehome: application database": {**reached, **database["users"]["migrate"]},
    }


@pytest.fixture
def controller(world: World, tmp_path: Path) -> Controller:
    """A controller with the environments prod and staging; only prod has something to move."""
    configuration = Configuration(
        awx_site_environments=["prod", "staging"], awx_site_state_uris=dict.fromkeys(("prod", "staging"), STATE)
    )
    inventory = write_inventory(world, tmp_path / "inventory")
    return Controller(tmp_path / "jobs", configuration, inventory, write_secrets(world))


def assert_no_secret(controller: Controller, world: World) -> None:
    """Assert P9 in all that AWX keeps of the jobs, and in the state in the bucket."""
    names = ("secret_key", "password", "source_secret_key", "target_secret_key")
    inputs = controller.secrets.values()
    secrets = {value.encode() for values in inputs for name, value in values.items() if name in names}
    assert len(secrets) >= 3
    client = world.sandbox.store.client()
    keys = [key for key in world.objects("production-s3") if key.startswith("rehome-state/")]
    kept = {key: client.get_object(Bucket="production-s3", Key=key)["Body"].read() for key in keys}
    for job in controller.jobs:
        if job.folder.exists():
            kept |= {f"{job.folder.name}/{name}": content for name, content in job.written_bytes().items()}
    found = [name for name, content in kept.items() if any(secret in content for secret in secrets)]
    assert found == []


def assert_fit_for_awx(*jobs: Job) -> None:
    """Assert that AWX takes the events, and that whoever watches sees a line often enough."""
    for job in jobs:
        assert job.largest_event_bytes < LARGEST_EVENT_BYTES
        assert job.longest_silence_s < LONGEST_SILENCE_S


def processes_of(job: Job) -> list[str]:
    """Return the command lines of the processes that work in the job's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            where = [process.cwd(), *process.cmdline(), process.environ().get("HOME", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(job.folder) in one for one in where):
            found.append(" ".join(process.cmdline()))
    return found


def test_the_workflow_migrates_the_approved_plan_and_hands_its_digest_on(world: World, controller: Controller) -> None:
    world.seed(40)
    controller.read_only = True  # what a job needs is neither the project's folder nor a home
    before = world.everything()
    shown: list[Mapping[str, Any]] = []

    def approve(artifacts: Mapping[str, Any]) -> bool:
        seen = {key: facts for key, facts in world.objects("production-s3").items() if key.startswith("avatar/")}
        assert (world.objects("legacy-s3"), world.rows(), seen) == (
            before["source"],
            [(row[1], row[2]) for row in before["rows"]],
            {},
        )
        shown.append(artifacts)
        return True

    jobs = controller.run_workflow(MIGRATION, ENV, approve)
    assert list(jobs) == ["plan", "migrate", "verify"], controller.jobs[-1].output
    assert [job.status for job in jobs.values()] == ["successful"] * 3

    digest = shown[0]["approved_plan"]
    plan, migrated, verified = (job.artifacts["rehome_artifacts"] for job in jobs.values())
    assert (plan["verb"], plan["env"], plan["plan_sha256"]) == ("plan", "prod", digest)
    assert plan["counts"]["objects_to_copy"] == 40
    assert (migrated["verb"], migrated["complete"], migrated["plan_sha256"]) == ("migrate", True, digest)
    assert (migrated["counts"]["objects_copied"], migrated["counts"]["rows_rewritten"]) == (40, 40)
    assert (verified["verb"], verified["complete"]) == ("verify", True)
    client = world.sandbox.store.client()
    for handed_on in (plan, migrated, verified):
        for place in (handed_on["summary"], handed_on["report"]):
            assert place.startswith(STATE), "the folder of the job is gone"
            client.head_object(Bucket="production-s3", Key=place.removeprefix("s3://production-s3/"))
    summary = json.loads(
        client.get_object(Bucket="production-s3", Key=migrated["summary"].removeprefix("s3://production-s3/"))[
            "Body"
        ].read()
    )
    assert summary["approved_plan"] == digest
    assert (summary["job"]["id"], summary["job"]["user"]) == ("2", "ada")
    assert summary["job"]["project_revision"] == REVISION
    assert_fit_for_awx(*jobs.values())
    assert_no_secret(controller, world)
    world.assert_no_row_dangles()


def test_a_change_after_the_approval_is_refused_and_not_verified(world: World, controller: Controller) -> None:
    world.seed(10)

    def approve(_artifacts: Mapping[str, Any]) -> bool:
        client = world.sandbox.store.client()
        client.put_object(Bucket="legacy-s3", Key="image/avatar-new.png", Body=b"after the plan was made")
        return True

    jobs = controller.run_workflow(MIGRATION, ENV, approve)
    assert list(jobs) == ["plan", "migrate"]
    assert jobs["migrate"].status == "failed"
    assert "approved_plan" in jobs["migrate"].message
    assert "avatar-new.png" in jobs["migrate"].message
    assert not [key for key in world.objects("production-s3") if key.startswith("avatar/")]


def test_a_cancelled_migration_goes_on_when_it_is_launched_again(world: World, controller: Controller) -> None:
    world.seed(2000)
    plan = controller.launch("Rehome: plan", ENV).wait()
    approved = ENV | {"approved_plan": plan.artifacts["approved_plan"][:12]}

    template = controller.configuration.templates["Rehome: migrate"]
    template["extra_vars"]["rehome_objects_per_second"] = 30
    cancelled = controller.launch("Rehome: migrate", approved)
    # longer than the longest silence that is allowed
    wait_until(lambda: len(copied(world)) > 30 * (LONGEST_SILENCE_S + 5), cancelled)
    cancelled.cancel()
    assert cancelled.status == "canceled"
    assert processes_of(cancelled) == []
    moved = copied(world)
    assert len(moved) < 2000
    assert world.rows()[0][1].startswith("image/"), "no row before its object, and no rewrite before the last copy"

    template["extra_vars"].pop("rehome_objects_per_second")
    again = controller.launch("Rehome: migrate", approved).wait()
    assert again.status == "successful", again.message
    result = again.artifacts["rehome_artifacts"]
    assert (result["complete"], result["counts"]["objects_copied"]) == (True, 2000 - len(moved))
    assert {key: facts for key, facts in copied(world).items() if key in moved} == moved, "nothing is done twice"
    world.assert_no_row_dangles()
    assert_fit_for_awx(plan, cancelled, again)
    assert_no_secret(controller, world)


def copied(world: World) -> dict[str, tuple[str, int, str]]:
    return {key: facts for key, facts in world.objects("production-s3").items() if key.startswith("avatar/")}


def test_the_workflow_retires_what_was_moved_once_somebody_approves(world: World, controller: Controller) -> None:
    seed_with_versions(world, 20)
    assert controller.launch("Rehome: migrate", ENV).wait().status == "successful", controller.jobs[-1].message
    for template in controller.configuration.templates.values():
        template["extra_vars"]["rehome_retire_after"] = "0d"

    def approve(artifacts: Mapping[str, Any]) -> bool:
        assert artifacts["rehome_artifacts"]["counts"]["objects_to_retire"] == 20
        assert artifacts["rehome_artifacts"]["dry_run"]
        assert len(world.objects("legacy-s3")) == before
        return True

    before = len(world.objects("legacy-s3"))
    jobs = controller.run_workflow(RETIREMENT, ENV | {"confirm": "legacy-s3"}, approve)
    assert list(jobs) == ["dry-run", "retire"], controller.jobs[-1].message
    assert jobs["retire"].status == "successful", jobs["retire"].message
    assert jobs["retire"].artifacts["rehome_artifacts"]["counts"]["objects_retired"] == 20
    assert len(world.objects("legacy-s3")) == before - 20
    assert_fit_for_awx(*jobs.values())
    assert_no_secret(controller, world)
