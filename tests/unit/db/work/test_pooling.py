from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from rehome.config.settings import Database
from rehome.db.dialect import DatabaseError, Dialect
from rehome.db.work.pooling import pooled_sessions, shared_reads
from rehome.errors import RefusedError
from rehome.state import database_lock

SETTINGS = Database(engine="postgresql", host="pool.example.com", port=6432, name="app", user="migrate")


class Client:
    """A connection whose transactions run in the sessions that `session` hands out."""

    def __init__(self, session: Callable[[], int], *, standby: bool = False) -> None:
        self._session = session
        self._standby = standby

    def is_read_only(self) -> bool:
        return self._standby

    def try_advisory_lock(self, _name: str) -> None:
        """Take it, on the primary."""

    def holds_advisory_lock(self, _name: str) -> bool:
        """Look for it, on a standby."""
        return False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def session_id(self) -> int:
        return self._session()


def pooled(a: Callable[[], int], b: Callable[[], int]) -> str | None:
    finding = pooled_sessions(cast(Dialect, Client(a)), cast(Dialect, Client(b)), SETTINGS)
    return None if finding is None else str(finding)


def test_two_sessions_that_are_kept_are_sessions() -> None:
    assert pooled(lambda: 1, lambda: 2) is None


@pytest.mark.parametrize("sessions", [1, 2, 3, 4, 5, 6, 7])
def test_a_pool_that_hands_its_sessions_out_by_turns_is_seen(sessions: int) -> None:
    turns = itertools.cycle(range(sessions))
    text = pooled(lambda: next(turns), lambda: next(turns))
    assert text is not None
    assert text.startswith("rehome_database.host (pool.example.com:6432): the connections do not keep their sessions")


def test_a_pool_that_hands_out_the_session_used_last_is_seen() -> None:
    assert pooled(lambda: 7, lambda: 7) is not None


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_pool_is_seen(seed: int) -> None:
    sessions = random.Random(seed)
    assert pooled(lambda: sessions.randrange(20), lambda: sessions.randrange(20)) is not None


def test_a_pool_of_statements_refuses_the_transaction_and_is_quoted() -> None:
    def refuse() -> int:
        raise DatabaseError("transaction blocks not allowed in statement pooling mode")

    assert "that run (transaction blocks not allowed in statement pooling mode)" in (pooled(refuse, lambda: 2) or "")


@pytest.mark.parametrize(("a", "b"), [(False, True), (True, False)])
def test_a_proxy_that_leads_one_connection_to_a_standby_is_seen(a: bool, b: bool) -> None:
    clients = [cast(Dialect, Client(lambda: 1, standby=standby)) for standby in (a, b)]
    text = str(shared_reads(clients[0], clients[1], SETTINGS))
    assert text.startswith("rehome_database.host (pool.example.com:6432): statements are shared out among several")
    assert "Connect to the primary itself" in text
    assert shared_reads(clients[0], clients[0], SETTINGS) is None
    assert shared_reads(clients[1], clients[1], SETTINGS) is None


def test_a_lock_that_is_taken_on_another_server_than_the_next_statement_reaches_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Pgpool-II does: pg_try_advisory_lock() goes to the primary, pg_backend_pid() to a standby."""

    @contextmanager
    def shared(_settings: Database) -> Iterator[Client]:
        number = next(numbers)
        yield Client(lambda: number)

    numbers = itertools.count()
    monkeypatch.setattr(database_lock, "connect", shared)
    with pytest.raises(RefusedError, match="shared out among several servers"):
        database_lock.migration_lock(SETTINGS, "avatars").__enter__()
