"""What a run says of itself at its end: never more than is true, and with everything that is left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import World

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("any_world", ["sqlite"], indirect=True)]


@pytest.fixture
def world(any_world: World) -> World:
    return any_world


@contextmanager
def looks_at_progress(world: World) -> Iterator[list[str]]:
    """Look at progress.json all the time; yields a list that gets each stage once it changes, and each failed look."""
    seen: list[str] = []
    over = threading.Event()
    file: Path = world.state / "progress.json"

    def look() -> None:
        while not over.wait(0.0005):
            try:
                stage = json.loads(file.read_text())["stage"]
            except FileNotFoundError:
                stage = "missing"
            except ValueError:
                stage = "cut"
            if not seen or seen[-1] != stage:
                seen.append(stage)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_a_misspelt_glob_is_refused_by_every_verb_that_plans(world: World) -> None:
    world.seed(5)
    before = world.everything()
    plays = (("migrate.yml", "--check"), ("playbooks/plan.yml",), ("playbooks/verify.yml",), ("migrate.yml",))
    for playbook, *options in plays:
        refused = world.play(*options, playbook=playbook, rehome_include=["avatr-*.png"])
        assert refused.code != 0, playbook
        assert "rehome_include (avatr-*.png): nothing is under the map" in refused.message
        assert "match none of these globs; the first: image/" in refused.message
        assert "the closest: image/avatar-" in refused.message
        assert (world.summary["complete"], world.summary["outcome"]) == (False, "NOT COMPLETE")
    after = world.everything()
    assert {name: after[name] for name in ("source", "target", "rows")} == {
        name: before[name] for name in ("source", "target", "rows")
    }
    wrong = world.play(playbook="playbooks/rollback.yml")
    assert wrong.code != 0
    assert "has no rows that" in wrong.message


def test_complete_names_what_policies_leave_and_progress_is_there_all_the_time(world: World) -> None:
    world.seed(6)
    store = world.sandbox.store.client()
    store.put_object(Bucket="production-s3", Key="avatar/avatar-1.png", Body=b"somebody else's")
    for path in ("/image/avatar-2.png", "image%2Favatar-2.png", "IMAGE/AVATAR-2.png", "image/avatar-none.png"):
        world.query(f"INSERT INTO avatars (user_id, path) VALUES (700000, '{path}')")
    policies = {"rehome_on_conflict": "skip", "rehome_on_dangling": "keep"}
    with looks_at_progress(world) as stages:
        played = world.play(**policies)
    assert played.code == 0, played.output
    text = "complete, but 1 conflict and 2 rows remain; 3 rows hold the key in a form that no reference names"
    assert (world.summary["complete"], world.summary["outcome"]) == (True, text)
    assert f"outcome  {text} (" in played.output
    assert {row["form"] for row in world.lines("rows-in-other-forms")} == {
        "/key",
        "percent-encoded",
        "in upper or lower case",
    }
    assert stages[0] == "missing"
    assert "missing" not in stages[1:]
    assert "cut" not in stages
    assert "copy" in stages
    assert stages[-1] == "finished"
    dry = world.play("--check", playbook="playbooks/rollback.yml")
    assert "done     5 of 5 rewritten rows would be restored" in dry.output
    back = world.play(playbook="playbooks/rollback.yml")
    assert "done     5 of 5 rewritten rows restored; 0 still as rewritten" in back.output
    assert world.summary["outcome"] == "complete"
