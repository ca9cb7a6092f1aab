from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from rehome.ansible_module import stopping
from rehome.ansible_module.stopping import SIGNALS, Stopping, StopRequestedError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give this process its signals back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_work_that_may_end_anywhere(number: int) -> None:
    stop = Stopping(set(), lambda: None)
    with pytest.raises(StopRequestedError):
        signal.raise_signal(number)
    assert stop.requested
    signal.raise_signal(number)  # a second one disturbs nothing


@pytest.mark.parametrize("number", SIGNALS)
def test_work_that_finishes_by_itself_is_only_asked(number: int) -> None:
    stop = Stopping(set(), lambda: None)
    done = []
    with pytest.raises(StopRequestedError), stop.finishing():
        with stop.finishing():
            signal.raise_signal(number)
            done.append(stop.requested)
        done.append("outer")
    assert done == [True, "outer"]


def test_an_error_of_work_that_was_asked_to_stop_is_its_own() -> None:
    stop = Stopping(set(), lambda: None)
    with pytest.raises(ValueError, match="mine"), stop.finishing():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("mine")


def test_the_end_of_a_process_that_it_works_for_is_a_stop() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    Stopping({other.pid, os.getpid()}, lambda: None)
    with pytest.raises(StopRequestedError):
        other.kill()
        time.sleep(30)  # ended by the signal
    other.wait()


def test_work_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PATIENCE_S", 0.01)
    ended = threading.Event()
    stop = Stopping(set(), ended.set)
    with pytest.raises(StopRequestedError), stop.finishing():
        signal.raise_signal(signal.SIGTERM)
        assert ended.wait(30)
