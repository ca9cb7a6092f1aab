"""The playbook that retires legacy objects, and brings them back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.conftest import World, kill_when

pytestmark = pytest.mark.e2e

RETIRE = "playbooks/retire.yml"
CONFIRMED: dict[str, Any] = {"playbook": RETIRE, "confirm": "legacy-s3"}


def seed_with_versions(world: World, objects: int) -> None:
    """Reset the world, with a versioned source bucket. The next seed creates a new bucket."""
    world.seed(objects)
    client = world.sandbox.store.client()
    client.put_bucket_versioning(Bucket="legacy-s3", VersioningConfiguration={"Status": "Enabled"})


def markers(world: World) -> list[tuple[str, str]]:
    pages = world.sandbox.store.client().get_paginator("list_object_versions").paginate(Bucket="legacy-s3")
    return sorted((one["Key"], one["VersionId"]) for page in pages for one in page.get("DeleteMarkers", []))


def test_retire_checks_is_killed_finishes_repeats_nothing_and_brings_all_back(world: World) -> None:
    seed_with_versions(world, 1500)
    assert world.play().code == 0
    before, old_markers = world.everything(), markers(world)
    now = CONFIRMED | {"rehome_retire_after": "0d"}
    world.query("UPDATE avatars SET path = 'https://old.example/image/avatar-7.png' WHERE id = 7")

    checked = world.play("--check", "--diff", **now | {"confirm": ""})
    assert (checked.code, checked.changed) == (0, 1), checked.output
    assert "-1499 objects to retire in legacy-s3" in checked.output
    assert len(world.lines("objects-to-retire")) == 1499
    assert world.objects("legacy-s3") == before["source"]

    retired = world.state / "retired"
    kill_when(world, lambda: any('"intended"' in file.read_text() for file in retired.glob("*.jsonl")), **now)
    finished = world.play(**now)
    assert finished.code == 0, finished.output
    assert re.search(r"done     [\d,]+ objects? retired", finished.output)
    assert list(world.objects("legacy-s3")) == ["image/avatar-7.png"]
    assert [line["named_by"] for line in world.lines("objects-kept-referenced")] == ["avatars.path"]
    assert world.objects("production-s3") == before["target"]
    again = world.play(**now)
    assert (again.code, again.changed) == (0, 0), again.output

    back = world.play(**CONFIRMED | {"confirm": ""}, restore="true")
    assert (back.code, back.changed) == (0, 1), back.output
    assert (world.objects("legacy-s3"), markers(world)) == (before["source"], old_markers)
