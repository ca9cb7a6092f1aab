"""The playbook that finds every column, and what preflight and retire make of it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import World, play_to_end

pytestmark = pytest.mark.e2e

DISCOVER = "playbooks/discover.yml"
RETIRE: dict[str, Any] = {"playbook": "playbooks/retire.yml", "confirm": "legacy-s3", "rehome_retire_after": "0d"}
PATIENCE_S = 60


def columns(world: World) -> dict[str, dict[str, Any]]:
    """Return the columns of discover.json by their names."""
    kept = json.loads((world.state / "discover.json").read_text())
    return {f"{column['table']}.{column['column']}": column for column in kept["columns"]}


@pytest.fixture
def thumbs(world: World) -> Iterator[World]:
    """A versioned source, and a table with two columns that name objects of it, and one that does not."""
    world.seed(40)
    versions = {"Status": "Enabled"}
    world.sandbox.store.client().put_bucket_versioning(Bucket="legacy-s3", VersioningConfiguration=versions)
    with table(world, "thumbs (id INTEGER PRIMARY KEY, url VARCHAR(200), html TEXT, note TEXT)"):
        html = "<img src=''/image/avatar-1.png?token=secret''>"
        world.query(f"INSERT INTO thumbs VALUES (1, '/image/avatar-1.png', '{html}', 'x'), (2, NULL, NULL, NULL)")
        yield world


class table:  # noqa: N801 - used as a context manager
    """A table of its own for a block."""

    def __init__(self, world: World, definition: str) -> None:
        self._world, self._definition = world, definition

    def __enter__(self) -> None:
        self._world.query(f"CREATE TABLE {self._definition}")

    def __exit__(self, *_: object) -> None:
        self._world.query(f"DROP TABLE {self._definition.partition(' ')[0]}")


def test_retire_refuses_while_a_found_column_is_neither_a_reference_nor_acknowledged(thumbs: World) -> None:
    world = thumbs
    migrated = world.play()
    assert migrated.code == 0, migrated.output
    unknowing = world.play("--check", **RETIRE)
    assert unknowing.code == 0, unknowing.output
    assert "nobody has looked for further columns" in " ".join(unknowing.output.split())

    before = world.everything()
    for arguments in (["--check"], [], []):
        done = world.play(*arguments, playbook=DISCOVER)
        assert (done.code, done.changed) == (0, 0), done.output
    assert world.everything() == before
    assert "form: /key" in done.output
    assert "names were compared with the source's listing of 40 objects" in done.output
    found = columns(world)
    assert found["thumbs.url"]["standing"] == found["thumbs.html"]["standing"] == "names"
    assert found["thumbs.note"]["standing"] == "none"
    assert found["avatars.path"]["standing"] == "reference"
    assert "secret" not in (world.state / "discover.json").read_text()
    assert "secret" not in (world.state / "discover.txt").read_text()
    assert not (world.state / "discover-unfinished.json").exists()

    checked = world.play(playbook="playbooks/preflight.yml")
    for name in ("thumbs.url", "thumbs.html"):
        assert name in checked.output
    assert "RH-731" in checked.output

    refused = world.play(**RETIRE)
    assert refused.code != 0
    assert "columns name objects that would be deleted" in refused.message
    for word in ("thumbs.url", "thumbs.html", "rehome_references", "rehome_acknowledged_columns", "RH-731"):
        assert word in refused.message
    assert world.objects("legacy-s3") == before["source"]

    known = {"rehome_acknowledged_columns": ["thumbs.html", "thumbs.url"]}
    partly = world.play(**RETIRE, rehome_acknowledged_columns=["thumbs.html"])
    assert partly.code != 0
    assert "thumbs.html (" not in partly.message
    allowed = world.play(**RETIRE, **known)
    assert allowed.code == 0, allowed.output
    assert world.objects("legacy-s3") == {}


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_search_goes_on_where_it_was(world: World, kill: signal.Signals) -> None:
    world.seed(1)
    numbers = "seq_1_to_60000" if world.db == "mariadb" else "generate_series(1, 60000) AS s(seq)"
    with table(world, "large (id INTEGER PRIMARY KEY, c VARCHAR(90))"):
        world.query(f"INSERT INTO large SELECT seq, CONCAT('image/avatar-', seq, '.png') FROM {numbers}")
        # after each page it pauses for much longer than the page took
        slowly: dict[str, Any] = {"playbook": DISCOVER, "rehome_throttle": {"nice": 200.0}}
        unfinished = world.state / "discover-unfinished.json"
        run = world.start(**slowly)

        def is_within_the_table() -> bool:
            return unfinished.exists() and bool(json.loads(unfinished.read_text())["position"])

        wait_until(is_within_the_table)
        run.send_signal(kill)
        stopped = play_to_end(run)
        assert stopped.code != 0
        wait_until(lambda: not (world.state / "progress.json").exists() or _has_ended(world))
        reached = json.loads(unfinished.read_text())
        assert not (world.state / "discover.json").exists()
        assert reached["position"]["rows"] > 0

        done = world.play(playbook=DISCOVER)
        assert (done.code, done.changed) == (0, 0), done.output
        kept = json.loads((world.state / "discover.json").read_text())
        assert kept["began"] == reached["began"]
        assert columns(world)["large.c"]["rows"] == columns(world)["large.c"]["rows_read"] == 60_000
        assert not unfinished.exists()


def _has_ended(world: World) -> bool:
    return "ended" in json.loads((world.state / "progress.json").read_text())


def test_discover_works_on_each_database(any_world: World) -> None:
    any_world.seed(5)
    with table(any_world, "thumbs (id INTEGER PRIMARY KEY, url VARCHAR(200))"):
        any_world.query("INSERT INTO thumbs VALUES (1, 's3://legacy-s3/image/avatar-1.png')")
        done = any_world.play(playbook=DISCOVER)
        assert done.code == 0, done.output
        assert columns(any_world)["thumbs.url"]["forms"][0]["form"] == "s3://bucket/key"
