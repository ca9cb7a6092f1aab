"""One migration from beginning to end, with all that interrupts it: `make matrix` plays it on each of its servers."""

from __future__ import annotations

import pytest

from sandbox.seed import manifest
from tests.e2e.conftest import World, kill_when

pytestmark = pytest.mark.e2e

OBJECTS = 3000
MOVED = "SELECT count(*) FROM avatars WHERE path LIKE 'avatar/avatar-%'"


@pytest.mark.timeout(900)
def test_a_seed_with_oddities_is_checked_killed_twice_finished_verified_and_rolled_back(any_world: World) -> None:
    world = any_world
    world.seed(OBJECTS, oddities=True)
    before = world.everything()

    checked = world.play("--check", "--diff", rehome_on_dangling="keep")
    assert checked.code == 0, checked.output
    assert world.everything() == before, "a dry run writes nothing"

    kill_when(world, lambda: world.has_copied(100), rehome_on_dangling="keep")
    world.assert_no_more_rows_dangle(before["rows"])
    (moved,) = world.query(MOVED)[0]
    with world.slow_rows():
        kill_when(world, lambda: world.query(MOVED)[0][0] > moved, rehome_on_dangling="keep")
    world.assert_no_more_rows_dangle(before["rows"])
    (rewritten,) = world.query(MOVED)[0]
    assert moved < rewritten < OBJECTS, "killed within the rewrite"

    finished = world.play(rehome_on_dangling="keep")
    assert finished.code == 0, finished.output
    assert world.summary["complete"] is True
    assert world.rows() == list(manifest.rows(OBJECTS, with_oddities=True, after_migration=True))
    assert set(world.objects("production-s3")) == set(
        manifest.target_keys(OBJECTS, with_oddities=True, after_migration=True)
    )

    again = world.play(rehome_on_dangling="keep")
    assert (again.code, again.changed) == (0, 0), again.output
    assert world.play(playbook="playbooks/verify.yml", rehome_on_dangling="keep").code == 0

    undone = world.play(playbook="playbooks/rollback.yml", rehome_on_dangling="keep")
    assert undone.code == 0, undone.output
    assert world.rows() == list(manifest.rows(OBJECTS, with_oddities=True))
    assert world.objects("legacy-s3") == before["source"]
