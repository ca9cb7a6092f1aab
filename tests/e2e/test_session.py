"""A migration on a server with guards and short time-outs, whose lock another run takes away."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.e2e.conftest import World, play_to_end

GUARDS = {"sql_safe_updates": (1, 0), "sql_select_limit": (7, 18446744073709551615), "wait_timeout": (2, 28800)}


@contextmanager
def guarded(world: World) -> Iterator[None]:
    for name, (hostile, _) in GUARDS.items():
        world.query(f"SET GLOBAL {name} = {hostile}")
    try:
        yield
    finally:
        for name, (_, usual) in GUARDS.items():
            world.query(f"SET GLOBAL {name} = {usual}")


def answer(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()[0][0]


def test_a_guarded_server_is_migrated_and_a_lock_that_another_run_has_taken_ends_this_one(world: World) -> None:
    world.seed(1_000)
    # the name that Rehome gives to the lock of the migration `avatars`
    lock = f"'rehome.{hashlib.sha256(b'avatars').hexdigest()[:40]}'"
    with guarded(world), closing(world.sandbox.database(world.db).connect("admin")) as another:
        another.autocommit(True)
        another.cursor().execute("SET SESSION wait_timeout = 3600, sql_select_limit = DEFAULT")
        with world.slow_rows():
            process = world.start()
            while not answer(another, "SELECT COUNT(*) FROM avatars WHERE path LIKE 'avatar/%'"):
                assert process.poll() is None, "the run ended before its lock could be taken"
                time.sleep(0.01)  # until it is rewriting
            holder = answer(another, f"SELECT IS_USED_LOCK({lock})")
            another.cursor().execute(f"KILL {holder}")
            assert answer(another, f"SELECT GET_LOCK({lock}, 10)") == 1
            stopped = play_to_end(process)
        assert stopped.code == 2, stopped.output
        assert "another run of this migration has taken the lock" in stopped.message
        assert world.summary["rows_rewritten"] > 0
        world.assert_no_row_dangles()
        answer(another, f"SELECT RELEASE_LOCK({lock})")
        finished = world.play()
        assert finished.code == 0, finished.output
    assert all(path.startswith("avatar/") for _, path in world.rows())
