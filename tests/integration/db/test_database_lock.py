from __future__ import annotations

import pytest
from rehome.config.settings import Database
from rehome.errors import RefusedError
from rehome.state.database_lock import migration_lock

from tests.integration.db.conftest import Bench


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
