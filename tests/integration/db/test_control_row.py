"""The control row on real servers: a DBA's statement, the run's own words, and what happens without a right."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rehome.control.controls import Controls
from rehome.control.orders import ranges
from rehome.db.dialect import Dialect
from rehome.db.engines.open import connect
from rehome.preflight.control import check_control
from rehome.state import control_row, database_lock
from rehome.state.control_row import ControlRowDoor
from rehome.state.database_lock import migration_lock

from tests.integration.db.conftest import Bench, only

ALLOWED = ranges(256, 4, (5, 10_000))


class Watch:
    """A door, looked at by the test rather than by the clock."""

    def __init__(self, bench: Bench, migration: str = "avatars", user: str = "migrate") -> None:
        self.controls = Controls()
        self.now = 0.0
        self.says: dict[str, Any] = {"stage": "copy", "done": 1}
        self.door = ControlRowDoor(
            self.controls, bench.schema, migration, ALLOWED, lambda: self.says, clock=lambda: self.now
        )
        self.database: Dialect = bench.rehome(user)

    def look(self) -> None:
        self.now += 60
        self.door.look(self.database)

    @property
    def notes(self) -> Any:
        return self.controls.snapshot().get("notes", [])


def table(bench: Bench) -> str:
    return "rehome_control" if bench.engine == "sqlite" else "rehome.control"


def dba(bench: Bench, change: str, migration: str = "avatars") -> None:
    """Run the documented statement as the documentation has it."""
    bench.rehome_execute(f"UPDATE {table(bench)} SET {change} WHERE migration = '{migration}'")


def test_one_update_pauses_a_run_and_another_resumes_it(bench: Bench) -> None:
    bench.rehome().create_journal(bench.schema)
    watch = Watch(bench)
    watch.look()
    assert watch.controls.pause is None
    dba(bench, "paused = TRUE, asked_by = 'anna'")
    watch.look()
    assert watch.controls.pause
    assert watch.controls.pause.by == "anna"
    assert watch.controls.pause.why.endswith(" SET paused = FALSE WHERE migration = 'avatars'")
    statement = watch.controls.pause.way_out.removeprefix("resume with ")
    bench.rehome_execute(statement)
    watch.look()
    assert watch.controls.pause is None
    assert [one["asked"] for one in watch.controls.asked] == ["pause", "resume"]


def test_limits_are_json_and_null_takes_them_back(bench: Bench) -> None:
    bench.rehome().create_journal(bench.schema)
    watch = Watch(bench)
    watch.look()
    dba(bench, """settings = '{"objects_per_second": 200, "chunk_ms": 20}'""")
    watch.look()
    assert (watch.controls.limit("objects_per_second", None), watch.controls.limit("chunk_ms", 75)) == (200, 20)
    dba(bench, "settings = NULL")
    watch.look()
    assert watch.controls.limit("chunk_ms", 75) == 75


@pytest.mark.parametrize(
    ("settings", "says"),
    [("{", "settings is not JSON"), ("[1]", "not a JSON object"), ('{"chunk_ms": 1}', "chunk_ms (1) is not a whole")],
)
def test_settings_that_are_not_understood_change_nothing(bench: Bench, settings: str, says: str) -> None:
    bench.rehome().create_journal(bench.schema)
    watch = Watch(bench)
    watch.look()
    dba(bench, """settings = '{"chunk_ms": 20}'""")
    watch.look()
    dba(bench, f"paused = TRUE, settings = '{settings}'")
    watch.look()
    assert watch.controls.limit("chunk_ms", 75) == 20
    assert not watch.controls.paused
    assert says in watch.notes[0]


def test_the_row_says_how_far_the_run_is_and_keeps_what_was_asked(bench: Bench) -> None:
    bench.rehome().create_journal(bench.schema)
    watch = Watch(bench)
    watch.look()
    dba(bench, "paused = TRUE")
    watch.says["done"] = 70
    watch.look()
    row = watch.database.read_control(bench.schema, "avatars")
    assert row
    assert row.paused
    said = json.loads(row.run_says or "")
    assert (said["stage"], said["done"], said["ended"]) == ("copy", 70, False)
    watch.door.look(watch.database, last=True)
    row = watch.database.read_control(bench.schema, "avatars")
    assert row
    assert json.loads(row.run_says or "")["ended"] is True


def test_a_dry_run_does_not_miss_the_table_that_the_run_makes(bench: Bench, tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(
        journal_schema=bench.schema,
        name="avatars",
        state_dir=tmp_path,
        tunable=ALLOWED,
    )
    assert check_control(bench.rehome(), settings, dry_run=True) == []
    (check,) = check_control(bench.rehome(), settings, dry_run=False)
    assert "this user has no SELECT on" in check.found
    bench.rehome().create_journal(bench.schema)
    assert check_control(bench.rehome(), settings, dry_run=False) == []


def test_migrations_in_one_schema_have_a_row_each(bench: Bench) -> None:
    bench.rehome().create_journal(bench.schema)
    mine, other = Watch(bench), Watch(bench, "Avatars")
    mine.look()
    other.look()
    dba(bench, "paused = TRUE")
    mine.look()
    other.look()
    assert (mine.controls.paused, other.controls.paused) == (True, False)


def test_a_journal_of_a_version_without_the_table_gets_it(bench: Bench) -> None:
    bench.rehome().create_journal(bench.schema)
    bench.rehome_execute(f"DROP TABLE {table(bench)}")
    watch = Watch(bench)
    watch.look()
    assert watch.notes == []
    dba(bench, "paused = TRUE")
    watch.look()
    assert watch.controls.paused


@only("mariadb", "postgresql")
def test_without_the_right_the_door_is_shut_and_the_run_goes_on(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create()
    bench.rehome().create_journal(bench.schema)
    login = modest("SELECT")
    watch = Watch(bench)
    watch.database = bench._stack.enter_context(connection_of(bench, login))
    for _ in range(3):
        watch.look()
    assert len(watch.notes) == 1
    assert "this door is shut (" in watch.notes[0]
    assert watch.controls.pause is None


def connection_of(bench: Bench, login: dict[str, str]) -> AbstractContextManager[Dialect]:
    return connect(replace(bench.settings(), **login))


@only("mariadb", "postgresql")
def test_a_right_to_read_alone_is_enough_to_be_paused(bench: Bench, modest: Callable[..., dict[str, str]]) -> None:
    bench.create()
    bench.rehome().create_journal(bench.schema)
    bench.rehome().add_control(bench.schema, "avatars")
    login = modest("SELECT")
    user = f"{login['user']}@'%'" if bench.engine == "mariadb" else login["user"]
    if bench.engine == "postgresql":
        bench.rehome_execute(f"GRANT USAGE ON SCHEMA rehome TO {user}")
    grant = f"GRANT SELECT ON rehome.control TO {user}"
    bench.execute(grant.replace("%", "%%")) if bench.engine == "mariadb" else bench.rehome_execute(grant)
    watch = Watch(bench)
    watch.database = bench._stack.enter_context(connection_of(bench, login))
    dba(bench, "paused = TRUE")
    watch.look()
    assert watch.controls.paused
    assert "this run does not say here how far it is (" in watch.notes[0]
    if bench.engine == "postgresql":
        bench.rehome_execute(f"REVOKE ALL ON rehome.control FROM {user}; REVOKE USAGE ON SCHEMA rehome FROM {user}")


def test_the_thread_that_keeps_the_lock_hears_the_row(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_lock, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(control_row, "LOOK_EVERY_S", 0.02)
    bench.rehome().create_journal(bench.schema)
    controls = Controls()
    door = ControlRowDoor(controls, bench.schema, "avatars", ALLOWED, dict)
    with migration_lock(bench.settings(), "avatars", door):
        dba(bench, "paused = TRUE")
        until = time.monotonic() + 30
        while not controls.paused and time.monotonic() < until:
            time.sleep(0.01)
        assert controls.paused
        dba(bench, "paused = FALSE")
        while controls.paused and time.monotonic() < until:
            time.sleep(0.01)
        assert not controls.paused


@only("mariadb", "postgresql")
def test_the_holder_of_a_lock_is_seen_without_taking_it(bench: Bench) -> None:
    looker = bench.rehome()
    assert looker.lock_holder("avatars") is None
    with migration_lock(bench.settings(), "avatars"):
        holder = looker.lock_holder("avatars")
        assert holder
        assert "of migrate from" in holder.words
    # a server notices after the client that their connection has ended
    deadline = time.monotonic() + 30
    while looker.lock_holder("avatars") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with migration_lock(bench.settings(), "avatars"):
        pass


def test_the_journal_goes_with_its_row(bench: Bench) -> None:
    database = bench.rehome()
    database.create_journal(bench.schema)
    assert database.has_control(bench.schema)
    database.drop_journal(bench.schema)
    assert not database.has_control(bench.schema)
    assert not database.has_journal(bench.schema)
