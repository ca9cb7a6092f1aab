"""The playbook that finds every column, and what preflight and retire make of it."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e

DISCOVER = "playbooks/discover.yml"


def test_discover_shows_what_to_paste_and_changes_nothing(world: World) -> None:
    world.seed(50)
    world.query("CREATE TABLE thumbs (id INTEGER PRIMARY KEY, url VARCHAR(200), html TEXT)")
    try:
        world.query("INSERT INTO thumbs VALUES (1, '/image/avatar-1.png', '<img src=\"/image/avatar-1.png\">')")
        before = world.everything()
        done = world.play(playbook=DISCOVER)
        assert done.code == 0, done.output
        assert done.changed == 0
        assert world.everything() == before
        kept = json.loads((world.state / "discover.json").read_text())
        assert kept
    finally:
        world.query("DROP TABLE thumbs")
