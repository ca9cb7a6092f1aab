from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.ansible_module.run_report import RunReport
from rehome.ansible_module.stage import Stage
from rehome.ansible_module.stopping import Stopping
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Database
from rehome.db.engines.mysql.dialect import _lock
from rehome.errors import RefusedError, RehomeError
from rehome.progress import Progress
from rehome.state import database_lock
from rehome.state.database_lock import migration_lock

from tests.integration.db.conftest import Bench
from tests.unit.config.test_settings import given


def test_one_run_at_a_time_locks_a_migration_and_others_run_beside_it(bench: Bench) -> None:
    database: Database = bench.settings()
    with migration_lock(database, "avatars"):
        with pytest.raises(RefusedError) as refused, migration_lock(database, "avatars"):
            pass
        with migration_lock(database, "covers"):
            pass
    text = str(refused.value)
    assert "rehome_name (avatars): another run of this migration is at work in the database: " in text
    with migration_lock(database, "avatars"):
        pass


def test_the_refusal_names_the_holder(bench: Bench) -> None:
    with (
        migration_lock(bench.settings(), "avatars"),
        pytest.raises(RefusedError) as refused,
        migration_lock(bench.settings(), "avatars"),
    ):
        pass
    expected = {
        "mariadb": "of migrate from",
        "postgresql": "of migrate from 127.0.0.1, since",
        "sqlite": "process on this",
    }
    assert expected[bench.engine] in str(refused.value)


@pytest.fixture
def watched_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_lock, "CHECK_EVERY_S", 0.02)


def lose(bench: Bench) -> None:
    """End the session that holds the lock, as an administrator or a failover does."""
    if bench.engine == "mariadb":
        ((session,),) = bench.execute(
            "SELECT id FROM information_schema.processlist WHERE IS_USED_LOCK(?) = id", _lock("avatars")
        )
        bench.execute(f"KILL {session}")
    elif bench.engine == "postgresql":
        bench.as_superuser(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    else:
        for file in Path(bench.settings().path or "").parent.glob("*.lock"):
            file.unlink()


def awaited(condition: Callable[[], object]) -> None:
    """Wait until the lock's own thread has made it true."""
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)  # until the next check


def test_a_lock_that_was_lost_to_another_run_is_noticed_and_ends_this_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the other run is the quicker one
    monkeypatch.setattr(database_lock, "CHECK_EVERY_S", 3600)
    with pytest.raises(RehomeError) as lost, migration_lock(bench.settings(), "avatars") as lock:
        lose(bench)
        other = bench.rehome()
        awaited(lambda: other.try_advisory_lock("avatars") is None)
    assert lock.lost is not None
    assert "rehome_name (avatars): the connection that held the lock of this run was lost" in str(lost.value)
    assert "another run of this migration has taken the lock: " in str(lost.value)
    assert "run the same command again" in str(lost.value)
    other.close()


@pytest.mark.usefixtures("watched_closely")
def test_a_lost_lock_that_nobody_has_taken_is_taken_again(bench: Bench) -> None:
    with migration_lock(bench.settings(), "avatars") as lock:
        before = lock._session
        lose(bench)
        if bench.engine == "sqlite":
            awaited(lambda: lock._database.holds_advisory_lock("avatars"))
        else:
            awaited(lambda: lock._session != before)
        other = bench.rehome()
        assert other.try_advisory_lock("avatars") is not None
        assert lock.lost is None
    with migration_lock(bench.settings(), "avatars"):
        pass


@pytest.mark.usefixtures("watched_closely")
def test_a_stage_stops_before_its_next_work_when_its_lock_is_lost(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(read_settings(given(name="avatars", state_dir=str(tmp_path))), database=bench.settings())
    stopping = Stopping(set(), lambda: None)
    record = RunReport(settings, "run", "db_path_rewrite", {})
    params = {"run_job": None}
    stage = Stage(settings, Progress(tmp_path), "run", 1, "migrate", False, params, stopping, record)
    other = bench.rehome()
    # the other run takes the lock in the moment in which this one connects again
    with (
        pytest.raises(RehomeError, match="another run of this migration has taken the lock"),
        Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog,
        stage.locked_unless_dry(),
        stage.stoppable(catalog) as run,
    ):
        (lock,) = stage._locks
        reconnect = lock._database.reconnect

        def late() -> None:
            awaited(lambda: other.try_advisory_lock("avatars") is None)
            reconnect()

        monkeypatch.setattr(lock._database, "reconnect", late)
        assert not run.stopping()
        lose(bench)
        awaited(run.stopping)
    other.close()
