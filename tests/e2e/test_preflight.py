"""The preflight as a verb of its own: it reports everything at once and writes nothing."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e


def test_it_reports_every_problem_at_once_and_writes_nothing(world: World) -> None:
    world.seed(3)
    world.query(
        "CREATE TABLE thumbs (path VARCHAR(255), FOREIGN KEY f (path) REFERENCES avatars (path) ON UPDATE CASCADE)"
    )
    try:
        before = world.everything()
        refused = world.play(playbook="playbooks/preflight.yml", rehome_references=REFERENCES)
        assert world.everything() == before
        stopped = world.play()
    finally:
        world.query("DROP TABLE thumbs")
    assert refused.code != 0 and refused.changed == 0
    assert refused.message.index("rehome_references[0]") < refused.message.index("preflight.json")
    assert "rehome_references[0] (avatars.path): thumbs.path refers to it" in refused.message
    assert "rehome_references[1].table (nowhere)" in refused.message
    assert "stop" in refused.output and "plan: lock" in refused.output
    kept = json.loads((world.state / "preflight.json").read_text())
    assert {"this machine", "source bucket", "target bucket", "database", "avatars.path"} <= {
        check["subject"] for check in kept
    }
    assert stopped.code != 0 and "thumbs.path refers to it" in stopped.message
    assert world.everything()["rows"] == before["rows"] and world.everything()["target"] == before["target"]


def test_without_trouble_it_passes_with_read_only_rights(world: World) -> None:
    world.seed(3)
    before = world.everything()
    reader = world.record["database"]["users"]["reader"]
    database = {name: value for name, value in world.record["database"].items() if name != "users"} | reader
    passed = world.play(playbook="playbooks/preflight.yml", rehome_database=database)
    assert passed.code == 0 and passed.changed == 0, passed.output
    assert "GRANT SELECT (`id`, `path`, `updated_at`), UPDATE (`path`, `updated_at`) ON `app`.`avatars` TO" in " ".join(
        passed.output.split()
    )
    assert world.everything() == before


REFERENCES = [
    {"table": "avatars", "column": "path", "form": "key"},
    {"table": "nowhere", "column": "path", "form": "key"},
]
