"""A reader reads what it is given, says in words why it cannot, and ends at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from rehome.config.settings import Side
from rehome.errors import RehomeError
from rehome.fleet.orders import Pace
from rehome.fleet.reader import STOPPED, Answer, Failure, Place, Reader, Reading
from rehome.s3.errors import S3RequestError, S3StopError


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader((), 4)
    made.start()
    made.set_pace(Pace(4))
    yield made
    made.close()
    made.join()


async def double(_place: Place, number: int) -> int:
    return number * 2


def test_a_shard_gives_what_its_reading_returns(reader: Reader) -> None:
    assert [reader.read(double, number) for number in (1, 4)] == [Answer(2, None), Answer(8, None)]


def test_nothing_is_read_before_it_is_told_its_share_of_the_rate() -> None:
    reader = Reader((), 4)
    reader.start()
    with ThreadPoolExecutor() as threads:
        early = threads.submit(reader.read, double, 1)
        with pytest.raises(TimeoutError):
            early.result(0.3)
        reader.set_pace(Pace(4, per_second=10.0))
        assert early.result(30) == Answer(2, None)
        reader.close()
    reader.join()


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            S3RequestError(403, "AccessDenied", "no right", "image/a", verb="GET"),
            Failure("no right", 403, "AccessDenied", "image/a", "GET", stops=False),
        ),
        (
            S3StopError(403, "InvalidAccessKeyId", "unknown", None, verb="HEAD"),
            Failure("unknown", 403, "InvalidAccessKeyId", None, "HEAD", stops=True),
        ),
        (RehomeError("told"), Failure("told")),
        (ValueError("a secret"), Failure("an error that nobody expected (ValueError; its log has it)")),
    ],
)
def test_an_error_comes_back_as_what_it_says(reader: Reader, error: Exception, failure: Failure) -> None:
    async def fail(_place: Place, _shard: Any) -> None:
        raise error

    assert reader.read(fail, ()) == Answer(None, failure)


def _hanging(reader: Reader, threads: ThreadPoolExecutor) -> Future[Answer]:
    """Return a shard that is being read, and never ends by itself."""
    begun = threading.Event()

    async def hang(_place: Place, _shard: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    reading: Reading = hang
    ticket = threads.submit(reader.read, reading, ())
    assert begun.wait(30)
    return ticket


def test_a_stop_ends_what_is_read_and_a_reader_goes_on_after_it(reader: Reader) -> None:
    with ThreadPoolExecutor() as threads:
        ticket = _hanging(reader, threads)
        reader.set_pace(Pace(4, stop=True))
        assert ticket.result(30) == STOPPED
    assert reader.read(double, 1) == Answer(2, None)


def test_a_reader_that_is_closed_ends_what_is_read_and_what_comes_later() -> None:
    reader = Reader((), 4)
    reader.start()
    reader.set_pace(Pace(4))
    with ThreadPoolExecutor() as threads:
        ticket = _hanging(reader, threads)
        reader.close()
        assert ticket.result(30) == STOPPED
    reader.join()
    assert reader.read(double, 1) == STOPPED
    reader.set_pace(Pace(1))
    reader.close()


def test_a_reader_that_cannot_open_its_connections_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_side: Side) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr("rehome.fleet.reader.resolve", fail)
    reader = Reader([Side("source", "legacy", "image/")], 4)
    reader.start()
    assert reader.read(double, 1).failure == Failure("an error that nobody expected (ValueError; its log has it)")
    reader.close()
    reader.join()


def test_a_reader_without_keys_says_so_for_each_shard() -> None:
    reader = Reader([Side("source", "legacy", "image/", profile="of-no-machine")], 4)
    reader.start()
    answer = reader.read(double, 1)
    assert answer.failure is not None and "of-no-machine" in answer.failure.text
    assert answer.result is None
    reader.close()
    reader.join()
