from __future__ import annotations

import json
import re
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.settings import Database
from rehome.state.database_lock import migration_lock

from tests.e2e.conftest import World, kill_when

pytestmark = pytest.mark.e2e

ROLLBACK = "playbooks/rollback.yml"


def journalled(world: World) -> dict[str, int]:
    """Return direction → number of rows in the journal."""
    table = "rehome_journal" if world.db == "sqlite" else "rehome.journal"
    found = world.query(f"SELECT direction, sum(row_count) FROM {table} WHERE migration = 'avatars' GROUP BY direction")
    return {direction: int(rows) for direction, rows in found}


def test_a_migration_is_undone_to_the_first_byte_as_the_check_said(any_world: World) -> None:
    world = any_world
    world.seed(40, oddities=True)
    first = world.rows()
    assert world.play(rehome_on_dangling="rewrite").code == 0
    moved = sum(old != new for old, new in zip(first, world.rows(), strict=True))
    before = world.everything()

    checked = world.play("--check", "--diff", playbook=ROLLBACK, sandbox_user="reader")
    assert (checked.code, checked.changed) == (0, 1), checked.output
    assert world.everything() == before, "a dry run writes nothing"
    assert "-avatar/avatar-1.png" in checked.output
    assert "+image/avatar-1.png" in checked.output
    assert "a dry run: nothing was written" in checked.output
    assert world.summary["rows_to_restore"] == moved > 40

    undone = world.play(playbook=ROLLBACK)
    assert (undone.code, undone.changed) == (0, 1), undone.output
    assert world.rows() == first
    assert world.summary["verb"] == "rollback"
    assert (world.summary["rows_restored"], world.summary["complete"]) == (moved, True)
    assert f"done     {moved:,} of {moved:,} rewritten rows restored; 0 still as rewritten" in undone.output
    after = world.everything()
    assert (after["source"], after["target"]) == (before["source"], before["target"]), "objects stay"
    assert journalled(world) == {"rewrite": moved, "rollback": moved}


def test_copies_are_removed_with_a_second_key_as_the_check_said(world: World) -> None:
    world.seed(40)
    world.sandbox.store.client().put_object(Bucket="production-s3", Key="avatar/theirs.png", Body=b"somebody else's")
    first = world.everything()
    assert world.play().code == 0
    before = world.everything()
    removing: dict[str, Any] = {"playbook": ROLLBACK, "rehome_rollback_copies": "remove"}

    checked = world.play("--check", "--diff", **removing)
    assert (checked.code, checked.changed) == (0, 2), checked.output
    assert world.everything() == before, "a dry run writes nothing"
    assert "-40 copies to remove in production-s3" in checked.output
    assert "40 copies would be removed" in checked.output
    assert len(world.lines("copies-to-remove")) == 40

    refused = world.play(**removing, confirm="legacy-s3")
    assert refused.code != 0
    assert "Say -e confirm=production-s3 if it is that one" in refused.output
    assert world.everything() == before, "a second key that does not fit is found before the first write"

    undone = world.play(**removing, confirm="production-s3")
    assert (undone.code, undone.changed) == (0, 2), undone.output
    assert "40 copies removed" in undone.output
    assert (world.summary["rows_restored"], world.summary["copies_removed"]) == (40, 40)
    after = world.everything()
    assert (after["source"], after["target"], after["rows"]) == (first["source"], first["target"], first["rows"])
    again = world.play(**removing, confirm="production-s3")
    assert (again.code, again.changed) == (0, 0), again.output
    assert world.play().code == 0
    assert world.everything()["rows"] == before["rows"]


def test_a_copy_that_may_still_be_made_is_told_with_the_time_from_when_on_to_look_again(world: World) -> None:
    world.seed(10)
    assert world.play().code == 0
    with Catalog.open(world.state / "catalog.duckdb") as catalog:
        places = {"source_prefix": "image/", "target_prefix": "avatar/", "target_bucket": "production-s3"}
        catalog.note_all({"began": "29991231T000000.000000Z", **places})
    # as a run leaves it that was killed just now
    (world.state / "outcomes" / "29991231T000000.000000Z.begun").write_text(
        json.dumps([["avatar-late.png", 1, "etag"]])
    )
    undone = world.play(playbook=ROLLBACK, rehome_rollback_copies="remove", confirm="production-s3")
    assert undone.code == 0, undone.output
    assert re.search(r"1 copies that a run had begun .* may still be made until \d\d:\d\d UTC", undone.output)
    assert "complete, but 1 copy that a run had begun may still be made" in undone.output
    assert world.summary["copies_expected"] == 1
    assert [line["key"] for line in world.lines("copies-expected")] == ["avatar/avatar-late.png"]


def test_killed_while_copies_are_removed_and_run_again_it_finishes(world: World) -> None:
    world.seed(300)
    first = world.everything()
    assert world.play().code == 0
    removing: dict[str, Any] = {"playbook": ROLLBACK, "rehome_rollback_copies": "remove", "confirm": "production-s3"}
    removed = world.state / "removed"
    kill_when(world, lambda: any('"intended"' in file.read_text() for file in removed.glob("*.jsonl")), **removing)
    finished = world.play(**removing)
    assert finished.code == 0, finished.output
    assert world.everything() == first | {"tables": world.everything()["tables"]}
    records = [line for file in removed.glob("*.jsonl") for line in map(json.loads, file.read_text().splitlines())]
    assert {line["key"] for line in records if line.get("event") == "deleted"} == {
        f"avatar/avatar-{number}.png" for number in range(1, 301)
    }


def test_killed_in_the_middle_of_the_rollback_and_run_again_it_finishes(world: World) -> None:
    world.seed(3000)
    first = world.rows()
    assert world.play().code == 0
    restored = "SELECT count(*) FROM avatars WHERE path LIKE 'image/%'"
    with world.slow_rows():
        kill_when(world, lambda: world.query(restored)[0][0] > 0, playbook=ROLLBACK)
    # the trigger could be dropped: the server has noticed the lost client and rolled the transaction back
    (count,) = world.query(restored)[0]
    assert 0 < count < 3000
    assert world.summary["complete"] is False

    finished = world.play(playbook=ROLLBACK)
    assert finished.code == 0, finished.output
    assert (world.summary["rows_restored"], world.summary["rows_restored_before"]) == (3000 - count, count)
    assert world.rows() == first
    assert journalled(world) == {"rewrite": 3000, "rollback": 3000}


def test_a_later_run_alone_is_undone_then_all_of_it_and_a_migration_can_be_made_again(world: World) -> None:
    world.seed(5)
    assert world.play().code == 0
    world.sandbox.store.client().put_object(Bucket="legacy-s3", Key="image/avatar-new.png", Body=b"new")
    world.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-new.png')")
    (started,) = world.query("SELECT UTC_TIMESTAMP(3)")[0]
    assert world.play().code == 0
    undone = world.play(playbook=ROLLBACK, rehome_rollback_since=f"{started.isoformat()}+00:00")
    assert undone.code == 0, undone.output
    assert world.summary["rows_restored"] == 1
    assert [path for _, path in world.rows() if path.startswith("image/")] == ["image/avatar-new.png"]
    kept = json.loads((world.state / "summary-migrate.json").read_text())
    assert (kept["verb"], kept["rows_rewritten"]) == ("migrate", 1)

    completion = world.state / "completion.json"
    kept = completion.read_text()
    completion.write_text(kept.replace('"completed_at": null', '"completed_at": "2026-01-31T14:30:00+00:00"'))
    assert world.play(playbook=ROLLBACK).changed == 1
    assert json.loads(completion.read_text())["completed_at"] is None, "nothing may be retired"
    assert world.summary["rows_restored"] == 5
    assert not [path for _, path in world.rows() if path.startswith("avatar/")]
    again = world.play(playbook=ROLLBACK)
    assert (again.code, again.changed) == (0, 0), again.output
    assert world.summary["rows_restored_before"] == 6

    assert world.play().code == 0
    assert (world.summary["objects_copied"], world.summary["rows_rewritten"]) == (0, 6)
    assert (world.summary["rows_checked"], world.summary["complete"]) == (6, True)


def test_what_the_application_did_since_is_left_and_what_the_source_lost_is_kept_unless_set_otherwise(
    world: World,
) -> None:
    world.seed(10)
    assert world.play().code == 0
    world.query("UPDATE avatars SET path = 'avatar/avatar-9.png' WHERE id = 2")
    world.query("DELETE FROM avatars WHERE id = 3")
    client = world.sandbox.store.client()
    client.delete_object(Bucket="legacy-s3", Key="image/avatar-4.png")
    client.put_object(Bucket="production-s3", Key="avatar/avatar-5.png", Body=b"a newer picture")

    undone = world.play(playbook=ROLLBACK)
    assert undone.code != 0
    assert "2 rows keep their new value, as the source does not have the object that they name now" in undone.message
    summary = world.summary
    expected = {"restored": 6, "changed_since": 1, "gone": 1, "kept": 2, "restored_before": 0}
    assert {name: summary[f"rows_{name}"] for name in expected} == expected
    assert summary["complete"] is False
    world.assert_no_row_dangles()
    assert world.query("SELECT path FROM avatars WHERE id = 2") == [("avatar/avatar-9.png",)]
    assert world.lines("rows-changed-since") == [
        {
            "reference": "avatars.path",
            "key": [2],
            "value": "avatar/avatar-9.png",
            "expected": "avatar/avatar-2.png",
            "old_value": "image/avatar-2.png",
        }
    ]
    assert [line["key"] for line in world.lines("rows-gone")] == [[3]]
    assert [line["key"] for line in world.lines("rows-kept")] == [[4], [5]]

    forced = world.play(playbook=ROLLBACK, rehome_rollback_missing="restore")
    assert (forced.code, forced.changed) == (0, 1), forced.output
    assert world.query("SELECT path FROM avatars WHERE id IN (4, 5) ORDER BY id") == [
        ("image/avatar-4.png",),
        ("image/avatar-5.png",),
    ]
    assert not (world.state / "lists" / "rows-kept.jsonl").exists()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"rehome_include": ["*"]}, "rehome_name (avatars): the journal holds changes that were made under this name"),
        ({"rehome_journal_schema": "nowhere"}, "rehome_journal_schema (nowhere): has no journal that this user can"),
    ],
)
def test_what_cannot_be_undone_is_refused_with_the_setting(world: World, variables: dict[str, Any], words: str) -> None:
    if not (world.state / "summary-migrate.json").exists():
        world.seed(3)
        assert world.play().code == 0
    rows = world.rows()
    refused = world.play(playbook=ROLLBACK, **variables)
    assert refused.code != 0
    assert words in refused.message
    assert world.rows() == rows


def test_a_rollback_is_refused_while_a_retirement_or_a_migration_is_at_work_elsewhere(world: World) -> None:
    if not (world.state / "summary-migrate.json").exists():
        world.seed(3)
        assert world.play().code == 0
    database = world.sandbox.database(world.db).database("migrate")
    with migration_lock(Database(**database), "avatars"):
        refused = world.play(playbook=ROLLBACK)
    assert refused.code != 0
    assert "rehome_name (avatars): another run of this migration is at work in the database" in refused.message
