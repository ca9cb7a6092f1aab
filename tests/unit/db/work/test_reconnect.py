from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from rehome.codes import Code
from rehome.db.dialect import ConnectionLostError, Dialect
from rehome.db.work.reconnect import MAX_OUTAGE_S, WorkContext, reconnect
from rehome.errors import Finding, RefusedError


class Server:
    """A database whose states follow one another: away, read-only, and there."""

    def __init__(self, *states: str) -> None:
        self._states: Iterator[str] = iter(states)
        self._state = "away"
        self.connects = 0

    def reconnect(self) -> None:
        self.connects += 1
        self._state = next(self._states, self._state)
        if self._state == "away":
            raise RefusedError(
                [Finding("rehome_database.host", "x", "no server answers there", "Wait", Code.DATABASE_UNREACHABLE)]
            )

    def is_read_only(self) -> bool:
        return self._state == "read-only"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def context(clock: Clock, told: list[str | None]) -> WorkContext:
    return WorkContext(sleep=clock.sleep, report=told.append, clock=clock)


def test_a_restart_and_a_failover_are_waited_for_and_reported() -> None:
    server, told = Server("away", "away", "read-only", "there"), list[str | None]()
    reconnect(cast(Dialect, server), ConnectionLostError("it is gone"), context(Clock(), told))
    assert server.connects == 4
    assert told == ["it is gone", None]


def test_a_server_that_only_reads_is_enough_to_read() -> None:
    server = Server("read-only")
    reconnect(cast(Dialect, server), ConnectionLostError("gone"), context(Clock(), []), to_write=False)
    assert server.connects == 1


def test_patience_ends_with_the_error_that_began_it() -> None:
    clock, lost = Clock(), ConnectionLostError("gone for good")
    with pytest.raises(ConnectionLostError, match=r"gone for good; the last attempt to connect again: .*no server"):
        reconnect(cast(Dialect, Server("away")), lost, context(clock, []))
    assert MAX_OUTAGE_S < clock.now < MAX_OUTAGE_S + 5


def test_a_run_that_is_to_stop_does_not_wait() -> None:
    server = Server("away")
    with pytest.raises(ConnectionLostError):
        reconnect(cast(Dialect, server), ConnectionLostError("gone"), WorkContext(stopping=lambda: True))
    assert server.connects == 1
