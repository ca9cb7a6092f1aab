"""Migrations while the application keeps writing, in slices, and with an approved plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import World

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("any_world", ["sqlite"], indirect=True)]

WRITE = """
import sqlite3, sys
from botocore.session import get_session
once, endpoint, access, secret, database, *keys = sys.argv[1:]
try:
    open(once, "x")
except FileExistsError:
    sys.exit()
s3 = get_session().create_client(
    "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access, aws_secret_access_key=secret)
db = sqlite3.connect(database)
for key in keys:
    s3.put_object(Bucket="legacy-s3", Key=key, Body=b"written meanwhile")
    if not db.execute("SELECT 1 FROM avatars WHERE path IN (?, 'avatar' || substr(?, 6))", (key, key)).fetchall():
        db.execute("INSERT INTO avatars (user_id, path) VALUES (900000, ?)", (key,))
db.commit()
"""


@pytest.fixture
def world(any_world: World) -> World:
    return any_world


def application(world: World, folder: Path, *keys: str) -> str:
    """Write a task file in which the application stores these objects once, with a row for each. Return its path."""
    script = folder / "application.py"
    script.write_text(WRITE)
    record = world.record
    login = record["s3"]["users"]["admin"]
    command = [
        "{{ ansible_playbook_python }}",
        str(script),
        str(folder / "written"),
        record["s3"]["endpoint_url"],
        login["access_key"],
        login["secret_key"],
        record["database"]["path"],
        *keys,
    ]
    tasks = folder / "application.yml"
    tasks.write_text(
        json.dumps([{"name": "Write", "ansible.builtin.command": {"argv": command}, "changed_when": True}])
    )
    return str(tasks)


def test_what_the_application_writes_during_the_copy_is_moved_too(world: World, tmp_path: Path) -> None:
    world.seed(20)
    hook = application(world, tmp_path, "image/avatar-77777.png", "image/avatar-1.png")
    played = world.play(rehome_hooks={"after_copy": hook})
    assert played.code == 0, played.output
    summary = world.summary
    assert summary["complete"] is True
    assert [found["objects_to_copy"] for found in summary["passes"]] == [20, 1, 0, 0]
    assert [found["objects_outdated"] for found in summary["passes"]] == [0, 1, 0, 0]
    assert (summary["objects_to_copy"], summary["objects_copied"], summary["rows_rewritten"]) == (22, 22, 21)
    client = world.sandbox.store.client()
    for number in (1, 77777):
        body = client.get_object(Bucket="production-s3", Key=f"avatar/avatar-{number}.png")["Body"].read()
        assert body == b"written meanwhile"
    assert (900000, "avatar/avatar-77777.png") in world.rows()
    assert "later passes found 1 new object, 1 overwritten object, 1 row" in played.output
    again = world.play()
    assert (again.code, again.changed) == (0, 0), again.output


def test_what_the_application_writes_after_the_rewrite_is_the_last_passs(world: World, tmp_path: Path) -> None:
    world.seed(10)
    hook = application(world, tmp_path, "image/avatar-77777.png")
    played = world.play(rehome_hooks={"after_rewrite": hook})
    assert played.code == 0, played.output
    assert world.summary["complete"] is True
    assert world.summary["rows_rewritten"] == 11
    assert world.summary["rows_to_rewrite"] == 11


def test_a_missing_hook_is_found_before_the_first_write(world: World) -> None:
    world.seed(5)
    before = world.everything()
    refused = world.play(rehome_hooks={"before_rewrite": "nowhere.yml"})
    assert refused.code != 0
    assert "nowhere.yml): does not exist" in refused.message
    misspelt = world.play(rehome_hooks={"before_rewriting": "nowhere.yml"})
    assert misspelt.code != 0
    assert "before_rewriting" in misspelt.message
    assert world.everything() == before


def test_a_run_that_fails_says_what_it_has_written_until_then(world: World, tmp_path: Path) -> None:
    world.seed(5)
    hook = tmp_path / "hook.yml"
    hook.write_text(f"- {{ansible.builtin.file: {{path: {world.state}/catalog.duckdb, state: absent}}}}")
    failed = world.play(rehome_hooks={"before_rewrite": str(hook)})
    assert failed.code != 0
    assert "holds no plan of this run" in failed.message
    assert "done     5 objects copied" in failed.output
    assert "outcome  NOT COMPLETE" in failed.output
    refused = world.play(rehome_hooks={"before_rewrite": "nowhere.yml"})
    assert "done " not in refused.output, "it has done nothing"


def test_a_slice_moves_so_many_objects_with_their_rows_and_no_others(world: World) -> None:
    world.seed(12)
    first = world.play(rehome_limit=5)
    assert first.code == 0, first.output
    assert "the slice is done; run it without rehome_limit for the rest" in first.output
    assert len(world.objects("production-s3")) == 5
    assert sum(path.startswith("avatar/") for _, path in world.rows()) == 5
    assert (world.summary["objects_deferred"], world.summary["rows_deferred"]) == (7, 7)
    assert world.summary["complete"] is False
    world.assert_no_row_dangles()
    assert world.play().code == 0
    assert world.summary["objects_copied"] == 7
    assert world.summary["complete"] is True


def test_an_approved_plan_runs_and_another_is_refused_with_what_has_changed(world: World, tmp_path: Path) -> None:
    world.seed(10)
    assert world.play(playbook="playbooks/plan.yml").code == 0
    digest = world.summary["plan_sha256"]
    world.sandbox.store.client().put_object(Bucket="legacy-s3", Key="image/avatar-5555.png", Body=b"new")
    before = world.everything()
    refused = world.play(approved_plan=digest)
    assert refused.code != 0
    assert "1 objects are new or have changed since, such as avatar-5555.png (to copy)" in refused.message
    after = world.everything()
    assert after["target"] == before["target"]
    assert after["rows"] == before["rows"]
    world.sandbox.store.client().delete_object(Bucket="legacy-s3", Key="image/avatar-5555.png")
    hook = application(world, tmp_path, "image/avatar-77777.png")
    allowed = world.play(approved_plan=digest, rehome_hooks={"after_copy": hook})
    assert "as approved" in allowed.output
    assert "avatar/avatar-77777.png" not in world.objects("production-s3"), "this was not approved"
    assert world.summary["objects_copied"] == 10
    assert world.summary["rows_rewritten"] == 10
    assert allowed.code != 0, "what the application has written since is left, and said"
