"""The preflight as a verb of its own: it reports everything at once and writes nothing."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Played, World

pytestmark = pytest.mark.e2e


@pytest.mark.product("mariadb")  # MySQL wants a unique key for a foreign key
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
    world.query(
        "CREATE TRIGGER frozen BEFORE UPDATE ON avatars FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'paths are frozen', MYSQL_ERRNO = 30001"
    )
    try:
        tried = world.play()
    finally:
        world.query("DROP TRIGGER frozen")
    assert refused.code != 0 and refused.changed == 0
    assert refused.message.index("rehome_references[0]") < refused.message.index("preflight.json")
    assert "rehome_references[0] (avatars.path): thumbs.path refers to it" in refused.message
    assert "rehome_references[1].table (nowhere)" in refused.message
    assert "stop" in refused.output and "plan: lock" in refused.output
    kept = json.loads((world.state / "preflight.json").read_text())
    assert {"this machine", "source bucket", "target bucket", "database", "avatars.path"} <= {
        check["subject"] for check in kept
    }
    assert tried.code != 0 and "each of 3 tried rows is refused" in tried.message, tried.output
    assert "paths are frozen" in tried.message and "GRANT" not in tried.message
    assert stopped.code != 0 and "thumbs.path refers to it" in stopped.message
    assert world.everything()["rows"] == before["rows"] and world.everything()["target"] == before["target"]


def test_it_ends_with_the_verdict_for_a_run_and_asks_for_all_its_rights_at_once(world: World) -> None:
    world.seed(3)
    before = world.everything()
    begin = world.play(playbook="playbooks/preflight.yml")
    assert begin.code == 0 and begin.changed == 0, begin.output
    assert last_line(begin) == "verdict: a migration may begin"
    reader = world.record["database"]["users"]["reader"]
    database = {name: value for name, value in world.record["database"].items() if name != "users"} | reader
    refused = world.play(playbook="playbooks/preflight.yml", rehome_database=database)
    assert refused.code != 0 and refused.changed == 0
    assert last_line(refused) == "verdict: a migration may not begin: 2 stops"
    said = " ".join(refused.output.split())
    assert "GRANT SELECT (`id`, `path`, `updated_at`), UPDATE (`path`, `updated_at`) ON `app`.`avatars` TO" in said
    assert "GRANT CREATE, SELECT, INSERT ON `rehome`.* TO" in said
    assert world.everything() == before


def last_line(played: Played) -> str:
    """Return the last line before the recap."""
    return played.before_recap.rstrip().rpartition("\n")[2].strip()


REFERENCES = [
    {"table": "avatars", "column": "path", "form": "key"},
    {"table": "nowhere", "column": "path", "form": "key"},
]
