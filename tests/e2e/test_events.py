"""What AWX gets of a run: ansible-runner's events, with its own callback in the place of ours."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import World, Worlds, own_settings
from tests.e2e.jobs import Job, start_job

pytestmark = pytest.mark.e2e

OBJECTS = 600
LARGEST_EVENT_BYTES = 100_000


@pytest.fixture
def job(worlds: Worlds, tmp_path: Path) -> Job:
    """A migration that is long enough for lines about its progress, and has come to its end."""
    world: World = worlds.of("sqlite")
    world.seed(OBJECTS)
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    hosts = {"all": {"children": {"prod": {"hosts": {"rehome-prod": {}}}}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (inventory / "group_vars" / "prod.yml").write_text(yaml.safe_dump(own_settings(world)))
    folder = tmp_path / "job"
    (folder / "env").mkdir(parents=True)
    # 600 objects at 25 a second: longer than the time between the first lines
    slow = {"rehome_objects_per_second": 25, "rehome_state_dir": str(world.state)}
    return start_job(
        folder, "playbooks/migrate.yml", inventory, extra_vars={"env": "prod", **slow}, environment={}
    ).wait()


def test_events_are_those_that_awx_knows_and_lines_of_progress_are_among_them(job: Job) -> None:
    assert job.status == "successful", job.output
    events = job.events
    kinds = Counter(event["event"] for event in events)
    assert kinds["playbook_on_start"] == kinds["playbook_on_stats"] == 1
    assert kinds["playbook_on_task_start"] > 20, "each task has its events, also one that our callback does not show"
    assert kinds["runner_on_start"] == kinds["runner_on_ok"] + kinds["runner_on_skipped"] + kinds["runner_on_failed"]
    assert kinds["runner_on_skipped"] > 0
    assert kinds["runner_on_failed"] == kinds["error"] == 0
    assert [event["counter"] for event in events] == list(range(1, len(events) + 1))

    stages = [
        event["event_data"]["task_action"]
        for event in events
        if event["event"] == "runner_on_ok" and event["event_data"]["res"].get("did")
    ]
    ran = [name.rpartition(".")[2] for name in stages]
    assert [name for name in ran if name in ("s3_batch_copy", "db_path_rewrite")] == [
        "s3_batch_copy",
        "db_path_rewrite",
    ]

    # a line of progress has an event of its own, of no task
    said = [event["stdout"] for event in events if event["event"] == "verbose"]
    lines = [text for text in said if re.search(r"  copy  \d+/600 \d+\.\d%  \d+/s  copied=\d+ .* eta ", text)]
    assert len(lines) >= 2, said
    # nothing but lines: nobody sees a block redrawn in AWX
    assert not [line for line in lines if "\r" in line or re.search(r"\x1b\[\d*[AKJ]", line)]

    assert max(len(json.dumps(event).encode()) for event in events) < LARGEST_EVENT_BYTES
    output = job.output
    assert "PLAY RECAP" in output
    assert "recap  " not in output, "it is not our callback that prints"
    assert "outcome  complete" in output, output[-3_000:]
    assert "next:" in output
