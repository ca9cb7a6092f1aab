from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from rehome.config.settings import Database
from rehome.db.dialect import DatabaseError, Dialect
from rehome.db.work.pooling import pooled_sessions

SETTINGS = Database(engine="postgresql", host="pool.example.com", port=6432, name="app", user="migrate")


class Client:
    """A connection whose transactions run in the sessions that `session` hands out."""

    def __init__(self, session: Callable[[], int]) -> None:
        self._session = session

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
