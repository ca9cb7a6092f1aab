from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from rehome.db.server_load import Load, UnreadableError
from rehome.db.throttle.monitor import Monitor


@contextmanager
def opened() -> Iterator[Load]:
    yield cast("Load", object())


@pytest.mark.timeout(30)
def test_it_ends_at_once_and_not_when_it_would_have_asked_again() -> None:
    monitor = Monitor(opened, every_s=3600)
    reading = monitor.watch("the answer", lambda _: 42)
    with monitor:
        while reading._failure:
            pass
        assert reading() == 42
    assert not monitor._thread.is_alive()


def test_with_an_open_connection_the_first_value_is_there_before_the_monitor_begins() -> None:
    monitor = Monitor(opened)
    assert monitor.watch("the answer", lambda _: 42, cast("Load", object()))() == 42
    with pytest.raises(UnreadableError, match="the answer cannot be read: integer division"):
        monitor.watch("the answer", lambda _: 1 // 0, cast("Load", object()))()
