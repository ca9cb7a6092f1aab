from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from sandbox.seed import manifest
from tests.e2e.conftest import PLAY_TIMEOUT_S, World, kill_when, until

pytestmark = pytest.mark.e2e


def test_every_oddity_ends_where_it_should(any_world: World) -> None:
    world = any_world
    world.seed(50, oddities=True)
    expected = manifest.expected(50, with_oddities=True)
    before = world.everything()

    refused = world.play()
    assert refused.code != 0
    assert (
        f"rehome_on_dangling (fail): {expected.rows_dangling} rows name an object that is in neither" in refused.message
    )
    after = world.everything()
    ours = {("rehome_journal",), ("rehome_control",)}
    if world.db != "sqlite":
        ours = {("rehome", "journal"), ("rehome", "control")}
    assert set(after.pop("tables")) - set(before["tables"]) == ours, "all that a refused run may leave"
    assert after == {name: before[name] for name in after}

    migrated = world.play(rehome_on_dangling="keep")
    assert migrated.code == 0, migrated.output
    assert world.rows() == list(manifest.rows(50, with_oddities=True, after_migration=True))
    assert set(world.objects("legacy-s3")) == set(manifest.source_keys(50, with_oddities=True))
    assert set(world.objects("production-s3")) == set(
        manifest.target_keys(50, with_oddities=True, after_migration=True)
    )
    summary = world.summary
    assert summary["complete"] is True
    for name in (
        "objects_to_copy",
        "objects_present",
        "objects_orphan",
        "rows_to_rewrite",
        "rows_done",
        "rows_dangling",
        "rows_foreign",
    ):
        assert summary[name] == getattr(expected, name), name
    assert summary["objects_copied"] == expected.objects_to_copy
    assert summary["rows_rewritten"] == expected.rows_to_rewrite
    assert len(world.lines("rows-dangling")) == expected.rows_dangling

    again = world.play(rehome_on_dangling="keep")
    assert (again.code, again.changed) == (0, 0), again.output
    assert world.summary["complete"] is True


def test_content_type_metadata_and_tags_move_with_the_object(world: World) -> None:
    world.seed(20)
    assert world.play().code == 0
    client = world.sandbox.store.client()
    for number in (1, 10):
        keys = {"legacy-s3": f"image/avatar-{number}.png", "production-s3": f"avatar/avatar-{number}.png"}
        old, new = (client.get_object(Bucket=bucket, Key=key) for bucket, key in keys.items())
        assert old["Body"].read() == new["Body"].read()
        for name in ("ContentType", "CacheControl", "Metadata"):
            assert old[name] == new[name]
        tags = [client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] for bucket, key in keys.items()]
        assert tags[0] == tags[1]
        assert bool(tags[0]) == (number == 10)


def test_a_dry_run_with_rights_to_read_writes_nothing_and_shows_the_plan_of_the_run(any_world: World) -> None:
    world = any_world
    world.seed(30)
    before = world.everything()
    assert world.play("--check").code == 0
    assert world.everything() == before, "though this user could write"
    checked = world.play("--check", "--diff", sandbox_user="reader")
    assert checked.code == 0, checked.output
    assert world.everything() == before
    assert world.summary["objects_failed"] == 0
    assert "-image/avatar-1.png" in checked.output
    assert "+avatar/avatar-1.png" in checked.output
    plan = world.summary
    assert (plan["objects_to_copy"], plan["rows_to_rewrite"], plan["dry_run"]) == (30, 30, True)

    assert world.play().code == 0
    assert world.summary["plan_sha256"] == plan["plan_sha256"]
    assert world.summary["objects_copied"] == plan["objects_to_copy"]
    assert world.summary["rows_rewritten"] == plan["rows_to_rewrite"]


def test_a_check_of_a_finished_migration_says_that_nothing_would_change(world: World) -> None:
    world.seed(10)
    assert world.play().code == 0
    checked = world.play("--check")
    assert (checked.code, checked.changed) == (0, 0)
    assert world.summary["complete"] is True
    assert (world.summary["verb"], world.summary["rows_rewritten"]) == ("migrate-check", 0)
    kept = json.loads((world.state / "summary-migrate.json").read_text())
    assert (kept["verb"], kept["rows_rewritten"]) == ("migrate", 10), "what was done is still reported"


def test_the_plan_and_verify_verbs_read_only(world: World) -> None:
    world.seed(10)
    before = world.everything()
    assert world.play(playbook="playbooks/plan.yml").code == 0
    verified = world.play(playbook="playbooks/verify.yml")
    assert verified.code != 0
    assert "10 objects under the source prefix are not in the target [RH-" in verified.message
    assert "10 rows still hold the old value [RH-" in verified.message
    assert world.everything() == before
    assert world.play().code == 0
    assert world.play(playbook="playbooks/verify.yml").code == 0


def settled(world: World) -> dict[str, tuple[str, int, str]]:
    """Return the objects of the target once the store has carried out the killed process's requests."""
    seen, now = None, world.objects("production-s3")
    while seen != now:
        time.sleep(0.5)
        seen, now = now, world.objects("production-s3")
    return now


def test_killed_in_the_middle_of_the_copy_and_run_again_it_finishes(world: World) -> None:
    world.seed(3000)
    kill_when(world, lambda: world.has_copied(200))
    copied = settled(world)
    assert 0 < len(copied) < 3000
    world.assert_no_row_dangles()

    finished = world.play()
    assert finished.code == 0, finished.output
    assert world.summary["complete"] is True
    assert world.summary["objects_present"] == len(copied)
    after = world.objects("production-s3")
    assert {key: after[key] for key in copied} == copied, "nothing is done twice"
    assert world.rows() == list(manifest.rows(3000, with_oddities=False, after_migration=True))


def test_killed_in_the_middle_of_the_rewrite_and_run_again_it_finishes(world: World) -> None:
    world.seed(3000)
    moved = "SELECT count(*) FROM avatars WHERE path LIKE 'avatar/%'"
    with world.slow_rows():
        kill_when(world, lambda: world.query(moved)[0][0] > 0, rehome_state_uri="s3://production-s3/states/")
    kept = {key for key in world.objects("production-s3") if key.startswith("states/outcomes/")}
    assert kept, "the outcomes up to the kill are in the bucket, in case the machine is lost"
    # the trigger could be dropped: the server has noticed the lost client and rolled the transaction back
    (rewritten,) = world.query(moved)[0]
    assert 0 < rewritten < 3000
    world.assert_no_row_dangles()

    finished = world.play()
    assert finished.code == 0, finished.output
    assert world.summary["rows_done"] == rewritten
    assert world.summary["rows_rewritten"] == 3000 - rewritten
    assert world.rows() == list(manifest.rows(3000, with_oddities=False, after_migration=True))
    journal = "rehome_journal" if world.db == "sqlite" else "rehome.journal"
    assert world.query(f"SELECT sum(row_count) FROM {journal} WHERE migration = 'avatars'")[0][0] == 3000


def test_a_killed_playbook_leaves_no_module_at_work(world: World) -> None:
    world.seed(3000)
    process = world.start()
    until(lambda: world.has_copied(100), lambda: process.poll() is None)
    modules = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(modules, timeout=20)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert world.play().code == 0


def test_a_second_run_at_the_same_time_is_refused_and_names_the_first(world: World) -> None:
    world.seed(3000)
    first = world.start()
    while not (world.state / "run.json").exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = world.play()
    assert second.code != 0
    assert f"another run has locked it: process {first.pid} of " in second.message
    output, _ = first.communicate(timeout=240)
    assert first.returncode == 0, output


def test_a_paused_run_says_why_it_waits_and_goes_on_when_the_pause_file_is_gone(world: World) -> None:
    world.seed(20)
    pause = world.folder / "pause"
    pause.touch()
    run = world.start(rehome_throttle={"pause_file": str(pause)})
    assert run.stdout is not None
    reported = next(line for line in run.stdout if "waiting since" in line)
    assert f"the pause file {pause} exists" in reported
    assert all(path.startswith("image/") for _, path in world.rows())
    pause.unlink()
    output, _ = run.communicate(timeout=PLAY_TIMEOUT_S)
    assert run.returncode == 0, output
    assert "for pause file" in output
    assert world.summary["throttled_s"]["pause_file"] > 1
    assert world.rows() == list(manifest.rows(20, with_oddities=False, after_migration=True))


@pytest.mark.parametrize("approved", [False, True])
def test_a_row_that_the_application_changes_meanwhile_is_left_alone(
    world: World, tmp_path: Path, approved: bool
) -> None:
    world.seed(20)
    chosen: dict[str, object] = {}
    if approved:
        assert world.play(playbook="playbooks/plan.yml").code == 0
        chosen["approved_plan"] = world.summary["plan_sha256"]
    waiting, going_on = tmp_path / "waiting", tmp_path / "going-on"
    hook = tmp_path / "wait.yml"
    hook.write_text(
        json.dumps(
            [
                {"name": "Say so", "ansible.builtin.file": {"path": str(waiting), "state": "touch"}},
                {"name": "Wait", "ansible.builtin.wait_for": {"path": str(going_on), "sleep": 1}},
            ]
        )
    )
    process = world.start(rehome_hooks={"before_rewrite": str(hook)}, **chosen)
    while not waiting.exists():
        assert process.poll() is None
        time.sleep(0.05)
    world.query("UPDATE avatars SET path = 'image/avatar-1.png' WHERE id = 2")
    going_on.touch()
    output, _ = process.communicate(timeout=PLAY_TIMEOUT_S)
    assert world.summary["rows_changed_by_app"] == 1, output
    assert [line["key"] for line in world.lines("rows-changed-by-app")] == [[2]]
    if approved:
        assert process.returncode != 0, "a row still holds the old value, and the run says so"
        assert "1 rows still hold the old value" in " ".join(output.split())
        assert world.query("SELECT path FROM avatars WHERE id = 2") == [("image/avatar-1.png",)]
        assert world.play().code == 0
    else:
        assert process.returncode == 0, "the last pass has planned it anew"
    assert world.query("SELECT path FROM avatars WHERE id = 2") == [("avatar/avatar-1.png",)]


def test_no_secret_reaches_the_output_or_a_file_even_at_full_verbosity(world: World) -> None:
    world.seed(5)
    played = world.play("-vvv", "--diff")
    assert played.code == 0, played.output
    logins = [*world.record["s3"]["users"].values(), *world.record["database"]["users"].values()]
    secrets = [login.get("secret_key") or login["password"] for login in logins]
    kept = b"".join(path.read_bytes() for path in world.state.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in played.output
        assert secret.encode() not in kept


def test_what_is_unset_comes_from_the_names_that_operators_export(world: World) -> None:
    world.seed(5)
    store, database = world.record["s3"], world.record["database"]
    migrate, login = store["users"]["migrate"], database["users"]["migrate"]
    exported = {
        "S3_LEGACY_BUCKET_NAME": "legacy-s3",
        "S3_PROD_BUCKET_NAME": "production-s3",
        "S3_ENDPOINT_URL": store["endpoint_url"],
        "OLD_PREFIX": "image/",
        "NEW_PREFIX": "avatar/",
        "DB_HOST": database["host"],
        "DB_NAME": database["name"],
        "DB_USER": login["user"],
        "DB_PASSWD": login["password"],
        "AWS_ACCESS_KEY_ID": migrate["access_key"],
        "AWS_SECRET_ACCESS_KEY": migrate["secret_key"],
    }
    # only the port has no such name
    others = {"engine": "mariadb", "port": database["port"]}
    played = world.play(env="prod", exported=exported, rehome_database=others, rehome_state_dir=str(world.state))
    assert played.code == 0, played.output
    assert (world.summary["objects_copied"], world.summary["rows_rewritten"]) == (5, 5)
    assert login["password"] not in played.output
